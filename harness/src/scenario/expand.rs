//! From expectations to calls: lists, `*` and several endpoints each become calls of their own.

use std::collections::BTreeMap;

use semver::VersionReq;
use serde::{Deserialize, Serialize};

use super::format::{Expectation, When};
use crate::call::{Call, CallKind, Destination, PodName, WorkloadName};
use crate::istio::address::{self, AddressError, Target};
use crate::istio::{Topology, Workload};
use crate::mesh::Tier;
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::reference::{ReferenceError, resolve_workload};

/// What must become of a call.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Expected {
    /// The outcome.
    pub outcome: OutcomeId,
    /// The end that refuses; not given: not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// With `unknown`: what it may be; empty: not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<OutcomeId>,
}

impl Expected {
    /// Whether an outcome is the expected one. What the expectation leaves open is not judged.
    #[must_use]
    pub fn holds_for(&self, outcome: &Outcome) -> bool {
        self.outcome == outcome.id
            && self.side.is_none_or(|side| outcome.side == Some(side))
            && (self.candidates.is_empty() || self.candidates == outcome.candidates)
    }
}

/// One call to make, and what must become of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExpectedCall {
    /// `scenario::phase::caller->destination`, unique in the catalogue; `#…` for what is not default, `@pod` where a
    /// Service has several endpoints.
    pub id: String,
    /// The call.
    pub call: Call,
    /// What must become of it.
    pub expected: Expected,
    /// Which expectation of the phase it comes from, counted from 0.
    pub expectation: usize,
}

/// What an expectation says that the topology does not have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExpandError {
    /// `from` names no single workload.
    #[error(transparent)]
    From(#[from] ReferenceError),
    /// `from` names a workload that has no pods, so nobody could make the call.
    #[error("workload `{0}` has no pod to call from")]
    NoCaller(WorkloadName),
    /// `to` leads nowhere.
    #[error(transparent)]
    To(#[from] AddressError),
    /// `when` holds no version requirement.
    #[error("`{written}` is no version requirement: {reason}")]
    When {
        /// As written.
        written: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two expectations of one phase are about the same call.
    #[error("`{0}` is expected twice")]
    Twice(String),
}

/// The calls of a phase: every call its expectations stand for in this topology, in the order written.
///
/// `prefix` is what ids begin with, `scenario::phase`. Without a tier, conditions on tiers are taken to hold.
///
/// # Errors
/// The first thing an expectation says that the topology does not have; a loaded scenario has none.
pub fn expand(
    prefix: &str,
    expectations: &[Expectation],
    topology: &Topology,
    tier: Option<Tier>,
) -> Result<Vec<ExpectedCall>, ExpandError> {
    let mut calls: Vec<ExpectedCall> = Vec::new();
    let mut seen = BTreeMap::new();
    for (index, expectation) in expectations.iter().enumerate() {
        let expansion = expansion(expectation, topology, tier);
        if let Some((_, error)) = expansion.errors.into_iter().next() {
            return Err(error);
        }
        for call in expansion.calls {
            let id = format!("{prefix}::{}", call);
            if seen.insert(id.clone(), index).is_some() {
                return Err(ExpandError::Twice(id));
            }
            calls.push(ExpectedCall {
                id,
                call,
                expected: expected(expectation),
                expectation: index,
            });
        }
    }
    Ok(calls)
}

/// What one expectation stands for, and all that is wrong with it.
pub(super) struct Expansion {
    pub(super) calls: Vec<Call>,
    pub(super) errors: Vec<(Origin, ExpandError)>,
}

/// The entry of an expectation that an error is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    From(usize),
    To(usize),
    Client,
    Server,
}

pub(super) fn expansion(expectation: &Expectation, topology: &Topology, tier: Option<Tier>) -> Expansion {
    let mut found = Expansion {
        calls: Vec::new(),
        errors: Vec::new(),
    };
    let when = found.conditions(expectation.when.as_ref(), tier);
    let callers = found.callers(expectation, topology);
    for (index, to) in expectation.to.iter().enumerate() {
        for caller in &callers {
            // Calling what does not exist is the point of an expected `no-route`.
            let lenient = expectation.outcome == OutcomeId::NoRoute;
            match address::resolve(to, &caller.workload.name.namespace, topology, lenient) {
                Ok(targets) => {
                    let pattern = caller.pattern || to.starts_with("*:");
                    let others = targets
                        .iter()
                        .filter(|target| !(pattern && target.is_own(caller.workload)));
                    for target in others {
                        found
                            .calls
                            .extend(calls(expectation, caller.workload, target, topology));
                    }
                }
                Err(error) => found.errors.push((Origin::To(index), error.into())),
            }
        }
    }
    found.errors.dedup();
    found.calls.retain(|call| when.holds_for(call, topology));
    found
}

pub(super) fn expected(expectation: &Expectation) -> Expected {
    let mut candidates = expectation.candidates.clone();
    candidates.sort_unstable();
    Expected {
        outcome: expectation.outcome,
        side: expectation.side,
        candidates,
    }
}

struct Caller<'a> {
    workload: &'a Workload,
    /// Whether it comes from `*`: then it does not call itself.
    pattern: bool,
}

