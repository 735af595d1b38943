//! What happened, in order.

use super::{Fault, RestartStep, Rotation};
use crate::call::WorkloadName;
use crate::one_or_many::OneOrMany;
use crate::reference::{ReferenceError, resolve_workload};

/// The faults that are active, and the rotations and restarts that were made, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct History {
    events: Vec<Event>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Event {
    Injected {
        fault: Fault,
        targets: Targets,
    },
    Rotated {
        step: Rotation,
        targets: Targets,
    },
    Restarted(RestartStep),
    /// What was to end soon has ended.
    Elapsed,
}

/// The workloads an event is about. Resolved when it happens: a name stays bound to the workload it meant then.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Targets {
    All,
    Some(Vec<WorkloadName>),
}

impl History {
    /// Injects a fault into workloads among `known`.
    ///
    /// # Errors
    /// When it names a workload that is not there.
    pub fn inject<'a>(
        &mut self,
        fault: &Fault,
        known: impl IntoIterator<Item = &'a WorkloadName>,
    ) -> Result<(), ReferenceError> {
        let targets = Targets::resolve(fault.workload(), known)?;
        self.events.push(Event::Injected {
            fault: fault.clone(),
            targets,
        });
        Ok(())
    }

    /// Takes one step of a rotation.
    ///
    /// # Errors
    /// When it names a workload that is not there.
    pub fn rotate<'a>(
        &mut self,
        step: &Rotation,
        known: impl IntoIterator<Item = &'a WorkloadName>,
    ) -> Result<(), ReferenceError> {
        let targets = Targets::resolve(step.workload(), known)?;
        self.events.push(Event::Rotated {
            step: step.clone(),
            targets,
        });
        Ok(())
    }

    /// Takes one step of a restart.
    pub fn restart(&mut self, step: RestartStep) {
        self.events.push(Event::Restarted(step));
    }

    /// Lets the time pass in which leaves that were to expire while in use do so.
    pub fn elapse(&mut self) {
        self.events.push(Event::Elapsed);
    }

    /// Removes the fault of this name. Says whether it was active.
    pub fn heal(&mut self, name: &str) -> bool {
        let before = self.events.len();
        self.events
            .retain(|event| !matches!(event, Event::Injected { fault, .. } if fault.name() == name));
        self.events.len() < before
    }

    /// Removes every fault.
    pub fn heal_all(&mut self) {
        self.events
            .retain(|event| matches!(event, Event::Rotated { .. } | Event::Restarted(_)));
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The active faults, in the order they were injected.
    pub fn active(&self) -> impl Iterator<Item = &Fault> {
        self.events.iter().filter_map(|event| match event {
            Event::Injected { fault, .. } => Some(fault),
            Event::Rotated { .. } | Event::Restarted(_) | Event::Elapsed => None,
        })
    }
}

impl Targets {
    pub(super) fn resolve<'a>(
        written: Option<&OneOrMany<String>>,
        known: impl IntoIterator<Item = &'a WorkloadName>,
    ) -> Result<Self, ReferenceError> {
        let Some(written) = written else {
            return Ok(Self::All);
        };
        if written.iter().any(|name| name == "*") {
            return Ok(Self::All);
        }
        let known: Vec<&WorkloadName> = known.into_iter().collect();
        let found = written
            .iter()
            .map(|name| resolve_workload(name, known.iter().copied()));
        Ok(Self::Some(found.collect::<Result<_, _>>()?))
    }

    pub(super) fn contains(&self, workload: &WorkloadName) -> bool {
        match self {
            Self::All => true,
            Self::Some(workloads) => workloads.contains(workload),
        }
    }
}
