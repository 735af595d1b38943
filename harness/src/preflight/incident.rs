//! One call of a snapshot as the smallest scenario that reproduces it.

use super::reproduction::reproduction;
use super::{Between, least, state_at};
use crate::audit::RiskyCall;
use crate::call::Call;
use crate::fault::Conditions;
use crate::istio::address::{self, AddressError};
use crate::istio::predict;
use crate::outcome::{Outcome, OutcomeId};
use crate::reference::{ReferenceError, resolve_workload};
use crate::scenario::{Reproduction, ReproductionError};
use crate::snapshot::Snapshot;

/// A call could not be made a scenario.
#[derive(Debug, thiserror::Error)]
pub enum IncidentError {
    /// There is no such caller.
    #[error(transparent)]
    Caller(#[from] ReferenceError),
    /// There is no such destination.
    #[error(transparent)]
    Destination(#[from] AddressError),
    /// What becomes of the call depends on what is not modelled: a small mesh would show something else.
    #[error("what becomes of this call cannot be told, so nothing small can be said to reproduce it: {0}")]
    Unpredicted(String),
    /// The scenario cannot be written down.
    #[error(transparent)]
    Reproduction(#[from] ReproductionError),
}

/// The smallest mesh in which the call of a workload to a destination, written as `cargo xtask predict` takes them, ends as it
/// does in the snapshot at its release. Of several endpoints it is the first that refuses, else the first.
///
/// # Errors
/// When there is no such call, or its outcome is not predicted.
pub fn incident(
    snapshot: &Snapshot,
    from: &str,
    to: &str,
    name: &str,
) -> Result<Reproduction, IncidentError> {
    let release = &snapshot.release;
    let full = state_at(snapshot, release).topology;
    let caller = resolve_workload(from, full.workloads.keys())?;
    let targets = address::resolve(to, &caller.namespace, &full, false)?;
    let conditions = Conditions::default();
    let mut calls: Vec<(Call, Outcome)> = Vec::new();
    for target in &targets {
        let call = Call::app(caller.clone(), target.destination.clone());
        let answering = target
            .service
            .map(|it| full.answering(it, target.destination.port()))
            .unwrap_or_default();
        let each = match answering.as_slice() {
            [] | [_] => vec![call],
            several => several
                .iter()
                .map(|pod| Call {
                    endpoint: Some(pod.clone()),
                    ..call.clone()
                })
                .collect(),
        };
        calls.extend(each.into_iter().map(|call| {
            let outcome = predict(&full, &conditions, &call).outcome;
            (call, outcome)
        }));
    }
    let refused = calls.iter().position(|(_, outcome)| !outcome.id.is_delivered());
    let Some((call, outcome)) = calls.into_iter().nth(refused.unwrap_or_default()) else {
        return Err(IncidentError::Unpredicted("nothing answers there".to_owned()));
    };
    if outcome.id == OutcomeId::Unknown {
        return Err(IncidentError::Unpredicted(outcome.to_string()));
    }
    let between = Between {
        current: release,
        target: release,
    };
    let it = RiskyCall {
        call,
        alike: 1,
        now: outcome.clone(),
        then: outcome,
        findings: Vec::new(),
    };
    let least = least::mesh(snapshot, &full, &it, &between);
    let description =
        format!("The call of {caller} to {to} in a mesh of Istio {release}, and nothing else of that mesh.");
    Ok(reproduction(name, &least, &it, &between, description)?)
}
