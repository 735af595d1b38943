//! Load on the calls of a phase while it does what it does.

use super::verdict::{Cause, LoadResult, LoadStep, Verdict};
use super::{ExpectedCall, Failures, Phase, State};
use crate::call::{Call, Connections};
use crate::mesh::{Desired, Mesh, MeshError, Tally};
use crate::outcome::{Outcome, OutcomeId};

/// What a phase under load goes through.
#[derive(Clone, Debug)]
pub struct PlannedLoad {
    /// The names of its states: `before`, and each step of what is done. The last is the state of the phase.
    pub steps: Vec<String>,
    /// The states before the last.
    pub states: Vec<Desired>,
    /// The calls that are made over and over.
    pub calls: Vec<LoadedCall>,
}

/// A call under load.
#[derive(Clone, Debug)]
pub struct LoadedCall {
    /// As the id of the call, with the trait `load`; of a Service with several endpoints there is one.
    pub id: String,
    /// The call; any endpoint may answer.
    pub call: Call,
    /// How many of its requests may fail.
    pub expected: Failures,
    /// What policy resolution predicts of it in each state.
    pub predicted: Vec<Outcome>,
    /// `file:line` of the expectation.
    pub location: String,
}

/// Whether a phase holds load on any of its calls.
pub(super) fn is_under_load(phase: &Phase) -> bool {
    phase
        .expect
        .iter()
        .any(|expectation| expectation.failed.is_some())
}

/// The load of a phase that goes through `states`, of which the first is the one before it.
pub(super) fn plan(
    prefix: &str,
    phase: &Phase,
    expected: &[ExpectedCall],
    states: &[(String, State)],
    predicted: impl Fn(&State, &Call) -> Outcome,
    location: impl Fn(usize) -> String,
) -> PlannedLoad {
    let mut calls: Vec<LoadedCall> = Vec::new();
    for one in expected {
        let Some(failed) = phase.expect[one.expectation].failed else {
            continue;
        };
        let call = Call {
            endpoint: None,
            ..one.call.clone()
        };
        if calls.iter().any(|known| known.call == call) {
            continue;
        }
        let predicted = states.iter().map(|(_, state)| predicted(state, &call));
        calls.push(LoadedCall {
            id: id(prefix, &call),
            predicted: predicted.collect(),
            expected: failed,
            location: location(one.expectation),
            call,
        });
    }
    let before_the_last = states.len().saturating_sub(1);
    let planned: Vec<Call> = calls.iter().map(|loaded| loaded.call.clone()).collect();
    PlannedLoad {
        steps: states.iter().map(|(step, _)| step.clone()).collect(),
        states: states[..before_the_last]
            .iter()
            .map(|(_, state)| state.desired(planned.clone(), phase.connections))
            .collect(),
        calls,
    }
}

/// The call that the id of a load speaks of, as ids write it.
pub(super) fn call_of(id: &str) -> Option<&str> {
    id.strip_suffix("load")?.strip_suffix(['#', ','])
}

/// The id of the load on a call.
pub(super) fn id(prefix: &str, call: &Call) -> String {
    let call = Call {
        endpoint: None,
        ..call.clone()
    };
    let part = call.to_string();
    let separator = if part.contains('#') { ',' } else { '#' };
    format!("{prefix}::{part}{separator}load")
}

/// What is predicted where calls share connections or sessions: a refusal only of those that share nothing.
pub(super) fn as_shared(predicted: Outcome, connections: Connections) -> Outcome {
    let shared = match connections {
        Connections::Fresh => return predicted,
        Connections::Resume => "sessions are resumed, and what they began with decides",
        Connections::Reuse => "connections are shared, and what they began with decides",
    };
    if predicted.id.is_delivered() || predicted.id == OutcomeId::Unknown {
        return predicted;
    }
    Outcome::unknown(vec![predicted.id], shared)
}

/// Brings the mesh into the state of the phase, under its load.
pub(super) async fn run(
    mesh: &mut dyn Mesh,
    load: PlannedLoad,
    last: Desired,
) -> Result<Vec<LoadResult>, MeshError> {
    let domain = last.topology.mesh.cluster_domain.clone();
    let calls: Vec<Call> = load.calls.iter().map(|loaded| loaded.call.clone()).collect();
    let states = load.states.into_iter().chain([last]).collect();
    let tallies = mesh.apply_under_load(states, &calls).await?;
    let results = load.calls.into_iter().zip(tallies).map(|(loaded, tallies)| {
        let result = unobserved(loaded, &load.steps, tallies, &domain);
        let (verdict, cause) = judge(&result);
        LoadResult {
            verdict,
            cause,
            ..result
        }
    });
    Ok(results.collect())
}

