//! The state that faults and rotations leave.

use std::collections::{BTreeMap, BTreeSet};

use super::TlsLimits;
use super::history::{Event, History};
use super::replay::Replay;
use crate::call::{PodName, WorkloadName};
use crate::outcome::Side;
use crate::pki::Credentials;

/// What is deliberately different from what the objects of the snapshot ask for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conditions {
    /// The certificates in force.
    pub credentials: Credentials,
    /// Limits of a proxy's TLS, by workload and the end it is of a call.
    pub tls_limits: BTreeMap<WorkloadName, BTreeMap<Side, TlsLimits>>,
    /// What stands in the way to a workload's pods, by port; `None` for all ports.
    pub obstacles: BTreeMap<WorkloadName, BTreeMap<Option<u16>, Obstacle>>,
    /// Workloads whose application sends past its sidecar.
    pub uncaptured: BTreeSet<WorkloadName>,
    /// Whether the injection webhook is removed: pods made meanwhile get no sidecar.
    pub webhook_removed: bool,
    /// How often pods were replaced by new ones that nothing but a restart asked for.
    pub restarts: BTreeMap<PodName, u32>,
    /// Pods that run and to which no Service leads: about to end, or not ready yet.
    pub unready: BTreeSet<PodName>,
    /// Workloads of which no pod runs, although Services lead to them.
    pub killed: BTreeSet<WorkloadName>,
}

/// What the network does with connections to a port.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Obstacle {
    /// It drops them.
    BlackHole,
    /// They are accepted, and nobody answers.
    Silence,
    /// They are refused.
    Refusal,
    /// They come to the application, past its sidecar.
    Bypass,
    /// They come to this port of the pod, past its sidecar.
    Misdirection(u16),
}

impl Conditions {
    /// The state after `history`, for workloads of these identities (their SPIFFE ids).
    ///
    /// What happened to a workload that is not among `identities` has no effect; a workload that appeared later than
    /// a rotation of `*` is as if it had been there.
    #[must_use]
    pub fn of(identities: &BTreeMap<WorkloadName, String>, history: &History) -> Self {
        let mut replay = Replay::healthy(identities);
        for event in history.events() {
            match event {
                Event::Injected { fault, targets } => replay.inject(fault, targets),
                Event::Rotated { step, targets } => replay.rotate(step, targets),
                Event::Restarted(step) => replay.restart(step),
                Event::Elapsed => replay.elapse(),
            }
        }
        replay.conditions()
    }

    /// How often each pod of a workload was restarted, of those that were.
    pub fn restarts_of(&self, workload: &WorkloadName) -> impl Iterator<Item = u32> {
        let of_pods = self
            .restarts
            .iter()
            .filter(move |(pod, _)| pod.workload == *workload);
        of_pods.map(|(_, count)| *count)
    }

    /// The limits of a workload's proxy at that end of a call, if it has any.
    #[must_use]
    pub fn limits(&self, workload: &WorkloadName, end: Side) -> Option<&TlsLimits> {
        self.tls_limits.get(workload)?.get(&end)
    }

    /// What stands in the way to a port of a workload's pods.
    #[must_use]
    pub fn obstacle(&self, workload: &WorkloadName, port: u16) -> Option<Obstacle> {
        let ports = self.obstacles.get(workload);
        let placed = ports.and_then(|ports| ports.get(&Some(port)).or_else(|| ports.get(&None)));
        let nobody_there = self.killed.contains(workload).then_some(Obstacle::Refusal);
        placed.copied().or(nobody_there)
    }
}
