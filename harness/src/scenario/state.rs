//! The state of the mesh from phase to phase: objects, topology, and what was done to its certificates.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semver::Version;

use super::action::{Action, actions};
use super::format::HEAL_ALL;
use super::{Expectation, Phase, Scenario};
use crate::call::{Call, Connections, WorkloadName};
use crate::fault::{Conditions, Fault, History, Restart, RestartStep, Rotation};
use crate::istio::Topology;
use crate::mesh::Desired;
use crate::reference::ReferenceError;
use crate::snapshot::{LoadError, NoSuchObject, NotAnObjectRef, ObjectRef, Snapshot};

/// The mesh as the phases so far have left it.
#[derive(Clone, Debug)]
pub struct State {
    /// The objects.
    pub snapshot: Snapshot,
    /// What they mean.
    pub topology: Topology,
    /// Active faults, rotations and restarts.
    pub history: History,
    /// Releases of sidecars in place of their own.
    releases: BTreeMap<WorkloadName, Version>,
}

/// Whether what a scenario breaks is broken. Without it, the refusals it expects must not come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Causes {
    /// As written.
    #[default]
    Present,
    /// Left out: every `inject`, and the `delete`, `manifests`, `apply`, `rotate` and `restart` of phases that expect a refusal or a
    /// lost request.
    LeftOut,
}

