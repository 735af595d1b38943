//! The `replay` tier: calls are answered from the evidence of an earlier run, so that it is judged anew.
//!
//! Nothing is started and nothing can fail to settle: useful whenever the classifier, a prediction, or an expectation
//! has changed and the proxies have not.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;

use crate::call::Call;
use crate::probe::Evidence;

use super::{Capability, Component, Desired, Mesh, MeshError, Tally, Tier};

/// Whatever the recorded tier could do has been done.
pub(super) const CAPABILITIES: &[Capability] = Capability::ALL;

/// What an earlier run of a scenario showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// The proxies that took part.
    pub components: Vec<Component>,
    /// Phase by phase, the evidence of every call.
    pub phases: Vec<RecordedPhase>,
}

/// What a phase showed, by its calls as they are written in ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedPhase {
    /// The evidence of every call.
    pub calls: BTreeMap<String, Evidence>,
    /// What became of the requests of every call under load, state by state.
    pub loads: BTreeMap<String, Vec<Tally>>,
}

/// A mesh that remembers.
#[derive(Debug)]
pub struct ReplayMesh {
    components: Vec<Component>,
    coming: std::vec::IntoIter<RecordedPhase>,
    current: RecordedPhase,
}

impl ReplayMesh {
    /// A mesh that answers as `recording` says, a phase for every state it is brought into.
    #[must_use]
    pub fn new(recording: Recording) -> Self {
        Self {
            components: recording.components,
            coming: recording.phases.into_iter(),
            current: RecordedPhase::default(),
        }
    }
}

#[async_trait]
impl Mesh for ReplayMesh {
    fn tier(&self) -> Tier {
        Tier::Replay
    }

    async fn apply(&mut self, _: Desired) -> Result<(), MeshError> {
        self.current = self.coming.next().unwrap_or_default();
        Ok(())
    }

    async fn apply_under_load(
        &mut self,
        states: Vec<Desired>,
        load: &[Call],
    ) -> Result<Vec<Vec<Tally>>, MeshError> {
        self.current = self.coming.next().unwrap_or_default();
        let recorded = load.iter().map(|call| {
            let tallies = self.current.loads.get(&call.to_string());
            let as_many = tallies.filter(|tallies| tallies.len() == states.len());
            as_many.cloned().ok_or_else(|| MeshError::NotRecorded {
                call: Box::new(call.clone()),
            })
        });
        recorded.collect()
    }

    async fn call(&mut self, call: &Call) -> Result<Evidence, MeshError> {
        let recorded = self.current.calls.get(&call.to_string()).cloned();
        recorded.ok_or_else(|| MeshError::NotRecorded {
            call: Box::new(call.clone()),
        })
    }

    fn components(&self) -> Vec<Component> {
        self.components.clone()
    }

    fn directory(&self) -> Option<&Path> {
        None
    }

    async fn down(&mut self) {}
}
