//! One state of a mesh: every call predicted, made, and both compared.

use serde_json::Value;

use super::case::Case;
use super::world::World;
use crate::call::{Call, Connections};
use crate::fault::{Conditions, Fault};
use crate::istio::{Prediction, Topology};
use crate::mesh::{Mesh, MeshError};
use crate::outcome::{Outcome, OutcomeId};
use crate::probe::{Evidence, classify};
use crate::scenario::{State, StateError};
use crate::snapshot::{LoadError, Snapshot};

/// How calls are predicted.
pub(super) type Predict = fn(&Topology, &Conditions, &Call) -> Prediction;

/// A case in its world, as far as it is still there.
#[derive(Clone, Debug)]
pub(super) struct Scene<'a> {
    pub(super) world: &'a World,
    pub(super) case: Case,
    /// Workloads left out, by name.
    pub(super) without: Vec<&'static str>,
}

/// A call with what was predicted and what was observed.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    pub(super) call: Call,
    pub(super) predicted: Prediction,
    pub(super) observed: Outcome,
    /// What both ends showed; kept where the two disagree.
    pub(super) evidence: Option<Box<Evidence>>,
}

impl Compared {
    /// Whether the prediction votes, and against what was observed.
    pub(super) const fn disagree(&self) -> bool {
        self.evidence.is_some()
    }

    fn new(call: Call, predicted: Prediction, evidence: Evidence) -> Self {
        let observed = classify(&evidence);
        let votes = predicted.outcome.id != OutcomeId::Unknown;
        let disagree = votes && !predicted.outcome.agrees_with(&observed);
        Self {
            call,
            predicted,
            observed,
            evidence: disagree.then(|| Box::new(evidence)),
        }
    }
}

impl Scene<'_> {
    /// What exists before any policy does.
    pub(super) fn base(&self) -> Vec<Value> {
        let mut objects = self.world.objects(&self.without);
        objects.extend(self.case.services(self.world));
        objects
    }

    /// The policies, oldest first.
    pub(super) fn policies(&self) -> Vec<Value> {
        self.case.policies(self.world)
    }

    /// The faults.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.case.faults(self.world, &self.without)
    }

    /// The whole state.
    pub(super) fn state(&self) -> Result<State, StateError> {
        let objects = [self.base(), self.policies()].concat();
        let mut state = self.state_of(&objects)?;
        for fault in &self.faults() {
            state.history.inject(fault, state.topology.workloads.keys())?;
        }
        Ok(state)
    }

    /// A state of these objects and nothing else.
    pub(super) fn state_of(&self, objects: &[Value]) -> Result<State, LoadError> {
        let mut snapshot = Snapshot::new(self.world.release.clone());
        // JSON is YAML.
        let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
        snapshot.add_yaml(&documents.join("\n---\n"), "explored")?;
        Ok(State::of(snapshot))
    }

    pub(super) fn calls(&self, state: &State) -> Vec<Call> {
        self.case.calls(self.world, &state.topology)
    }
}

/// Brings the mesh into the state and makes the calls.
pub(super) async fn compare(
    mesh: &mut dyn Mesh,
    predict: Predict,
    state: &State,
    calls: Vec<Call>,
) -> Result<Vec<Compared>, MeshError> {
    let conditions = state.conditions();
    let predictions: Vec<Prediction> = calls
        .iter()
        .map(|call| predict(&state.topology, &conditions, call))
        .collect();
    mesh.apply(state.desired(calls.clone(), Connections::Fresh))
        .await?;
    let mut compared = Vec::new();
    for (call, predicted) in calls.into_iter().zip(predictions) {
        let evidence = mesh.call(&call).await?;
        compared.push(Compared::new(call, predicted, evidence));
    }
    Ok(compared)
}
