//! The steps of the runbook "Istio mTLS failure", each over what was seen.
//!
//! Steps look at different things and do not know each other; what follows from all of them together is the verdict's.

mod authority;
mod certificates;
mod control_plane;
mod delivery;
mod injection;
mod logs;
mod policy;
mod probe;
mod proxies;
mod reported;

use jiff::Timestamp;

use super::check::{Check, Status, Step};
use super::observed::Observed;
use super::told::Told;
use crate::audit;
use crate::call::{Call, WorkloadName};
use crate::istio::Topology;
use crate::snapshot::Snapshot;

/// What steps look at.
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) topology: &'a Topology,
    pub(super) observed: &'a Observed,
    pub(super) told: &'a Told,
    pub(super) audit: &'a audit::Report,
    pub(super) now: Timestamp,
    /// The call in question; none for a whole namespace.
    pub(super) call: Option<&'a Call>,
    /// Who takes part: the caller first, then those called; of a namespace, all of it.
    pub(super) workloads: Vec<WorkloadName>,
}

/// A step and how it is walked.
type Walk = fn(&'static Step, &View<'_>) -> Check;

/// Every step, in the order in which they are walked.
const STEPS: &[(&Step, Walk)] = &[
    (&control_plane::RUNNING, control_plane::running),
    (&control_plane::LOGS, control_plane::logs),
    (&policy::MODE, policy::mode),
    (&policy::RULES, policy::rules),
    (&policy::OBJECTS, reported::walk),
    (&injection::SIDECARS, injection::sidecars),
    (&injection::LABELS, injection::labels),
    (&injection::WEBHOOK, reported::walk),
    (&proxies::IN_SYNC, proxies::in_sync),
    (&proxies::VERSIONS, proxies::versions),
    (&certificates::IN_USE, certificates::in_use),
    (&certificates::ROOTS, certificates::roots),
    (&authority::VALID, reported::walk),
    (&delivery::FLUX, delivery::flux),
    (&logs::TOLD, logs::told),
    (&probe::CALL, probe::call),
];

/// Every step, as it is documented.
pub fn steps() -> impl Iterator<Item = &'static Step> {
    STEPS.iter().map(|(step, _)| *step)
}

/// Walks all of them.
pub(super) fn walk(view: &View<'_>) -> Vec<Check> {
    STEPS.iter().map(|(step, walk)| walk(step, view)).collect()
}

impl<'a> View<'a> {
    /// What the proxies of those who take part showed.
    fn proxies(&self) -> impl Iterator<Item = (&'a crate::call::PodName, &'a super::ProxySeen)> {
        self.observed
            .proxies
            .iter()
            .filter(|(pod, _)| self.workloads.contains(&pod.workload))
    }

    /// The check, which says so where nothing was seen or nothing is wrong.
    fn nothing_seen(&self, mut check: Check, well: &str) -> Check {
        let is_any = self.workloads.iter().any(|it| self.topology.has_sidecar(it));
        if !is_any {
            return check.not_applicable("no end has a proxy");
        }
        if self.proxies().next().is_none() {
            return check.missing("no proxy was asked: the input is not of a cluster that can be reached");
        }
        if check.found.is_empty() {
            check.tell(Status::Ok, well);
        }
        check
    }
}
