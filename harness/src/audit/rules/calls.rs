//! Calls that fail, and calls that the upgrade changes.

use std::collections::BTreeMap;

use crate::audit::calls::{CallGroup, ending};
use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Findings, Rule};
use crate::audit::view::View;
use crate::istio::RuleId;
use crate::istio::matrix::Decider;
use crate::outcome::OutcomeId;

const ENGINE: &str = "prediction (docs/rules.md)";

/// The rules that are asked before any that explains why a call fails.
pub(super) const BEFORE: &[Rule] = &[CHANGE, UNPREDICTED];

/// The rules that take what those between do not explain, the last of them everything.
pub(super) const AFTER: &[Rule] = &[NO_SERVER, PLAIN_CLIENT, FAIL_NOW];

/// The upgrade changes what becomes of calls.
pub(super) const CHANGE: Rule = Rule {
    code: "calls.change",
    category: Category::Calls,
    severity: Severity::High,
    title: "the upgrade changes the outcome of no call",
    explanation: "The same objects mean something else at the target release: calls that were delivered fail, lose \
                  mTLS, or the other way round.",
    remedy: "Write down explicitly what both releases read alike, before the upgrade.",
    source: ENGINE,
    check: Check::Mesh(change),
};

/// What takes part in calls is outside of the rules.
const UNPREDICTED: Rule = Rule {
    code: "calls.unpredicted",
    category: Category::Calls,
    severity: Severity::Info,
    title: "every call can be predicted",
    explanation: "An object takes part in calls whose effect is not modelled (Sidecar, EnvoyFilter, ServiceEntry, \
                  AuthorizationPolicy, gateways, ambient): what becomes of them is not known.",
    remedy: "Try these calls in a cluster.",
    source: ENGINE,
    check: Check::Mesh(unpredicted),
};

/// Calls to Services that nobody answers.
const NO_SERVER: Rule = Rule {
    code: "calls.no-server",
    category: Category::Calls,
    severity: Severity::Info,
    title: "somebody answers every Service",
    explanation: "A Service has no pod, or no port of that name in its pods. Its workload may be in another folder.",
    remedy: "Give the folder with the workloads too, or correct the Service's selector and ports.",
    source: ENGINE,
    check: Check::Failing(|group, _| {
        let nobody = matches!(group.now.id, OutcomeId::NoHealthyUpstream | OutcomeId::NoRoute);
        let is_refused = group.now.id == OutcomeId::ConnectionRefused;
        (nobody || is_refused).then_some(Severity::Info)
    }),
};

/// Workloads outside of the mesh and servers that demand it: which is what STRICT is for.
const PLAIN_CLIENT: Rule = Rule {
    code: "policy.plain-client",
    category: Category::Policy,
    severity: Severity::Info,
    title: "every workload may call every STRICT server",
    explanation: "A workload without sidecar cannot call servers that say STRICT. That is what STRICT is for, and no \
                  mistake unless somebody counts on these calls.",
    remedy: "Inject the caller, or say PERMISSIVE for the port it needs.",
    source: "pilot/pkg/networking/core/listener_inbound.go@1.30.3",
    check: Check::Failing(|group, _| {
        group
            .rests_on(&[RuleId::ClientWithoutSidecar])
            .then_some(Severity::Info)
    }),
};

/// Calls that fail for a reason no other rule knows.
const FAIL_NOW: Rule = Rule {
    code: "calls.fail-now",
    category: Category::Calls,
    severity: Severity::High,
    title: "no call between workloads of the mesh fails",
    explanation: "Both ends have a sidecar, and the configuration makes their calls fail already today.",
    remedy: "See `predict` for the objects that decide, and change one of them.",
    source: ENGINE,
    check: Check::Failing(|group, _| {
        // What an application speaks is in no object: its declarations contradict each other, which is all that is known.
        let is_guess = group.now.id == OutcomeId::ProtocolMismatch;
        Some(if is_guess {
            Severity::Medium
        } else {
            Severity::High
        })
    }),
};

fn change(view: &View<'_>, found: &mut Findings<'_>) {
    let mut alike: BTreeMap<_, Vec<&CallGroup>> = BTreeMap::new();
    for group in view.calls.iter().filter(|it| it.changes()) {
        let (now, then) = (ending(&group.now.outcome()), ending(&group.then.outcome()));
        alike.entry((group.culprit(), now, then)).or_default().push(group);
    }
    for ((culprit, now, then), groups) in alike {
        let message = format!(
            "{}: {now} at {}, {then} at {}",
            text(&groups),
            view.current,
            view.target
        );
        let improves = groups.iter().all(|it| it.fails() && it.then.id.is_delivered());
        let unknown = groups
            .iter()
            .any(|it| it.then.id == OutcomeId::Unknown || it.now.id == OutcomeId::Unknown);
        let severity = match (improves, unknown) {
            (true, _) => Severity::Low,
            (false, true) => Severity::Medium,
            (false, false) => Severity::High,
        };
        let stored = culprit.as_ref().and_then(|it| Some((it, view.snapshot.get(it)?)));
        let finding = match stored {
            Some((object, stored)) => found.at(object, stored, message),
            None => found.mesh(message),
        };
        finding.detail(format!("{now}>{then}")).severity(severity);
    }
}

fn unpredicted(view: &View<'_>, found: &mut Findings<'_>) {
    let mut by_reason: BTreeMap<(RuleId, String), Vec<&CallGroup>> = BTreeMap::new();
    for group in view.calls.iter().filter(|it| it.now.id == OutcomeId::Unknown) {
        let unmodelled = group
            .now
            .because
            .iter()
            .find(|it| it.rule.as_str().starts_with("unmodelled."));
        if let Some(step) = unmodelled {
            let object = match &step.by {
                Decider::Object(object) => object.clone(),
                // Its own end stands for itself in a group; the example names it.
                by => by.to_string(),
            };
            by_reason.entry((step.rule, object)).or_default().push(group);
        }
    }
    for ((rule, object), groups) in by_reason {
        let stored = object.parse().ok().and_then(|it| view.snapshot.get(&it));
        let message = format!("{} cannot be predicted: {}", text(&groups), rule.meaning());
        match stored {
            Some(stored) => found.about(&object, &stored.source, message),
            None => found.mesh(message),
        }
        .detail(rule);
    }
}

/// Several groups as one.
fn text(groups: &[&CallGroup]) -> String {
    let calls: usize = groups.iter().map(|it| it.calls).sum();
    let Some(first) = groups.first() else {
        return String::new();
    };
    CallGroup {
        calls,
        ..(*first).clone()
    }
    .text()
}
