//! Where a call may end.

use crate::call::{Call, CallKind, Payload, PodName, WorkloadName};
use crate::istio::Topology;
use crate::istio::policy::RouteTarget;

/// The pods that may answer a call, and their ports: the one it names, those behind the Service, or those that a
/// VirtualService sends it, or its copy, to.
pub(super) fn answering(topology: &Topology, call: &Call) -> Vec<(PodName, u16)> {
    let mut found = routed(topology, call).unwrap_or_else(|| topology.reached(&call.to));
    if let Some(endpoint) = &call.endpoint {
        found.retain(|(pod, _)| pod == endpoint);
    }
    found
}

/// The workloads of those pods, each once.
pub(crate) fn servers(topology: &Topology, call: &Call) -> Vec<WorkloadName> {
    let mut found: Vec<WorkloadName> = Vec::new();
    for (pod, _) in answering(topology, call) {
        if !found.contains(&pod.workload) {
            found.push(pod.workload);
        }
    }
    found
}

fn routed(topology: &Topology, call: &Call) -> Option<Vec<(PodName, u16)>> {
    let (namespace, name, port) = call.to.service()?;
    let is_of_application = matches!(call.kind, CallKind::App | CallKind::Mirrored);
    if !is_of_application || call.payload != Payload::Http || call.subset.is_some() {
        return None;
    }
    if !topology.has_sidecar(&call.from) {
        return None;
    }
    let route = topology.route(&call.from, namespace, name, port)?;
    let targets: Vec<RouteTarget> = match call.kind {
        CallKind::Mirrored => route.mirrors.into_iter().map(|it| it.to).collect(),
        _ => route.destinations.into_iter().map(|(to, _)| to).collect(),
    };
    let mut found = Vec::new();
    for target in &targets {
        let endpoints = topology.routed(&call.from, target)?.endpoints;
        for it in endpoints.into_iter().map(|it| (it.pod, it.port)) {
            if !found.contains(&it) {
                found.push(it);
            }
        }
    }
    Some(found)
}
