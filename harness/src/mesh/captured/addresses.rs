//! The addresses of Services, and how a state of the mesh is reached by them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::Listener;

use crate::call::{Call, Destination, PodName};
use crate::envoy::config::{self, Entry, Target};
use crate::istio::Topology;
use crate::istio::policy::{Inbound, InboundGroup, ListenerClass, Outbound};
use crate::mesh::Desired;
use crate::mesh::sidecars::{NOWHERE, Places, Told, calls_of, target};

/// The network of Services, as kubeadm's default has it.
const SERVICE_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);
/// What a host outside of the mesh resolves to: an address that nobody has (TEST-NET-1, RFC 5737).
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// What a Service's address stands for. A subset has one of its own, which stands in for a VirtualService that routes to
/// it, and so has an endpoint, which is the one that kube-proxy chose.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Meant {
    namespace: String,
    service: String,
    subset: Option<String>,
    endpoint: Option<PodName>,
}

impl Meant {
    /// What a call to a Service dials.
    fn of(call: &Call) -> Option<Self> {
        let (namespace, service, _) = call.to.service()?;
        Some(Self {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            subset: call.subset.clone(),
            endpoint: call.endpoint.clone(),
        })
    }
}

/// Addresses that were given out, for as long as the mesh lives.
#[derive(Debug, Default)]
pub(super) struct ServiceAddresses(BTreeMap<Meant, Ipv4Addr>);

impl ServiceAddresses {
    /// The addresses of a state.
    pub(super) fn assign(&mut self, desired: &Desired, pods: Arc<BTreeMap<PodName, Ipv4Addr>>) -> Addresses {
        let whole = desired.topology.services.values().map(|service| Meant {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            subset: None,
            endpoint: None,
        });
        let called = desired.calls.iter().filter_map(Meant::of);
        for meant in whole.chain(called).collect::<Vec<_>>() {
            let number = u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX);
            let next = SERVICE_NETWORK.to_bits().saturating_add(number);
            self.0.entry(meant).or_insert(Ipv4Addr::from_bits(next));
        }
        Addresses {
            services: self.0.clone(),
            pods,
        }
    }
}

/// The addresses of a state of the mesh.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    services: BTreeMap<Meant, Ipv4Addr>,
    pods: Arc<BTreeMap<PodName, Ipv4Addr>>,
}

impl Addresses {
    /// Where kube-proxy leads what a pod sends to the Services it calls; `None` where there is no endpoint.
    pub(super) fn reached_by(
        &self,
        desired: &Desired,
        client: &PodName,
    ) -> BTreeMap<SocketAddr, Option<SocketAddr>> {
        if client.ordinal > 0 {
            return BTreeMap::new();
        }
        calls_of(desired, &client.workload)
            .filter_map(|call| {
                let service = self.services.get(&Meant::of(call)?)?;
                let endpoint = target(&desired.topology, call)
                    .and_then(|(pod, port)| self.reach(&desired.topology, &pod, port))
                    .filter(|endpoint| *endpoint != NOWHERE.into());
                Some(((*service, call.to.port()).into(), endpoint))
            })
            .collect()
    }

    /// The addresses that stand for a Service or its subset, as a whole or for one endpoint.
    fn of(&self, outbound: &Outbound) -> impl Iterator<Item = Ipv4Addr> {
        let stands_for = |meant: &Meant| {
            meant.namespace == outbound.namespace
                && meant.service == outbound.service
                && meant.subset == outbound.subset
        };
        let found = self.services.iter();
        found
            .filter(move |(meant, _)| stands_for(meant))
            .map(|(_, address)| *address)
    }

    /// The addresses that istiod gives the listeners of an outbound port of their own.
    fn listened_on(&self, topology: &Topology, outbound: &Outbound) -> Vec<SocketAddr> {
        if outbound.headless {
            let endpoints = outbound.endpoints.iter();
            return endpoints
                .filter_map(|it| Some((self.reach(topology, &it.pod, it.port)?.ip(), outbound.port).into()))
                .collect();
        }
        self.of(outbound)
            .map(|address| (address, outbound.port).into())
            .collect()
    }

    fn outbound(&self, topology: &Topology, told: &Told<'_>) -> Vec<Listener> {
        let mut captured = BTreeMap::new();
        let mut ports = BTreeSet::new();
        for outbound in told.outbounds {
            let is_http = outbound.class == ListenerClass::Http;
            if is_http && outbound.subset.is_none() {
                ports.insert(outbound.port);
                continue;
            }
            for address in self.listened_on(topology, outbound) {
                let target = match is_http {
                    true => Target::Http {
                        port: outbound.port,
                        subset: Some(outbound),
                    },
                    false => Target::Service(outbound),
                };
                captured.insert(address, target);
            }
        }
        for port in ports {
            captured.insert(
                (Ipv4Addr::UNSPECIFIED, port).into(),
                Target::Http { port, subset: None },
            );
        }
        let listeners = captured.into_iter().map(|(address, target)| {
            let name = format!("{}_{}", address.ip(), address.port());
            let entry = Entry::Captured(address);
            config::outbound_listener(&name, &target, told.allows_any, entry, told.instruments)
        });
        listeners.collect()
    }
}

impl Places for Addresses {
    /// To the pod, where capture leads them to its sidecar; of a pod that does not run, to where nobody listens.
    fn reach(&self, _: &Topology, pod: &PodName, port: u16) -> Option<SocketAddr> {
        let address = self.pods.get(pod).map(|address| (*address, port).into());
        Some(address.unwrap_or_else(|| NOWHERE.into()))
    }

    /// What DNS says: the address of the Service, or of a pod where it is headless.
    fn entrance(&self, topology: &Topology, call: &Call) -> Option<SocketAddr> {
        match &call.to {
            Destination::Pod { pod, port } => self.reach(topology, pod, *port),
            Destination::Host { port, .. } => Some((OUTSIDE, *port).into()),
            Destination::Service {
                namespace,
                name,
                port,
            } => {
                let is_headless = topology.service(namespace, name).is_some_and(|it| it.headless);
                if is_headless && let Some((pod, port)) = target(topology, call) {
                    return self.reach(topology, &pod, port);
                }
                Some((*self.services.get(&Meant::of(call)?)?, *port).into())
            }
        }
    }

    /// As istiod sends them.
    fn listeners(&self, desired: &Desired, pod: &PodName, told: &Told<'_>) -> Vec<Listener> {
        let topology = &*desired.topology;
        let mut listeners = vec![config::virtual_outbound(told.allows_any, told.instruments)];
        if let Some(any) = any_port(topology, pod) {
            let ports: Vec<Inbound> = told
                .inbounds
                .iter()
                .filter(|inbound| inbound.group != InboundGroup::CatchAll)
                .cloned()
                .collect();
            listeners.push(config::virtual_inbound(
                &ports,
                &any,
                told.acceptance,
                told.instruments,
            ));
        }
        listeners.extend(self.outbound(topology, told));
        listeners
    }
}

/// What a port gets of which nobody ever spoke.
fn any_port(topology: &Topology, pod: &PodName) -> Option<Inbound> {
    let any = |port| {
        topology
            .inbound(&pod.workload, port)
            .filter(|it| it.group == InboundGroup::CatchAll)
    };
    (1..=u16::MAX).rev().find_map(any)
}
