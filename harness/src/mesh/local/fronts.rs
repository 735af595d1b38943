//! Where everything is without interception: every pod port, and every destination that a call names, has a place on
//! loopback of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use envoy_types::pb::envoy::config::listener::v3::Listener;

use crate::call::{Call, Destination, PodName, WorkloadName};
use crate::envoy::config::{self, Entry, Front, Target};
use crate::istio::Topology;
use crate::istio::policy::{ListenerClass, Outbound};
use crate::mesh::Desired;
use crate::mesh::sidecars::{NOWHERE, Places, PodPort, Told, calls_of, target};

/// Where connections to pods go that an obstacle stands before, by workload and port; `None` for all ports.
pub(super) type Detours = BTreeMap<WorkloadName, BTreeMap<Option<u16>, Detour>>;

/// Where such connections go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Detour {
    /// To a place of its own.
    To(SocketAddr),
    /// To the application, past its sidecar: behind the port that was called, or behind another.
    Application(Option<u16>),
}

/// Addresses of applications and of the sidecars in front of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fronts {
    /// Where each application listens.
    pub(super) applications: BTreeMap<PodPort, SocketAddr>,
    /// Where the sidecar in front of it does, for pods that have one.
    pub(super) sidecars: BTreeMap<PodPort, SocketAddr>,
    /// Where a client's sidecar takes in what its application sends, by client and front name.
    pub(super) fronts: BTreeMap<(PodName, String), SocketAddr>,
    /// Where connections go instead, before any of the above is asked.
    pub(super) detours: Detours,
}

impl Places for Fronts {
    /// To its sidecar if it has one, else straight to the application.
    fn reach(&self, topology: &Topology, pod: &PodName, port: u16) -> Option<SocketAddr> {
        match self.detour(pod, port) {
            Some(Detour::To(address)) => return Some(address),
            Some(Detour::Application(other)) => {
                return self.application(topology, pod, other.unwrap_or(port));
            }
            None => {}
        }
        let key = (pod.clone(), port);
        if topology.has_sidecar(&pod.workload) {
            self.sidecars.get(&key).copied()
        } else {
            self.application(topology, pod, port)
        }
    }

    fn entrance(&self, _: &Topology, call: &Call) -> Option<SocketAddr> {
        self.front(&call.from, &front_name(call))
    }

    /// One for each pod port, and for the first pod of a workload one for each destination of its calls.
    fn listeners(&self, desired: &Desired, pod: &PodName, told: &Told<'_>) -> Vec<Listener> {
        let inbound = told.inbounds.iter().filter_map(|inbound| {
            let front = self.inbound_front(&desired.topology, pod, inbound.port)?;
            Some(config::inbound_listener(
                inbound,
                told.acceptance,
                front,
                told.instruments,
            ))
        });
        let mut listeners: Vec<Listener> = inbound.collect();
        if pod.ordinal == 0 {
            listeners.extend(self.outbound(desired, &pod.workload, told));
        }
        listeners
    }
}

impl Fronts {
    /// Where the sidecar of a call's client takes it in.
    fn front(&self, client: &WorkloadName, name: &str) -> Option<SocketAddr> {
        self.fronts.get(&(client.pod(0), name.to_owned())).copied()
    }

    /// The front of a pod's port: where its sidecar listens, and the application behind.
    fn inbound_front(&self, topology: &Topology, pod: &PodName, port: u16) -> Option<Front> {
        Some(Front {
            address: self.sidecars.get(&(pod.clone(), port)).copied()?,
            original_dst: self.application(topology, pod, port)?,
        })
    }

    fn outbound<'a>(
        &'a self,
        desired: &'a Desired,
        client: &'a WorkloadName,
        told: &'a Told<'_>,
    ) -> impl Iterator<Item = Listener> + 'a {
        let mut named = BTreeSet::new();
        calls_of(desired, client).filter_map(move |call| {
            let name = front_name(call);
            if !named.insert(name.clone()) {
                return None;
            }
            let front = Front {
                address: self.front(client, &name)?,
                original_dst: match target(&desired.topology, call) {
                    Some((pod, port)) => self.reach(&desired.topology, &pod, port)?,
                    None => NOWHERE.into(),
                },
            };
            Some(config::outbound_listener(
                &name,
                &front_target(&desired.topology, told.outbounds, call),
                told.allows_any,
                Entry::Front(front),
                told.instruments,
            ))
        })
    }

    fn detour(&self, pod: &PodName, port: u16) -> Option<Detour> {
        let ports = self.detours.get(&pod.workload)?;
        ports.get(&Some(port)).or_else(|| ports.get(&None)).copied()
    }

    /// Where the application behind a pod's port listens: nowhere if it does not.
    fn application(&self, topology: &Topology, pod: &PodName, port: u16) -> Option<SocketAddr> {
        let workload = topology.workloads.get(&pod.workload)?;
        if workload.listens_on(port) {
            self.applications.get(&(pod.clone(), port)).copied()
        } else {
            Some(NOWHERE.into())
        }
    }
}

/// The names of the fronts through which the calls of a workload leave.
pub(super) fn front_names(desired: &Desired, client: &WorkloadName) -> BTreeSet<String> {
    calls_of(desired, client).map(front_name).collect()
}

/// The listener istiod would have for what the call dials.
fn front_target<'a>(topology: &Topology, outbounds: &'a [Outbound], call: &Call) -> Target<'a> {
    let port = call.to.port();
    let http_port = || {
        outbounds
            .iter()
            .any(|outbound| outbound.class == ListenerClass::Http && outbound.port == port)
    };
    let service = match &call.to {
        Destination::Service { namespace, name, .. } => outbounds.iter().find(|outbound| {
            outbound.namespace == *namespace
                && outbound.service == *name
                && outbound.port == port
                && outbound.subset == call.subset
        }),
        Destination::Pod { pod, .. } => {
            let headless = topology.headless_listener(&pod.workload, port);
            headless.and_then(|service| {
                outbounds.iter().find(|outbound| {
                    outbound.namespace == service.namespace
                        && outbound.service == service.name
                        && outbound.port == port
                        && outbound.subset.is_none()
                })
            })
        }
        Destination::Host { .. } => None,
    };
    match service {
        Some(outbound) if outbound.class == ListenerClass::Http => Target::Http {
            port,
            subset: outbound.subset.is_some().then_some(outbound),
        },
        Some(outbound) => Target::Service(outbound),
        None if http_port() => Target::Http { port, subset: None },
        None => Target::Unregistered,
    }
}

/// The name of the front a call leaves through.
fn front_name(call: &Call) -> String {
    let mut name = call.to.to_string();
    for detail in call
        .subset
        .iter()
        .cloned()
        .chain(call.endpoint.iter().map(ToString::to_string))
    {
        name.push('~');
        name.push_str(&detail);
    }
    name
}
