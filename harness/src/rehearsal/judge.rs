//! A verdict against what was broken.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Diagnosed;
use crate::call::WorkloadName;
use crate::diagnose::{Confidence, Verdict};
use crate::mesh::Desired;
use crate::outcome::{Outcome, OutcomeId};
use crate::snapshot::Object;

/// How good a diagnosis is; the worse the later.
#[derive(Clone, Copy, Debug, strum::Display, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Scored {
    /// It names what happened, and blames something that was broken; or nothing, where nothing was.
    Right,
    /// It says that it cannot decide.
    Undecided,
    /// It names something else.
    Wrong,
}

/// One diagnosis, judged.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The phase.
    pub phase: String,
    /// The call.
    pub call: String,
    /// How good it is.
    pub scored: Scored,
    /// What happened.
    pub observed: Outcome,
    /// What was diagnosed.
    pub diagnosed: Outcome,
    /// How sure the diagnosis is.
    pub confidence: Confidence,
    /// What was blamed.
    pub blamed: Vec<String>,
    /// What was broken, where something fails.
    pub broken: Vec<String>,
    /// From the question to the verdict, seconds.
    pub seconds: f64,
    /// What an agent's call became by itself; absent where none was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probed: Option<Outcome>,
}

impl Judged {
    /// Whether what the agent's call became cannot be what happened.
    pub(super) fn is_contradicted(&self) -> bool {
        let Some(probed) = &self.probed else { return false };
        let (ours, theirs) = (probed.possible(), self.observed.possible());
        // One that names nothing excludes nothing.
        !ours.is_empty() && !theirs.is_empty() && !ours.iter().any(|it| theirs.contains(it))
    }
}

/// What is different from when a scenario began.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken {
    objects: BTreeSet<String>,
    /// Whether an authority is, a root or an intermediate.
    authority: bool,
}

impl Broken {
    /// What was changed between two states: objects, and the workloads whose certificates, proxies or network were.
    pub(super) fn since(start: &Desired, now: &Desired) -> Self {
        let mut objects = BTreeSet::new();
        for (name, stored) in now.snapshot.objects() {
            if start
                .snapshot
                .get(name)
                .is_none_or(|it| it.object != stored.object)
            {
                objects.insert(name.to_string());
            }
        }
        let gone = start
            .snapshot
            .objects()
            .filter(|(name, _)| now.snapshot.get(name).is_none());
        for (name, stored) in gone {
            objects.insert(name.to_string());
            // Nobody can point at what is gone: those that it was about are what is left of it.
            if let Object::PeerAuthentication(policy) = &stored.object {
                let selector = policy.spec.selector.clone().unwrap_or_default();
                let all = now.topology.workloads.values();
                let selected = all.filter(|it| {
                    name.namespace.as_ref() == Some(&it.name.namespace) && selector.matches(&it.labels)
                });
                objects.extend(selected.map(|it| it.object.to_string()));
            }
        }
        let (before, after) = (&start.conditions, &now.conditions);
        let is_different = |workload: &&WorkloadName| {
            before.credentials.workloads.get(*workload) != after.credentials.workloads.get(*workload)
                || before.tls_limits.get(*workload) != after.tls_limits.get(*workload)
                || before.obstacles.get(*workload) != after.obstacles.get(*workload)
                || is_left_behind(now, workload)
        };
        let workloads = now.topology.workloads.iter();
        let different = workloads.filter(|(name, _)| is_different(name));
        objects.extend(different.map(|(_, it)| it.object.to_string()));
        let authorities = |desired: &Desired| {
            let held = desired.conditions.credentials.workloads.values();
            held.map(|it| (it.intermediate, it.intermediate_is_revoked))
                .collect::<Vec<_>>()
        };
        Self {
            objects,
            authority: before.credentials.roots != after.credentials.roots
                || authorities(start) != authorities(now),
        }
    }

    /// Whether one of the blamed was broken.
    fn holds_one_of(&self, blamed: &[String]) -> bool {
        let is_there =
            |it: &String| self.objects.contains(it) || (self.authority && it.starts_with("Secret/"));
        (self.objects.is_empty() && !self.authority) || blamed.iter().any(is_there)
    }
}

/// Whether a workload lacks a root that another one trusts: all others may have changed, and it is the one that did not.
fn is_left_behind(now: &Desired, workload: &WorkloadName) -> bool {
    let held = &now.conditions.credentials.workloads;
    let Some(own) = held.get(workload) else {
        return false;
    };
    let mut known = held.values().flat_map(|it| &it.bundle);
    known.any(|root| !own.bundle.contains(root))
}

impl Diagnosed {
    pub(super) fn judge(self) -> Judged {
        let none = || Outcome::unknown(Vec::new(), "no verdict");
        let verdict = self.diagnosis.verdicts.first();
        let blamed: Vec<String> = verdict
            .iter()
            .flat_map(|it| &it.responsible)
            .map(|it| it.object.clone())
            .collect();
        Judged {
            scored: verdict.map_or(Scored::Wrong, |it| {
                score(&self.observed, it, &blamed, &self.broken)
            }),
            call: self.diagnosis.subject,
            phase: self.phase,
            diagnosed: verdict.map_or_else(none, |it| it.outcome.clone()),
            confidence: verdict.map_or(Confidence::Low, |it| it.confidence),
            broken: match self.observed.id.is_delivered() {
                true => Vec::new(),
                false => self.broken.objects.into_iter().collect(),
            },
            observed: self.observed,
            blamed,
            seconds: self.seconds,
            probed: self.probed,
        }
    }
}

fn score(observed: &Outcome, verdict: &Verdict, blamed: &[String], broken: &Broken) -> Scored {
    let diagnosed = &verdict.outcome;
    if diagnosed.id == OutcomeId::Unknown {
        return Scored::Undecided;
    }
    let is_side = diagnosed.side.is_none() || observed.side.is_none() || diagnosed.side == observed.side;
    let is_named = match observed.id {
        OutcomeId::Unknown => observed.candidates.contains(&diagnosed.id),
        id => id == diagnosed.id,
    };
    let is_right = match observed.id.is_delivered() {
        true => diagnosed.id.is_delivered(),
        false => is_named && is_side && broken.holds_one_of(blamed),
    };
    match is_right {
        true => Scored::Right,
        false => Scored::Wrong,
    }
}
