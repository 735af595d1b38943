//! Releases given from outside in place of those that a scenario names: for a matrix of control plane, client and server.

use std::collections::BTreeMap;

use semver::Version;

use super::expand::{expand, server};
use super::{Causes, Options, RunError, Scenario, State};
use crate::call::{CallKind, WorkloadName};

/// The releases that `--client` and `--server` give to the sidecars of workloads, whatever these pin themselves.
///
/// A workload is a client if the scenario makes more calls through its sidecar than it makes to it, else a server.
///
/// # Errors
/// As working out the scenario's phases.
pub(super) fn of_sidecars(
    scenario: &Scenario,
    options: &Options,
) -> Result<BTreeMap<WorkloadName, Version>, RunError> {
    if options.releases.client.is_none() && options.releases.server.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut surplus_of_calls: BTreeMap<WorkloadName, i64> = BTreeMap::new();
    let mut state = State::start(scenario, options.releases.istio.as_ref())?;
    for (index, phase) in scenario.file.spec.phases.iter().enumerate() {
        state.advance(scenario, index, Causes::Present)?;
        let prefix = scenario.id_prefix(index);
        for expected in expand(&prefix, &phase.expect, &state.topology, Some(options.tier))? {
            if let Some(server) = server(&expected.call, &state.topology) {
                *surplus_of_calls.entry(server).or_default() -= 1;
            }
            if expected.call.kind == CallKind::App {
                *surplus_of_calls.entry(expected.call.from).or_default() += 1;
            }
        }
    }
    let given = surplus_of_calls.into_iter().filter_map(|(name, surplus)| {
        let release = if surplus > 0 {
            &options.releases.client
        } else {
            &options.releases.server
        };
        Some((name, release.clone()?))
    });
    Ok(given.collect())
}
