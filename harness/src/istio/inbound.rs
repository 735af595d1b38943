//! What a server's sidecar does on one pod port.
//!
//! Sources: pilot/pkg/networking/core/listener_inbound.go and filterchain_options.go@1.30.3, their simulation tests,
//! and recordings of istiod 1.30.3 (which also give the order of chains).

use super::policy::{Inbound, InboundChain, InboundGroup, InboundTransport, ListenerClass, MtlsMode};
use super::topology::Topology;
use super::workload::Workload;

/// Every ALPN protocol that a sidecar offers.
const ISTIO: &[&str] = &[
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];
/// Those that a sidecar offers for HTTP.
const ISTIO_HTTP: &[&str] = &["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// Those that a sidecar offers for TCP.
const ISTIO_TCP: &[&str] = &["istio-peer-exchange", "istio"];
/// What the HTTP inspector reports of plaintext HTTP.
const PLAINTEXT_HTTP: &[&str] = &["http/1.1", "h2c"];

/// The chains of a pod port. Ports that a Service declares go by the oldest such Service's protocol; a port that only
/// `portLevelMtls` names, and all others, are detected.
pub(super) fn inbound(topology: &Topology, workload: &Workload, port: u16) -> Inbound {
    let (group, class) = group(topology, workload, port);
    let by_port = match group {
        InboundGroup::CatchAll => None,
        InboundGroup::Declared { .. } | InboundGroup::PortLevel => Some(port),
    };
    let (mode, because) = topology.peer_authentications.mode(workload, by_port);
    Inbound {
        port,
        mode,
        class,
        group,
        chains: chains(class, mode).to_vec(),
        tls_inspector: mode != MtlsMode::Disable,
        http_inspector: class == ListenerClass::Auto && mode != MtlsMode::Strict,
        because: vec![because],
    }
}

fn group(topology: &Topology, workload: &Workload, port: u16) -> (InboundGroup, ListenerClass) {
    let declared = topology
        .declared
        .get(&workload.name)
        .and_then(|ports| ports.get(&port));
    if let Some((key, class)) = declared
        && let Some(service) = topology.services.get(key)
    {
        let group = InboundGroup::Declared {
            service: service.host.clone(),
            namespace: service.namespace.clone(),
            name: service.name.clone(),
        };
        return (group, *class);
    }
    match topology.peer_authentications.has_port_entry(workload, port) {
        true => (InboundGroup::PortLevel, ListenerClass::Auto),
        false => (InboundGroup::CatchAll, ListenerClass::Auto),
    }
}

/// The chains of a listener class and mode, in istiod's order.
const fn chains(class: ListenerClass, mode: MtlsMode) -> &'static [InboundChain] {
    use InboundTransport::{RawBuffer, Tls};
    const fn chain(
        transport: InboundTransport,
        alpn: &'static [&'static str],
        mtls: bool,
        http: bool,
    ) -> InboundChain {
        InboundChain {
            transport,
            alpn,
            terminates_mtls: mtls,
            http,
        }
    }
    const ANY: &[&str] = &[];
    match (class, mode) {
        (ListenerClass::Http, MtlsMode::Strict) => const { &[chain(Tls, ANY, true, true)] },
        (ListenerClass::Http, MtlsMode::Permissive) => {
            const { &[chain(Tls, ISTIO, true, true), chain(RawBuffer, ANY, false, true)] }
        }
        (ListenerClass::Http, MtlsMode::Disable) => const { &[chain(RawBuffer, ANY, false, true)] },
        (ListenerClass::Tcp, MtlsMode::Strict) => const { &[chain(Tls, ANY, true, false)] },
        (ListenerClass::Tcp, MtlsMode::Permissive) => {
            const {
                &[
                    chain(Tls, ISTIO, true, false),
                    chain(Tls, ANY, false, false),
                    chain(RawBuffer, ANY, false, false),
                ]
            }
        }
        (ListenerClass::Tcp, MtlsMode::Disable) => const { &[chain(RawBuffer, ANY, false, false)] },
        (ListenerClass::Auto, MtlsMode::Strict) => {
            const { &[chain(Tls, ISTIO_HTTP, true, true), chain(Tls, ANY, true, false)] }
        }
        (ListenerClass::Auto, MtlsMode::Permissive) => {
            const {
                &[
                    chain(Tls, ISTIO_HTTP, true, true),
                    chain(RawBuffer, PLAINTEXT_HTTP, false, true),
                    chain(Tls, ISTIO_TCP, true, false),
                    chain(RawBuffer, ANY, false, false),
                    chain(Tls, ANY, false, false),
                ]
            }
        }
        (ListenerClass::Auto, MtlsMode::Disable) => {
            const {
                &[
                    chain(RawBuffer, PLAINTEXT_HTTP, false, true),
                    chain(RawBuffer, ANY, false, false),
                ]
            }
        }
    }
}
