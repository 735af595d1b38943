//! Working out what a scenario goes through, without running anything.

use super::action::actions;
use super::under_load::{self, LoadedCall, PlannedLoad, as_shared, is_under_load};
use super::{ExpectedCall, Options, RunError, Scenario, State, expand, releases};
use crate::call::Call;
use crate::istio::predict;
use crate::mesh::{Capability, Desired};
use crate::outcome::Outcome;
use crate::reference::most_similar;

/// One phase, worked out without running anything.
#[derive(Clone, Debug)]
pub struct PlannedPhase {
    /// Its name.
    pub name: String,
    /// The names of active faults.
    pub faults: Vec<String>,
    /// The load to bring it there under.
    pub load: Option<PlannedLoad>,
    /// The state to bring the mesh into, with the calls to make.
    pub desired: Desired,
    /// The calls with what is expected and predicted of them.
    pub calls: Vec<PlannedCall>,
}

/// One call of a phase, with its prediction.
#[derive(Clone, Debug)]
pub struct PlannedCall {
    /// The call and what is expected of it.
    pub expected: ExpectedCall,
    /// What policy resolution predicts.
    pub predicted: Outcome,
    /// `file:line` of the expectation.
    pub location: String,
}

/// Works out every phase of a scenario: its state, its calls, and what is predicted of them.
///
/// # Errors
/// None for a scenario that was loaded, but for an unknown `only`.
pub fn plan(scenario: &Scenario, options: &Options) -> Result<Vec<PlannedPhase>, RunError> {
    let mut state = State::start(scenario, options.releases.istio.as_ref())?
        .with_sidecars_of(releases::of_sidecars(scenario, options)?);
    let mut phases = Vec::new();
    let mut ids = Vec::new();
    for (index, phase) in scenario.file.spec.phases.iter().enumerate() {
        let under_load = is_under_load(phase);
        let mut states = Vec::new();
        if under_load {
            states.push(("before".to_owned(), state.clone()));
        }
        for action in actions(scenario, index, options.causes) {
            for step in state.in_steps(action)? {
                let name = step.to_string();
                state.take(scenario, index, options.causes, step)?;
                if under_load {
                    states.push((name, state.clone()));
                }
            }
        }
        let predicted = |state: &State, call: &Call| match beyond_the_rules(scenario) {
            Some(unpredicted) => unpredicted,
            None => {
                let prediction = predict(&state.topology, &state.conditions(), call);
                as_shared(prediction.outcome, phase.connections)
            }
        };
        let prefix = scenario.id_prefix(index);
        let mut expected = expand(&prefix, &phase.expect, &state.topology, Some(options.tier))?;
        let mut load = under_load.then(|| {
            let location = |expectation| location(scenario, index, expectation);
            under_load::plan(&prefix, phase, &expected, &states, predicted, location)
        });
        ids.extend(expected.iter().map(|call| call.id.clone()));
        ids.extend(
            load.iter()
                .flat_map(|load| &load.calls)
                .map(|load| load.id.clone()),
        );
        if let Some(only) = &options.only {
            expected.retain(|call| call.id == *only);
            // What load did before a call may decide what becomes of it.
            let wanted = |loaded: &LoadedCall| {
                let of_call = |call: &ExpectedCall| under_load::id(&prefix, &call.call) == loaded.id;
                loaded.id == *only || expected.iter().any(of_call)
            };
            if let Some(load) = &mut load {
                load.calls.retain(wanted);
            }
        }
        let load = load.filter(|load| !load.calls.is_empty());
        let calls: Vec<PlannedCall> = expected
            .into_iter()
            .map(|expected| PlannedCall {
                predicted: predicted(&state, &expected.call),
                location: location(scenario, index, expected.expectation),
                expected,
            })
            .collect();
        let found = options.only.is_some() && !(calls.is_empty() && load.is_none());
        let loaded = load.iter().flat_map(|load| &load.calls);
        let made = calls.iter().map(|call| &call.expected.call);
        phases.push(PlannedPhase {
            name: phase.name.clone(),
            faults: state.faults_in_effect(),
            desired: state.desired(
                made.chain(loaded.map(|load| &load.call)).cloned().collect(),
                phase.connections,
            ),
            load,
            calls,
        });
        if found {
            return Ok(phases);
        }
    }
    match &options.only {
        Some(id) => Err(RunError::NoSuchCall {
            scenario: scenario.name().to_owned(),
            id: id.clone(),
            hint: most_similar(id, ids.iter().map(String::as_str)).map_or_else(
                || "--predict-only --output json lists the ids".to_owned(),
                |similar| format!("did you mean {similar:?}?"),
            ),
        }),
        None => Ok(phases),
    }
}

/// What a real istiod does beyond what its objects say, its settings and its own life, is no subject of the rules.
fn beyond_the_rules(scenario: &Scenario) -> Option<Outcome> {
    let reason = "the scenario is about istiod itself, which no rule predicts";
    let needs = &scenario.file.spec.needs;
    needs
        .contains(&Capability::ControlPlane)
        .then(|| Outcome::unknown(Vec::new(), reason))
}

fn location(scenario: &Scenario, phase: usize, expectation: usize) -> String {
    let span = scenario.expectation_span(phase, expectation);
    let (line, _) = scenario.source.position(span.start);
    format!("{}:{line}", scenario.source.name)
}
