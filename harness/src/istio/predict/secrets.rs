//! Whether a proxy waits for a secret that it does not get.
//!
//! Envoy asks for a secret when a cluster or a listener names it, and opens no port until each that was asked for at
//! its start has come (`initial_fetch_timeout` of istiod's SDS configuration is 0: without end). What nobody names
//! is not missed.

use super::certificate::credentials;
use crate::fault::Conditions;
use crate::istio::outbound::{Cluster, Pods};
use crate::istio::policy::{ClientCertificate, ClientTls, MtlsMode, TlsOrigination, Trust};
use crate::istio::topology::Topology;
use crate::istio::workload::Workload;
use crate::pki::Supply;

/// Whether the sidecar of `workload` waits, so that none of its ports is open: neither to others nor to its own
/// application.
pub(in crate::istio) fn waits(topology: &Topology, conditions: &Conditions, workload: &Workload) -> bool {
    let supply = credentials(topology, conditions, &workload.name).supply;
    supply != Supply::FULL
        && workload.has_sidecar()
        && (is_named_by_a_listener(topology, workload) || is_named_by_a_cluster(topology, workload, supply))
}

/// Chains that terminate mesh mTLS name both secrets. There are some for each port that a Service or a policy names,
/// and for all others.
fn is_named_by_a_listener(topology: &Topology, workload: &Workload) -> bool {
    let modes = &topology.peer_authentications;
    let declared = topology.declared.get(&workload.name);
    let ports = declared.into_iter().flat_map(|ports| ports.keys().copied());
    ports
        .chain(modes.ports_named(workload))
        .map(Some)
        .chain([None])
        .any(|port| modes.mode(workload, port).0 != MtlsMode::Disable)
}

fn is_named_by_a_cluster(topology: &Topology, client: &Workload, supply: Supply) -> bool {
    let names = |tls: &TlsOrigination| {
        (!supply.certificate && tls.certificate == ClientCertificate::Workload)
            || (!supply.roots && tls.trust == Trust::Mesh)
    };
    topology.services.values().any(|service| {
        service.ports.iter().any(|port| {
            let cluster = Cluster::of(topology, client, service, port, None);
            match cluster.map(|cluster| cluster.outbound(Pods::First).tls) {
                Some(ClientTls::Auto(tls) | ClientTls::Fixed(tls)) => names(&tls),
                Some(ClientTls::Plaintext) | None => false,
            }
        })
    })
}
