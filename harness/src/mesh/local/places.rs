//! Where pod ports are reached on this tier.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::call::{Call, PodName, WorkloadName};
use crate::envoy::config::Front;
use crate::istio::Topology;
use crate::mesh::reached::PodPort;

/// An address that refuses every connection (the discard port): what kube-proxy gives a Service without endpoints, and
/// a pod a port on which nobody listens.
pub(super) const NOWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

/// Where connections to pods go that an obstacle stands before, by workload and port; `None` for all ports.
pub(super) type Detours = BTreeMap<WorkloadName, BTreeMap<Option<u16>, SocketAddr>>;

/// Addresses of applications and of the sidecars in front of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Places {
    /// Where each application listens.
    pub(super) applications: BTreeMap<PodPort, SocketAddr>,
    /// Where the sidecar in front of it does, for pods that have one.
    pub(super) sidecars: BTreeMap<PodPort, SocketAddr>,
    /// Where a client's sidecar takes in what its application sends, by client and front name.
    pub(super) fronts: BTreeMap<(PodName, String), SocketAddr>,
    /// Where connections go instead, before any of the above is asked.
    pub(super) detours: Detours,
}

impl Places {
    /// Where the sidecar of a call's client takes it in.
    pub(super) fn front(&self, client: &WorkloadName, name: &str) -> Option<SocketAddr> {
        self.fronts.get(&(client.pod(0), name.to_owned())).copied()
    }

    /// The front of a pod's port: where its sidecar listens, and the application behind.
    pub(super) fn inbound_front(&self, topology: &Topology, pod: &PodName, port: u16) -> Option<Front> {
        Some(Front {
            address: self.sidecars.get(&(pod.clone(), port)).copied()?,
            original_dst: self.application(topology, pod, port)?,
        })
    }

    /// Where bytes for a pod's port go: to its sidecar if it has one, else straight to the application.
    pub(super) fn reach(&self, topology: &Topology, pod: &PodName, port: u16) -> Option<SocketAddr> {
        if let Some(detour) = self.detour(pod, port) {
            return Some(detour);
        }
        let key = (pod.clone(), port);
        if topology.has_sidecar(&pod.workload) {
            self.sidecars.get(&key).copied()
        } else {
            self.application(topology, pod, port)
        }
    }

    fn detour(&self, pod: &PodName, port: u16) -> Option<SocketAddr> {
        let ports = self.detours.get(&pod.workload)?;
        ports.get(&Some(port)).or_else(|| ports.get(&None)).copied()
    }

    /// Where the application behind a pod's port listens: nowhere if it does not.
    pub(super) fn application(&self, topology: &Topology, pod: &PodName, port: u16) -> Option<SocketAddr> {
        let workload = topology.workloads.get(&pod.workload)?;
        if workload.listens_on(port) {
            self.applications.get(&(pod.clone(), port)).copied()
        } else {
            Some(NOWHERE.into())
        }
    }
}

/// The name of the front a call leaves through.
pub(super) fn front_name(call: &Call) -> String {
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
