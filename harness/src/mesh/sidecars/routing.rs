//! Where VirtualServices send calls and their copies.

use super::network::PodPort;
use crate::call::{Call, CallKind, Payload};
use crate::istio::Topology;
use crate::istio::policy::{Mirror, Outbound, RouteTarget};

/// The pods and ports that may answer a call, in a stable order. Several for a Service with several endpoints.
pub(in crate::mesh) fn candidates(topology: &Topology, call: &Call) -> Vec<PodPort> {
    if let Some(routed) = routed(topology, call) {
        let endpoints = routed.endpoints.into_iter();
        return endpoints.map(|endpoint| (endpoint.pod, endpoint.port)).collect();
    }
    topology.reached(&call.to)
}

/// The pod and port a call is about: the endpoint it names, else the first.
pub(in crate::mesh) fn target(topology: &Topology, call: &Call) -> Option<PodPort> {
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

/// The clusters that take part where a VirtualService has a call copied.
pub(super) struct Copies {
    /// The one that the call is about.
    pub(super) cluster_of_call: String,
    /// Those that get a copy of every call.
    pub(super) clusters: Vec<String>,
}

/// What of a call's traffic is copied; `None` where nothing is.
pub(super) fn copies(topology: &Topology, call: &Call) -> Option<Copies> {
    let (namespace, name, port) = call.to.service()?;
    let plain = call.kind.is_of_application() && call.payload == Payload::Http && call.subset.is_none();
    let route = topology
        .route(&call.from, namespace, name, port)
        .filter(|_| plain)?;
    let is_certain =
        |mirror: &&Mirror| mirror.is_of_all() && topology.routed(&call.from, &mirror.to).is_some();
    let certain = route.mirrors.iter().filter(is_certain);
    let clusters: Vec<String> = certain.map(|mirror| mirror.to.cluster_name()).collect();
    let about = match call.kind {
        CallKind::Mirrored => Some(&route.mirrors.first()?.to),
        _ => route.destinations.first().map(|(to, _)| to),
    };
    (!route.mirrors.is_empty()).then(|| Copies {
        cluster_of_call: about.map(RouteTarget::cluster_name).unwrap_or_default(),
        clusters,
    })
}