impl Expansion {
    fn callers<'a>(&mut self, expectation: &Expectation, topology: &'a Topology) -> Vec<Caller<'a>> {
        let mut callers = Vec::new();
        for (index, from) in expectation.from.iter().enumerate() {
            if from == "*" {
                let all = topology
                    .workloads
                    .values()
                    .filter(|w| w.replicas > 0 && !w.gateway);
                callers.extend(all.map(|workload| Caller {
                    workload,
                    pattern: true,
                }));
                continue;
            }
            let found = resolve_workload(from, topology.workloads.keys()).map_err(ExpandError::from);
            let found = found.and_then(|name| match topology.workloads.get(&name) {
                Some(workload) if workload.replicas > 0 => Ok(workload),
                _ => Err(ExpandError::NoCaller(name)),
            });
            match found {
                Ok(workload) => callers.push(Caller {
                    workload,
                    pattern: false,
                }),
                Err(error) => self.errors.push((Origin::From(index), error)),
            }
        }
        callers
    }

    fn conditions(&mut self, when: Option<&When>, tier: Option<Tier>) -> Conditions {
        let mut requirement = |written: Option<&String>, origin| {
            let written = written?;
            let parsed = VersionReq::parse(written).map_err(|error| ExpandError::When {
                written: written.clone(),
                reason: error.to_string(),
            });
            parsed.map_err(|error| self.errors.push((origin, error))).ok()
        };
        let client = requirement(when.and_then(|w| w.client.as_ref()), Origin::Client);
        let server = requirement(when.and_then(|w| w.server.as_ref()), Origin::Server);
        let tiers = when.and_then(|w| w.tier.as_ref());
        Conditions {
            client,
            server,
            tier: tiers
                .zip(tier)
                .is_none_or(|(tiers, tier)| tiers.iter().any(|t| *t == tier)),
        }
    }
}

impl Target<'_> {
    fn is_own(&self, caller: &Workload) -> bool {
        match &self.destination {
            Destination::Pod { pod, .. } => pod.workload == caller.name,
            _ => self
                .service
                .is_some_and(|service| service.workloads.contains(&caller.name)),
        }
    }
}

fn calls(
    expectation: &Expectation,
    caller: &Workload,
    target: &Target<'_>,
    topology: &Topology,
) -> Vec<Call> {
    let call = |endpoint: Option<PodName>| Call {
        from: caller.name.clone(),
        to: target.destination.clone(),
        endpoint,
        kind: expectation.call,
        payload: expectation.payload,
        alpn: expectation.alpn.iter().flatten().cloned().collect(),
        subset: expectation.subset.clone(),
    };
    match topology.reached(&target.destination).as_slice() {
        // Its endpoints are none of those that get copies.
        _ if expectation.call == CallKind::Mirrored => vec![call(None)],
        [] | [_] => vec![call(None)],
        several => several.iter().map(|(pod, _)| call(Some(pod.clone()))).collect(),
    }
}

struct Conditions {
    client: Option<VersionReq>,
    server: Option<VersionReq>,
    tier: bool,
}

impl Conditions {
    fn holds_for(&self, call: &Call, topology: &Topology) -> bool {
        let matches = |requirement: &Option<VersionReq>, workload: Option<&WorkloadName>| {
            let release = workload.and_then(|name| topology.workloads.get(name)?.proxy_release());
            requirement
                .as_ref()
                .is_none_or(|wanted| release.is_some_and(|r| wanted.matches(r)))
        };
        // A raw call bypasses the caller's sidecar: its release decides nothing.
        let client = call.kind.is_of_application().then_some(&call.from);
        self.tier && matches(&self.client, client) && matches(&self.server, server(call, topology).as_ref())
    }
}

/// The workload a call is about, if it is about one.
pub(super) fn server(call: &Call, topology: &Topology) -> Option<WorkloadName> {
    let pod = call.endpoint.clone();
    let pod = pod.or_else(|| Some(topology.reached(&call.to).into_iter().next()?.0));
    pod.map(|pod| pod.workload)
}
