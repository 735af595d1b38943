//! What is asked: one call, or all calls of a namespace.

use std::collections::BTreeSet;

use super::court::Court;
use super::ends;
use super::verdict::Verdict;
use crate::call::{Call, CallKind, Destination, Payload, WorkloadName};
use crate::istio::Topology;
use crate::istio::matrix::{CallShape, predict_ports};
use crate::istio::policy::ListenerClass;
use crate::outcome::OutcomeId;

/// How many different failures of a namespace get a verdict of their own.
const VERDICTS: usize = 20;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Why this call fails.
    Call(Box<Call>),
    /// Which calls from and to this namespace fail, and why.
    Namespace(String),
    /// The same of the whole mesh.
    Mesh,
}

impl Subject {
    pub(super) fn call(&self) -> Option<&Call> {
        match self {
            Self::Call(call) => Some(call),
            Self::Namespace(_) | Self::Mesh => None,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Call(call) => call.to_string(),
            Self::Namespace(namespace) => format!("namespace {namespace}"),
            Self::Mesh => "the mesh".to_owned(),
        }
    }

    /// Whether a workload takes part.
    fn is_about(&self, workload: &WorkloadName) -> bool {
        match self {
            Self::Call(_) => false,
            Self::Namespace(namespace) => workload.namespace == *namespace,
            Self::Mesh => true,
        }
    }

    /// Who takes part: the caller, and those called; of a namespace, all of it.
    #[must_use]
    pub fn workloads(&self, topology: &Topology) -> Vec<WorkloadName> {
        let Self::Call(call) = self else {
            let all = topology.workloads.keys();
            return all.filter(|it| self.is_about(it)).cloned().collect();
        };
        let mut found = vec![call.from.clone()];
        let servers = ends::servers(topology, call).into_iter();
        found.extend(servers.filter(|it| *it != call.from));
        found
    }

    /// The verdicts, and how many calls were looked at.
    pub(super) fn verdicts(&self, court: &Court<'_>) -> (Vec<Verdict>, usize) {
        match self {
            Self::Call(call) => (vec![court.verdict(call)], 1),
            Self::Namespace(_) | Self::Mesh => self.of_many(court),
        }
    }

    /// One verdict for all calls that fail alike: by prediction from what is held, and by what logs tell.
    fn of_many(&self, court: &Court<'_>) -> (Vec<Verdict>, usize) {
        let conditions = court.inferred.conditions(&[]);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut verdicts: Vec<Verdict> = Vec::new();
        let mut calls = 0;
        for payload in [Payload::Http, Payload::Tcp] {
            let shape = CallShape {
                payload,
                ..CallShape::default()
            };
            let is_tcp = payload == Payload::Tcp;
            let matrix = predict_ports(court.topology, &conditions, &shape, |port| {
                (port.class == ListenerClass::Tcp) == is_tcp
            });
            for cell in matrix.cells() {
                let call = || matrix.call(cell.caller, cell.column);
                let id = cell.verdict.id;
                let fails = !id.is_delivered() && id != OutcomeId::Unknown;
                let group = format!(
                    "{payload:?} {} {}",
                    matrix.caller_group(cell.caller),
                    matrix.verdict_index(cell.caller, cell.column)
                );
                if !fails {
                    calls += usize::from(self.is_of(court.topology, &call()));
                    continue;
                }
                let call = call();
                if !self.is_of(court.topology, &call) {
                    continue;
                }
                calls += 1;
                if verdicts.len() < VERDICTS && seen.insert(group) {
                    let verdict = court.verdict(&call);
                    if !verdicts.iter().any(|it| it.is_like(&verdict)) {
                        verdicts.push(verdict);
                    }
                }
            }
        }
        for call in self.told(court) {
            let verdict = court.verdict(&call);
            let is_new =
                !verdict.outcome.id.is_delivered() && !verdicts.iter().any(|it| it.is_like(&verdict));
            if is_new && verdicts.len() < VERDICTS {
                verdicts.push(verdict);
            }
        }
        verdicts.sort_by_key(|it| std::cmp::Reverse(it.confidence));
        (verdicts, calls)
    }

    fn is_of(&self, topology: &Topology, call: &Call) -> bool {
        self.is_about(&call.from)
            || topology
                .reached(&call.to)
                .iter()
                .any(|(pod, _)| self.is_about(&pod.workload))
    }

    /// The calls that logs tell a failure of, whatever is predicted of them.
    fn told(&self, court: &Court<'_>) -> Vec<Call> {
        let mut found: Vec<Call> = Vec::new();
        let domain = &court.topology.mesh.cluster_domain;
        for finding in court.told.findings() {
            let caller = court
                .observed
                .proxies
                .iter()
                .find(|(_, it)| it.pod == finding.source);
            let (Some((pod, _)), Some(upstream)) = (caller, &finding.upstream) else {
                continue;
            };
            let mut services = court.topology.services.iter().flat_map(|(key, service)| {
                service.ports.iter().map(move |port| Destination::Service {
                    namespace: key.0.clone(),
                    name: key.1.clone(),
                    port: port.port,
                })
            });
            let Some(to) = services.find(|it| it.authority(domain) == *upstream) else {
                continue;
            };
            let call = Call {
                kind: CallKind::App,
                ..Call::app(pod.workload.clone(), to)
            };
            if self.is_of(court.topology, &call) && !found.contains(&call) {
                found.push(call);
            }
        }
        found
    }
}
