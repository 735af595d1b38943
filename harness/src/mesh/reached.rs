//! Which pods a call may reach, and which one it is about: the same on every tier that makes calls.

use crate::call::{Call, CallKind, Payload, PodName};
use crate::istio::Topology;
use crate::istio::policy::Outbound;

/// A port of a pod.
pub(crate) type PodPort = (PodName, u16);

/// The pods and ports that may answer a call, in a stable order. Several for a Service with several endpoints.
pub(super) fn candidates(topology: &Topology, call: &Call) -> Vec<PodPort> {
    if let Some(routed) = routed(topology, call) {
        let endpoints = routed.endpoints.into_iter();
        return endpoints.map(|endpoint| (endpoint.pod, endpoint.port)).collect();
    }
    topology.reached(&call.to)
}

/// The pod and port a call is about: the endpoint it names, else the first.
pub(super) fn target(topology: &Topology, call: &Call) -> Option<PodPort> {
    let mut candidates = candidates(topology, call).into_iter();
    match &call.endpoint {
        Some(endpoint) => candidates.find(|(pod, _)| pod == endpoint),
        None => candidates.next(),
    }
}

/// What the caller's sidecar does where a VirtualService sends the call, or its copy, elsewhere. `None` where none does,
/// and where that depends on weights.
fn routed(topology: &Topology, call: &Call) -> Option<Outbound> {
    let (namespace, name, port) = call.to.service()?;
    let route = topology.route(&call.from, namespace, name, port)?;
    let plain = call.payload == Payload::Http && call.subset.is_none() && call.endpoint.is_none();
    match (call.kind, route.destinations.as_slice(), route.mirrors.as_slice()) {
        (CallKind::Mirrored, _, [mirror, ..]) => topology.routed(&call.from, &mirror.to),
        (CallKind::App, [(to, _)], _) if plain => topology.routed(&call.from, to),
        _ => None,
    }
}

/// The ALPN list that a raw caller with a certificate offers: as asked, else what a sidecar would for the same payload.
pub(super) fn alpn_of_a_sidecar(call: &Call) -> Vec<String> {
    if !call.alpn.is_empty() {
        return call.alpn.clone();
    }
    let protocols: &[&str] = match call.payload {
        Payload::Http => &["istio-http/1.1", "istio", "http/1.1"],
        Payload::Tcp | Payload::ServerFirst => &["istio"],
    };
    protocols.iter().map(|&protocol| protocol.to_owned()).collect()
}
