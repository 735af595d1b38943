//! The calls of a case.

use proptest::option::weighted;
use proptest::prelude::*;

use super::case::{Case, Service};
use super::world::World;
use crate::call::{Call, CallKind, Destination, Payload, WorkloadName};
use crate::istio::Topology;
use crate::istio::policy::Outbound;

/// A call in numbers; what they mean depends on the world and on the case.
#[derive(Clone, Debug)]
pub(super) struct DrawnCall {
    from: usize,
    to: To,
    kind: CallKind,
    payload: Payload,
    alpn: &'static [&'static str],
    subset: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
enum To {
    Service {
        service: usize,
        port: usize,
        endpoint: usize,
    },
    Pod {
        workload: usize,
        port: u16,
    },
    Nowhere,
}

pub(super) fn call() -> impl Strategy<Value = DrawnCall> {
    let to_service = (0..3_usize, 0..3_usize, 0..4_usize);
    let to = prop_oneof![
        20 => to_service.prop_map(|(service, port, endpoint)| To::Service { service, port, endpoint }),
        6 => (0..4_usize, prop_oneof![3 => Just(8080_u16), 2 => Just(9090), 1 => Just(7777)])
            .prop_map(|(workload, port)| To::Pod { workload, port }),
        1 => Just(To::Nowhere),
    ];
    let kind = prop_oneof![
        7 => Just(CallKind::App),
        1 => Just(CallKind::RawPlaintext),
        1 => Just(CallKind::RawTls),
        2 => Just(CallKind::RawMtls),
    ];
    let payload = prop_oneof![3 => Just(Payload::Http), 1 => Just(Payload::Tcp)];
    let alpn = prop_oneof![
        4 => Just([].as_slice()),
        1 => Just(["istio"].as_slice()),
        1 => Just(["istio-http/1.1"].as_slice()),
        1 => Just(["http/1.1"].as_slice()),
        1 => Just(["istio-peer-exchange", "istio"].as_slice()),
    ];
    let subset = weighted(0.3, prop_oneof![Just("v1"), Just("v2")]);
    (0..4_usize, to, kind, payload, alpn, subset).prop_map(|(from, to, kind, payload, alpn, subset)| {
        DrawnCall {
            from,
            to,
            kind,
            payload,
            alpn,
            subset,
        }
    })
}

impl DrawnCall {
    /// What it is in this mesh; `None` where it has no meaning.
    pub(super) fn call(&self, world: &World, case: &Case, topology: &Topology) -> Option<Call> {
        let from = world.workload(self.from);
        let from = WorkloadName::new(from.namespace, from.name);
        if !topology.workloads.contains_key(&from) {
            return None;
        }
        let (to, endpoint) = match self.to {
            To::Nowhere => {
                let host = "nowhere.invalid".to_owned();
                (Destination::Host { host, port: 8080 }, None)
            }
            To::Pod { workload, port } => {
                let server = world.workload(workload);
                let pod = WorkloadName::new(server.namespace, server.name).pod(0);
                (Destination::Pod { pod, port }, None)
            }
            To::Service {
                service,
                port,
                endpoint,
            } => {
                let number = service % case.services.len();
                let (namespace, name) = (case.services[number].namespace(world), Service::name(number));
                let port = case.services[number].port_number(port);
                let known = topology.service(namespace, &name)?;
                let pods = topology.endpoints(known, known.port(port)?);
                let endpoint = (pods.len() > 1).then(|| pods[endpoint % pods.len()].0.clone());
                let namespace = namespace.to_owned();
                (
                    Destination::Service {
                        namespace,
                        name,
                        port,
                    },
                    endpoint,
                )
            }
        };
        let raw_tls = matches!(self.kind, CallKind::RawTls | CallKind::RawMtls);
        let call = Call {
            from,
            to,
            endpoint,
            kind: self.kind,
            payload: self.payload,
            alpn: self
                .alpn
                .iter()
                .filter(|_| raw_tls)
                .map(|&it| it.to_owned())
                .collect(),
            subset: None,
        };
        if call.kind == CallKind::App && calls_itself(&call, topology) {
            return None;
        }
        Some(self.with_subset(call, topology))
    }

    /// Names the subset where the caller's sidecar knows it and the endpoint is in it.
    fn with_subset(&self, call: Call, topology: &Topology) -> Call {
        let (Some(subset), CallKind::App) = (self.subset, call.kind) else {
            return call;
        };
        let Some((namespace, name, port)) = call.to.service() else {
            return call;
        };
        let outbound = topology.outbound(&call.from, namespace, name, port, Some(subset));
        let reached = |outbound: &Outbound| match &call.endpoint {
            Some(pod) => outbound.endpoints.iter().any(|it| it.pod == *pod),
            None => true,
        };
        Call {
            subset: outbound.filter(reached).map(|_| subset.to_owned()),
            ..call
        }
    }
}

fn calls_itself(call: &Call, topology: &Topology) -> bool {
    let own = call.from.pod(0);
    match &call.endpoint {
        Some(endpoint) => *endpoint == own,
        None => topology.reached(&call.to).iter().any(|(pod, _)| *pod == own),
    }
}
