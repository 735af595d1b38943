//! Every call of the mesh, predicted at the current and at the target release and grouped by what becomes of it.

use crate::call::{Call, Payload};
use crate::fault::Conditions;
use crate::istio::matrix::{CallShape, Decider, Step, Verdict, joint, predict_ports};
use crate::istio::policy::ListenerClass;
use crate::istio::{RuleId, Topology};
use crate::outcome::{Outcome, OutcomeId};
use crate::snapshot::ObjectRef;

/// Calls of which the same becomes, for the same reasons, at either release.
#[derive(Clone, Debug)]
pub(super) struct CallGroup {
    pub(super) now: Verdict,
    pub(super) then: Verdict,
    pub(super) calls: usize,
    /// One of them.
    pub(super) example: Call,
}

impl CallGroup {
    /// Whether the calls are refused or lost at the current release.
    pub(super) fn fails(&self) -> bool {
        !self.now.id.is_delivered() && self.now.id != OutcomeId::Unknown
    }

    /// Whether the target release makes something else of the calls.
    pub(super) fn changes(&self) -> bool {
        !self.now.outcome().agrees_with(&self.then.outcome())
    }

    /// Whether a rule takes part in what becomes of the calls now.
    pub(super) fn rests_on(&self, rules: &[RuleId]) -> bool {
        self.now.because.iter().any(|step| rules.contains(&step.rule))
    }

    /// The object to blame: a rule, route or policy, in this order, else the Service called.
    pub(super) fn culprit(&self) -> Option<ObjectRef> {
        let because = || self.now.because.iter().chain(&self.then.because);
        let objects: Vec<ObjectRef> = because().filter_map(object).collect();
        let kinds = ["DestinationRule", "VirtualService", "PeerAuthentication"];
        let of_kind = |kind: &&str| objects.iter().find(|it| it.kind == **kind).cloned();
        kinds
            .iter()
            .find_map(of_kind)
            .or_else(|| objects.first().cloned())
    }

    /// As people read it: `12 calls, as payments/checkout->payments/payment:8080`.
    pub(super) fn text(&self) -> String {
        match self.calls {
            1 => format!("the call {}", self.example),
            calls => format!("{calls} calls such as {}", self.example),
        }
    }

    /// What decides, in words.
    pub(super) fn reasons(&self) -> String {
        let reason = |step: &Step| match &step.by {
            Decider::Default => step.rule.to_string(),
            by => format!("{} of {by}", step.rule),
        };
        self.now.because.iter().map(reason).collect::<Vec<_>>().join(", ")
    }
}

fn object(step: &Step) -> Option<ObjectRef> {
    match &step.by {
        Decider::Object(object) => object.parse().ok(),
        _ => None,
    }
}

/// Groups of all calls, each port called with what it is declared to speak.
pub(super) fn groups(now: &Topology, then: &Topology) -> Vec<CallGroup> {
    let conditions = Conditions::default();
    let mut found = Vec::new();
    for payload in [Payload::Http, Payload::Tcp] {
        let shape = CallShape {
            payload,
            ..CallShape::default()
        };
        let is_tcp = payload == Payload::Tcp;
        let of = |topology| {
            predict_ports(topology, &conditions, &shape, |port| {
                (port.class == ListenerClass::Tcp) == is_tcp
            })
        };
        let (one, other) = (of(now), of(then));
        found.extend(joint(&one, &other).into_iter().map(|group| CallGroup {
            now: one.verdicts()[group.verdicts.0].clone(),
            then: other.verdicts()[group.verdicts.1].clone(),
            calls: group.calls,
            example: one.call(group.example.0, group.example.1),
        }));
    }
    found
}

/// An outcome as a message says it: `plaintext-to-strict, refused by the server`.
pub(super) fn ending(outcome: &Outcome) -> String {
    match outcome.side {
        Some(side) => format!("{}, refused by the {side}", outcome.id),
        None => outcome.id.to_string(),
    }
}