/// An action of a phase could not be done.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A manifest, or an inline object.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// `delete` with something that is no reference.
    #[error(transparent)]
    Reference(#[from] NotAnObjectRef),
    /// `delete` of something that is not there.
    #[error(transparent)]
    Delete(#[from] Box<NoSuchObject>),
    /// A fault, rotation or restart of a workload that is not there.
    #[error(transparent)]
    Workload(#[from] ReferenceError),
}

impl State {
    /// A mesh of these objects.
    #[must_use]
    pub fn of(snapshot: Snapshot) -> Self {
        Self {
            topology: Topology::new(&snapshot, None),
            snapshot,
            history: History::default(),
            releases: BTreeMap::new(),
        }
    }

    /// A mesh without objects.
    #[must_use]
    pub fn empty(release: Version) -> Self {
        Self::of(Snapshot::new(release))
    }

    /// The same mesh with sidecars of these releases, now and after every change.
    pub(super) fn with_sidecars_of(mut self, releases: BTreeMap<WorkloadName, Version>) -> Self {
        self.releases = releases;
        self.replace_releases();
        self
    }

    fn replace_releases(&mut self) {
        for (name, release) in &self.releases {
            if let Some(workload) = self.topology.workloads.get_mut(name) {
                workload.replace_release(release);
            }
        }
    }

    /// The mesh a scenario starts from, before its first phase; `release` takes the place of `spec.istio`.
    ///
    /// # Errors
    /// When a manifest cannot be loaded.
    pub fn start(scenario: &Scenario, release: Option<&Version>) -> Result<Self, StateError> {
        let mut snapshot = Snapshot::new(release.unwrap_or(&scenario.release).clone());
        let manifests = scenario.file.spec.manifests.iter();
        let paths: Vec<PathBuf> = manifests.map(|it| scenario.manifest_path(it)).collect();
        snapshot.load_files(&paths)?;
        Ok(Self::of(snapshot))
    }

    /// Does what a phase does, in the order of the format.
    ///
    /// # Errors
    /// When an action cannot be done; a loaded scenario has none such.
    pub fn advance(&mut self, scenario: &Scenario, index: usize, causes: Causes) -> Result<(), StateError> {
        for action in actions(scenario, index, causes) {
            self.take(scenario, index, causes, action)?;
        }
        Ok(())
    }

    /// What an action is made of in this state: a rotation or restart of several steps of these, anything else of itself.
    pub(super) fn in_steps<'a>(&self, action: Action<'a>) -> Result<Vec<Action<'a>>, StateError> {
        Ok(match action {
            Action::Rotate(rotation) => {
                let workloads = self.topology.workloads.values();
                let of_mesh = workloads.filter(|workload| workload.has_sidecar());
                let steps = rotation.steps(of_mesh.map(|workload| &workload.name));
                let steps = steps.into_iter().map(Cow::Owned);
                steps.map(Action::Rotate).collect()
            }
            Action::Restart(restart) => {
                let steps = self.steps_of_restart(restart)?.into_iter();
                steps.map(Action::RestartStep).collect()
            }
            action => vec![action],
        })
    }

    /// Takes one of the [`actions`] of a phase.
    pub(super) fn take(
        &mut self,
        scenario: &Scenario,
        index: usize,
        causes: Causes,
        action: Action<'_>,
    ) -> Result<(), StateError> {
        match action {
            Action::Change(phase) => self.change_objects(scenario, phase, index, causes)?,
            Action::Heal(names) => names.iter().for_each(|name| {
                self.heal(name);
            }),
            Action::Inject(faults) => {
                for fault in faults {
                    self.inject(fault)?;
                }
            }
            Action::Elapse => self.history.elapse(),
            Action::Rotate(step) => self.rotate(&step)?,
            Action::Restart(restart) => self.restart(restart)?,
            Action::RestartStep(step) => self.take_restart(step),
        }
        Ok(())
    }

    /// What a mesh has to be to be in this state and take these calls.
    #[must_use]
    pub fn desired(&self, calls: Vec<Call>, connections: Connections) -> Desired {
        Desired {
            snapshot: Arc::new(self.snapshot.clone()),
            topology: Arc::new(self.topology.clone()),
            conditions: self.conditions(),
            calls,
            connections,
        }
    }

    /// The certificates in force.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        Conditions::of(&self.identities(), &self.history)
    }

    /// The names of active faults that make a difference: not those that a later re-issue has overtaken.
    #[must_use]
    pub fn faults_in_effect(&self) -> Vec<String> {
        let (identities, conditions) = (self.identities(), self.conditions());
        let makes_a_difference = |name: &&str| {
            let mut without = self.history.clone();
            without.heal(name);
            Conditions::of(&identities, &without) != conditions
        };
        let active = self.history.active().map(Fault::name);
        active.filter(makes_a_difference).map(str::to_owned).collect()
    }

    fn identities(&self) -> BTreeMap<WorkloadName, String> {
        let names = self.topology.workloads.keys();
        names
            .filter_map(|name| Some((name.clone(), self.topology.identity(name)?)))
            .collect()
    }

    fn change_objects(
        &mut self,
        scenario: &Scenario,
        phase: &Phase,
        index: usize,
        causes: Causes,
    ) -> Result<(), StateError> {
        for object in &phase.delete {
            match self.delete(object) {
                // What a remedy removes may never have been applied.
                Err(StateError::Delete(_)) if causes == Causes::LeftOut => {}
                done => done?,
            }
        }
        for manifest in &phase.manifests {
            self.manifest(&scenario.manifest_path(manifest))?;
        }
        for number in 0..phase.apply.len() {
            self.apply(&scenario.inline_object(index, number), &scenario.source.name)?;
        }
        self.settle();
        Ok(())
    }

    pub(super) fn delete(&mut self, object: &str) -> Result<(), StateError> {
        self.snapshot.delete(&object.parse::<ObjectRef>()?)?;
        Ok(())
    }

    pub(super) fn manifest(&mut self, path: &Path) -> Result<(), LoadError> {
        self.snapshot.load_files(&[path.to_owned()])
    }

    pub(super) fn apply(&mut self, text: &str, file: &str) -> Result<(), LoadError> {
        self.snapshot.add_yaml(text, file)
    }

    /// Reads the topology of the objects as they are now.
    pub(super) fn settle(&mut self) {
        self.topology = match self.conditions().webhook_removed {
            true => Topology::without_webhook(&self.snapshot, &self.topology),
            false => Topology::new(&self.snapshot, Some(&self.topology)),
        };
        self.replace_releases();
    }

    pub(super) fn heal(&mut self, name: &str) -> bool {
        if name == HEAL_ALL {
            let any = self.history.active().next().is_some();
            self.history.heal_all();
            return any;
        }
        self.history.heal(name)
    }

    pub(super) fn inject(&mut self, fault: &Fault) -> Result<(), ReferenceError> {
        self.history.inject(fault, self.topology.workloads.keys())
    }

    pub(super) fn rotate(&mut self, step: &Rotation) -> Result<(), ReferenceError> {
        self.history.rotate(step, self.topology.workloads.keys())
    }

    pub(super) fn restart(&mut self, restart: &Restart) -> Result<(), ReferenceError> {
        for step in self.steps_of_restart(restart)? {
            self.take_restart(step);
        }
        Ok(())
    }

    fn steps_of_restart(&self, restart: &Restart) -> Result<Vec<RestartStep>, ReferenceError> {
        let workloads = self.topology.workloads.values();
        restart.steps(workloads.map(|workload| (&workload.name, workload.replicas)))
    }

    fn take_restart(&mut self, step: RestartStep) {
        if let Some(renewed) = self.renewed_by(&step) {
            // Without a past, its pods are what injection makes of their template now.
            self.topology.workloads.remove(&renewed);
            self.settle();
        }
        self.history.restart(step);
        // Objects change between restarts only, so that no topology is read while a pod is not ready.
        self.topology.set_unready(self.conditions().unready);
    }

    /// The workload of which a step makes the last pod anew.
    fn renewed_by(&self, step: &RestartStep) -> Option<WorkloadName> {
        match step {
            RestartStep::Replace(pod) => {
                let workload = self.topology.workloads.get(&pod.workload)?;
                (pod.ordinal + 1 == workload.replicas).then(|| workload.name.clone())
            }
            RestartStep::Revive { workload, .. } => Some(workload.clone()),
            RestartStep::Drain(_) | RestartStep::Admit(_) | RestartStep::Kill(_) => None,
        }
    }
}

/// Whether a phase expects a call not to be delivered, or requests to fail.
pub(super) fn expects_a_refusal(phase: &Phase) -> bool {
    phase.expect.iter().any(Expectation::expects_failure)
}
