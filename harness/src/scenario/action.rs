//! What a phase does, in steps that come into force one after the other.

use std::borrow::Cow;
use std::fmt;

use super::{Causes, Phase, Scenario, expects_a_refusal};
use crate::fault::{Fault, Restart, RestartStep, Rotation};
use crate::one_or_many::OneOrMany;

/// Something a phase does that comes into force at once.
#[derive(Clone, Debug)]
pub(super) enum Action<'a> {
    /// Changes of objects, together.
    Change(&'a Phase),
    /// Faults that end, together.
    Heal(&'a OneOrMany<String>),
    /// Faults that begin, together.
    Inject(&'a [Fault]),
    /// Certificates that were injected to end soon do.
    Elapse,
    /// A rotation, or one step of it.
    Rotate(Cow<'a, Rotation>),
    /// A restart.
    Restart(&'a Restart),
    /// One step of a restart.
    RestartStep(RestartStep),
}

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(_) => f.write_str("objects"),
            Self::Heal(names) => write!(f, "heal {names}"),
            Self::Inject(faults) => {
                let names: Vec<&str> = faults.iter().map(Fault::name).collect();
                write!(f, "inject {}", names.join(", "))
            }
            Self::Elapse => f.write_str("the leaf expires"),
            Self::Rotate(step) => write!(f, "rotate {step}"),
            Self::Restart(restart) => write!(f, "restart {restart}"),
            Self::RestartStep(step) => step.fmt(f),
        }
    }
}

/// What a phase does, in the order of the format.
pub(super) fn actions(scenario: &Scenario, index: usize, causes: Causes) -> Vec<Action<'_>> {
    let Some(phase) = scenario.file.spec.phases.get(index) else {
        return Vec::new();
    };
    let mut actions = Vec::new();
    let whole = causes == Causes::Present || !expects_a_refusal(phase);
    if whole && !(phase.delete.is_empty() && phase.manifests.is_empty() && phase.apply.is_empty()) {
        actions.push(Action::Change(phase));
    }
    actions.extend(phase.heal.as_ref().map(Action::Heal));
    if causes == Causes::Present && !phase.inject.is_empty() {
        actions.push(Action::Inject(&phase.inject));
        if phase
            .inject
            .iter()
            .any(|fault| matches!(fault, Fault::ExpiringLeaf(_)))
        {
            actions.push(Action::Elapse);
        }
    }
    if whole {
        let written = phase.rotate.iter().flatten();
        actions.extend(written.map(|step| Action::Rotate(Cow::Borrowed(step))));
        actions.extend(phase.restart.as_ref().map(Action::Restart));
    }
    actions
}
