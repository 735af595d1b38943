//! A client and its server, on which proxies are measured.

use semver::Version;

use crate::call::{Call, Destination, WorkloadName};
use crate::scenario::{State, StateError};
use crate::snapshot::Snapshot;

pub(super) const NAMESPACE: &str = "bench";

const MESH: &str = include_str!("pair.yaml");
const PORT: u16 = 8080;

/// The mesh of the pair, with proxies of `release`.
pub(super) fn state(release: &Version) -> Result<State, StateError> {
    let mut snapshot = Snapshot::new(release.clone());
    snapshot.add_yaml(MESH, "pair.yaml of bench")?;
    Ok(State::of(snapshot))
}

/// The client's call to `server`.
pub(super) fn call_to(server: &str) -> Call {
    let to = Destination::Service {
        namespace: NAMESPACE.to_owned(),
        name: server.to_owned(),
        port: PORT,
    };
    Call::app(workload("client"), to)
}

pub(super) fn workload(name: &str) -> WorkloadName {
    WorkloadName {
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
    }
}
