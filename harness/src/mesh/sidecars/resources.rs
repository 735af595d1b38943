//! Everything one sidecar is told, from policy and places.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::{Call, Destination, PodName, WorkloadName};
use crate::envoy::config::{self, Acceptance, Instruments, Resources, Routed};
use crate::istio::Topology;
use crate::istio::policy::{Discovery, Inbound, Outbound, Route};
use crate::mesh::Desired;
use crate::outcome::Side;
use crate::snapshot::OutboundTrafficPolicy;

use super::network::{Network, Places as _, Told};
use crate::mesh::reached::candidates;

/// For one client: the only endpoint that one of its clusters is shown, so that a call reaches the pod it is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pin {
    pub(super) cluster: String,
    pub(super) pod: PodName,
}

/// What the sidecar of `pod` is told.
pub(super) fn resources<N: Network>(
    desired: &Desired,
    pod: &PodName,
    places: &N::Places,
    pin: Option<&Pin>,
    instruments: &Instruments,
) -> Resources {
    let topology = &*desired.topology;
    let limits = |end| {
        let limits = desired.conditions.limits(&pod.workload, end);
        limits.cloned().unwrap_or_default()
    };
    let instruments = &Instruments {
        limits: limits(Side::Client),
        ..instruments.clone()
    };
    let source = N::EXEMPTION.map(|exemption| exemption.source);
    let inbounds = inbounds(desired, &pod.workload);
    let outbounds = outbounds(desired, &pod.workload);
    let mut told = Resources {
        clusters: vec![
            config::blackhole(),
            config::passthrough(instruments),
            config::inbound_passthrough(source, instruments),
        ],
        ..Resources::default()
    };
    let declared = inbounds.iter().filter(|inbound| inbound.is_declared());
    told.clusters
        .extend(declared.map(|inbound| config::inbound_cluster(inbound, source, instruments)));
    for outbound in &outbounds {
        told.clusters
            .push(config::outbound_cluster(outbound, instruments));
        if outbound.discovery == Discovery::Eds {
            let pinned = pin.filter(|pin| pin.cluster == outbound.cluster_name());
            told.endpoints.push(config::assignment(outbound, |endpoint| {
                let shown = pinned.is_none_or(|pin| pin.pod == endpoint.pod);
                shown
                    .then(|| places.reach(topology, &endpoint.pod, endpoint.port))
                    .flatten()
            }));
        }
    }
    let routed = outbounds
        .iter()
        .map(|outbound| (outbound, routed(topology, &pod.workload, outbound)));
    told.routes = config::routes(routed, &pod.workload.namespace, allows_any(topology));
    told.listeners = places.listeners(
        desired,
        pod,
        &Told {
            inbounds: &inbounds,
            outbounds: &outbounds,
            acceptance: &Acceptance {
                trust_domains: topology.trust_domains(),
                only_tls_1_3: topology.mesh.min_protocol_version.as_deref() == Some("TLSV1_3"),
                limits: limits(Side::Server),
            },
            instruments,
            allows_any: allows_any(topology),
        },
    );
    told
}

/// The pod ports of a workload: those of Services, those of its containers, and those that calls name.
pub(in crate::mesh) fn pod_ports(desired: &Desired, workload: &WorkloadName) -> BTreeSet<u16> {
    let topology = &*desired.topology;
    let Some(known) = topology.workloads.get(workload) else {
        return BTreeSet::new();
    };
    let declared = topology
        .services
        .values()
        .filter(|service| service.workloads.contains(workload))
        .flat_map(|service| service.ports.iter().filter_map(|port| port.pod_port(known)));
    let called = desired
        .calls
        .iter()
        .flat_map(|call| candidates(topology, call))
        .filter(|(pod, _)| pod.workload == *workload)
        .map(|(_, port)| port);
    declared
        .chain(known.container_ports.iter().copied())
        .chain(called)
        .collect()
}

fn inbounds(desired: &Desired, workload: &WorkloadName) -> Vec<Inbound> {
    pod_ports(desired, workload)
        .into_iter()
        .filter_map(|port| desired.topology.inbound(workload, port))
        .collect()
}

/// One cluster per Service port, as istiod sends them, and one per subset that a planned call or a route names.
fn outbounds(desired: &Desired, client: &WorkloadName) -> Vec<Outbound> {
    let topology = &*desired.topology;
    let whole = topology.services.values().flat_map(|service| {
        service
            .ports
            .iter()
            .filter_map(|port| topology.outbound(client, &service.namespace, &service.name, port.port, None))
    });
    let mut outbounds: Vec<Outbound> = whole.collect();
    let called = calls_of(desired, client).filter_map(|call| match (&call.to, &call.subset) {
        (
            Destination::Service {
                namespace,
                name,
                port,
            },
            Some(subset),
        ) => topology.outbound(client, namespace, name, *port, Some(subset)),
        _ => None,
    });
    let routes = outbounds
        .iter()
        .filter_map(|outbound| route(topology, client, outbound));
    let routed = routes.flat_map(|route| {
        let destinations = route.destinations.into_iter().map(|(to, _)| to);
        destinations.chain(route.mirrors.into_iter().map(|mirror| mirror.to))
    });
    let routed = routed
        .filter(|to| to.subset.is_some())
        .filter_map(|to| topology.routed(client, &to));
    let subsets: BTreeMap<String, Outbound> = called
        .chain(routed)
        .map(|outbound| (outbound.cluster_name(), outbound))
        .collect();
    outbounds.extend(subsets.into_values());
    outbounds
}

fn route(topology: &Topology, client: &WorkloadName, outbound: &Outbound) -> Option<Route> {
    topology.route(client, &outbound.namespace, &outbound.service, outbound.port)
}

/// Where a VirtualService sends requests; the table of a subset leads to that subset.
fn routed(topology: &Topology, client: &WorkloadName, outbound: &Outbound) -> Option<Routed> {
    let route = route(topology, client, outbound).filter(|_| outbound.subset.is_none())?;
    let first = route.destinations.first();
    Some(Routed {
        first: first.and_then(|(to, _)| topology.routed(client, to)),
        route,
    })
}

/// The calls that a workload's application makes.
pub(in crate::mesh) fn calls_of<'a>(
    desired: &'a Desired,
    client: &'a WorkloadName,
) -> impl Iterator<Item = &'a Call> {
    desired
        .calls
        .iter()
        .filter(move |call| call.kind.is_of_application() && call.from == *client)
}

/// Whether bytes may go where nothing in the registry is.
fn allows_any(topology: &Topology) -> bool {
    topology.mesh.outbound_traffic_policy == OutboundTrafficPolicy::AllowAny
}
