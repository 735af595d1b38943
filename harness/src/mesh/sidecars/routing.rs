//! Where VirtualServices send copies of calls.

use crate::call::{Call, CallKind, Payload};
use crate::istio::Topology;
use crate::istio::policy::{Mirror, RouteTarget};

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