/// What predictions alone say of a load: that requests fail in a state, not how many are lost between two.
pub(super) fn predict_only(load: PlannedLoad, cluster_domain: &str) -> Vec<LoadResult> {
    let predicted = load.calls.into_iter().map(|loaded| {
        let fails = |outcome: &Outcome| outcome.id != OutcomeId::Unknown && !outcome.id.is_delivered();
        let lost = loaded.predicted.iter().skip(1).any(fails);
        let verdict = match (lost, loaded.expected.most(), loaded.expected.least()) {
            (true, 0, _) => Verdict::Falsified,
            (true, _, _) | (false, _, 0) => Verdict::Held,
            (false, _, _) => Verdict::NotRun,
        };
        let tallies = vec![Tally::default(); load.steps.len()];
        LoadResult {
            verdict,
            ..unobserved(loaded, &load.steps, tallies, cluster_domain)
        }
    });
    predicted.collect()
}

fn unobserved(loaded: LoadedCall, steps: &[String], tallies: Vec<Tally>, domain: &str) -> LoadResult {
    let steps = steps.iter().zip(loaded.predicted).zip(tallies);
    LoadResult {
        id: loaded.id,
        from: loaded.call.from.to_string(),
        to: loaded.call.to.authority(domain),
        expected: loaded.expected,
        verdict: Verdict::NotRun,
        cause: None,
        location: loaded.location,
        steps: steps
            .map(|((name, predicted), tally)| LoadStep {
                name: name.clone(),
                predicted,
                tally,
            })
            .collect(),
    }
}

/// As of a call: what was expected decides, then what was predicted of the requests in each state that was in force.
fn judge(result: &LoadResult) -> (Verdict, Option<Cause>) {
    if !result.expected.holds_for(result.failed()) {
        return (Verdict::Falsified, Some(Cause::Expectation));
    }
    let agrees = |step: &LoadStep| {
        let requests = &step.tally.in_force;
        match step.predicted.id {
            OutcomeId::Unknown => true,
            id if id.is_delivered() => requests.failed == 0,
            _ => requests.failed == requests.made,
        }
    };
    if result.steps.iter().all(agrees) {
        (Verdict::Held, None)
    } else {
        (Verdict::Falsified, Some(Cause::Prediction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Destination, WorkloadName};
    use crate::mesh::Requests;
    use crate::outcome::Side;

    fn requests(made: u64, failed: u64) -> Requests {
        Requests {
            made,
            failed,
            ..Requests::default()
        }
    }

    /// A load of two states: predictions, `(changing, in force)` failures of 10 requests each.
    fn result(expected: Failures, steps: [(Outcome, (u64, u64)); 2]) -> LoadResult {
        let to = Destination::Service {
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            port: 80,
        };
        let (predicted, tallies) = steps
            .into_iter()
            .map(|(predicted, (changing, in_force))| {
                let tally = Tally {
                    changing: requests(10, changing),
                    in_force: requests(10, in_force),
                };
                (predicted, tally)
            })
            .unzip();
        let loaded = LoadedCall {
            id: String::new(),
            call: Call::app(WorkloadName::new("shop", "web"), to),
            expected,
            predicted,
            location: String::new(),
        };
        unobserved(
            loaded,
            &["before".to_owned(), "step".to_owned()],
            tallies,
            "cluster.local",
        )
    }

    #[test]
    fn failures_count_from_the_first_step_on_and_predictions_in_force() {
        let good = || Outcome::of(OutcomeId::Mtls);
        let bad = || Outcome::refused(OutcomeId::UntrustedRoot, Side::Client);
        let (none, some) = (
            Failures::Exactly(0),
            Failures::Some(super::super::SomeFailures::Some),
        );
        let expectation = (Verdict::Falsified, Some(Cause::Expectation));
        let prediction = (Verdict::Falsified, Some(Cause::Prediction));
        for (expected, steps, verdict) in [
            (none, [(good(), (0, 0)), (good(), (0, 0))], (Verdict::Held, None)),
            (none, [(good(), (0, 0)), (good(), (1, 0))], expectation),
            (some, [(good(), (0, 0)), (good(), (1, 0))], (Verdict::Held, None)),
            (some, [(bad(), (10, 10)), (good(), (0, 0))], expectation),
            (some, [(good(), (0, 0)), (bad(), (0, 10))], (Verdict::Held, None)),
            (some, [(good(), (0, 0)), (bad(), (0, 9))], prediction),
            (none, [(good(), (0, 1)), (good(), (0, 0))], prediction),
        ] {
            let result = result(expected, steps);
            assert_eq!(judge(&result), verdict, "{result:?}");
        }
    }

    #[test]
    fn what_is_shared_takes_the_vote_from_a_predicted_refusal_only() {
        let refused = Outcome::refused(OutcomeId::CertificateExpired, Side::Client);
        for connections in [Connections::Resume, Connections::Reuse] {
            assert_eq!(as_shared(refused.clone(), connections).id, OutcomeId::Unknown);
            let delivered = Outcome::of(OutcomeId::Mtls);
            assert_eq!(as_shared(delivered.clone(), connections), delivered);
        }
        assert_eq!(as_shared(refused.clone(), Connections::Fresh), refused);
    }
}
