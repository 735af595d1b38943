//! The mesh a snapshot describes: workloads, Services, and the policies in force between them.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;

use super::destination_rule::DestinationRules;
use super::finding::Finding;
use super::injection::Webhook;
use super::outbound::{Cluster, Pods};
use super::peer_authentication::PeerAuthentications;
use super::policy::{Inbound, ListenerClass, Outbound};
use super::service::{self, Service, ServicePort};
use super::unmodelled::Unmodelled;
use super::virtual_service::VirtualServices;
use super::workload::{self, Workload};
use super::{dangling, identity, inbound};
use crate::call::{Destination, PodName, WorkloadName};
use crate::snapshot::{MeshConfig, Snapshot};

/// The mesh a snapshot describes.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The control plane's release; decides the rules that changed between releases.
    pub release: Version,
    /// The mesh configuration.
    pub mesh: MeshConfig,
    /// All workloads.
    pub workloads: BTreeMap<WorkloadName, Workload>,
    /// All Services by namespace and name.
    pub services: BTreeMap<(String, String), Service>,
    pub(super) peer_authentications: PeerAuthentications,
    pub(super) destination_rules: DestinationRules,
    pub(super) virtual_services: VirtualServices,
    pub(super) unmodelled: Unmodelled,
    /// Pod ports that Services declare: which Service decides, and how the port is treated.
    pub(super) declared: BTreeMap<WorkloadName, BTreeMap<u16, Declared>>,
    /// Pods that run and are no endpoints.
    unready: BTreeSet<PodName>,
    findings: Vec<Finding>,
}

/// A Service by namespace and name, and the class it gives a pod port.
pub(super) type Declared = ((String, String), ListenerClass);

impl Topology {
    /// Reads a snapshot. `previous` is the topology before a change: pods keep the injection they were created with
    /// until their template changes, as in a real cluster (labelling a namespace injects no running pod;
    /// `kubectl rollout restart` changes a template annotation).
    #[must_use]
    pub fn new(snapshot: &Snapshot, previous: Option<&Self>) -> Self {
        Self::made(snapshot, previous, Webhook::Registered)
    }

    /// The same, where no injection webhook is registered: pods that run keep what they have, new ones get no sidecar.
    #[must_use]
    pub fn without_webhook(snapshot: &Snapshot, previous: &Self) -> Self {
        Self::made(snapshot, Some(previous), Webhook::Removed)
    }

    fn made(snapshot: &Snapshot, previous: Option<&Self>, webhook: Webhook) -> Self {
        let mut findings = Vec::new();
        let workloads = workload::workloads(snapshot, previous.map(|it| &it.workloads), webhook);
        let services = service::services(snapshot, &workloads);
        let mut topology = Self {
            release: snapshot.release.clone(),
            mesh: snapshot.mesh.clone(),
            declared: declared_ports(&workloads, &services),
            peer_authentications: PeerAuthentications::new(snapshot, &mut findings),
            destination_rules: DestinationRules::new(snapshot, &mut findings),
            virtual_services: VirtualServices::new(snapshot),
            unmodelled: Unmodelled::new(snapshot),
            workloads,
            services,
            unready: BTreeSet::new(),
            findings: Vec::new(),
        };
        dangling::report(snapshot, &topology, &mut findings);
        findings.sort();
        topology.findings = findings;
        topology
    }

    /// Says which pods are not ready, as their status would: they are no endpoints. All others are ready.
    pub fn set_unready(&mut self, pods: BTreeSet<PodName>) {
        self.unready = pods;
    }

    /// Objects that Istio ignores or refuses, and references that lead nowhere.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The pods behind a Service port, and the ports at which they are reached.
    #[must_use]
    pub fn endpoints(&self, service: &Service, port: &ServicePort) -> Vec<(PodName, u16)> {
        self.behind(service, port)
            .flat_map(|(workload, pod_port)| self.ready(workload).map(move |pod| (pod, pod_port)))
            .collect()
    }

    /// The pods and ports that may answer where a caller names `to`, in a stable order; several for a Service with
    /// several endpoints, none for what no object declares.
    #[must_use]
    pub fn reached(&self, to: &Destination) -> Vec<(PodName, u16)> {
        match to {
            Destination::Service {
                namespace,
                name,
                port,
            } => self
                .service(namespace, name)
                .and_then(|service| Some(self.endpoints(service, service.port(*port)?)))
                .unwrap_or_default(),
            Destination::Pod { pod, port } => vec![(pod.clone(), *port)],
            Destination::Host { .. } => Vec::new(),
        }
    }

    /// A Service by its name.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether the workload is there and has a sidecar.
    #[must_use]
    pub fn has_sidecar(&self, workload: &WorkloadName) -> bool {
        self.workloads.get(workload).is_some_and(Workload::has_sidecar)
    }

    /// The first pod of each workload behind a Service port, each standing for all of its own.
    #[must_use]
    pub fn answering(&self, service: &Service, port: u16) -> Vec<PodName> {
        let port = service.port(port);
        let behind = port.into_iter().flat_map(|port| self.behind(service, port));
        behind
            .filter_map(|(workload, _)| self.ready(workload).next())
            .collect()
    }

    /// The pods of a workload that are ready, in order.
    pub(super) fn ready<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = PodName> + use<'a> {
        let pods = (0..workload.replicas).map(|ordinal| workload.name.pod(ordinal));
        pods.filter(|pod| !self.unready.contains(pod))
    }

    fn any_is_ready(&self, workload: &Workload) -> bool {
        // Names cost: this is asked for each of a million calls.
        match self.unready.is_empty() {
            true => workload.replicas > 0,
            false => self.ready(workload).next().is_some(),
        }
    }

    /// The workloads behind a Service port that have pods that are ready, and the pod port that is reached. Behind a headless Service
    /// that is the port dialled: nobody translates it to `targetPort`.
    pub(super) fn behind<'a>(
        &'a self,
        service: &'a Service,
        port: &'a ServicePort,
    ) -> impl Iterator<Item = (&'a Workload, u16)> {
        let workloads = service
            .workloads
            .iter()
            .filter_map(|name| self.workloads.get(name));
        workloads
            .filter(|workload| self.any_is_ready(workload))
            .filter_map(|workload| {
                let target = port.pod_port(workload)?;
                Some((workload, if service.headless { port.port } else { target }))
            })
    }

    /// The headless Service for whose TCP or undeclared port sidecars have a listener at the address of each of the
    /// workload's pods; `None` where that address and port have none.
    #[must_use]
    pub fn headless_listener(&self, workload: &WorkloadName, port: u16) -> Option<&Service> {
        let services = self.services.values();
        let mut headless = services.filter(|it| it.headless && it.workloads.contains(workload));
        headless.find(|service| {
            let port = service.port(port);
            port.is_some_and(|port| port.class != ListenerClass::Http)
        })
    }

    /// How a pod port is treated by the oldest Service that declares it; `None` where none does.
    #[must_use]
    pub fn declared_class(&self, workload: &WorkloadName, pod_port: u16) -> Option<ListenerClass> {
        let ports = self.declared.get(workload)?;
        ports.get(&pod_port).map(|(_, class)| *class)
    }

    /// The SPIFFE id that istiod issues to a workload's pods.
    #[must_use]
    pub fn identity(&self, workload: &WorkloadName) -> Option<String> {
        let workload = self.workloads.get(workload)?;
        Some(identity::spiffe_id(&self.mesh.trust_domain, workload))
    }

    /// The trust domains that servers accept clients of.
    #[must_use]
    pub fn trust_domains(&self) -> Vec<String> {
        identity::accepted_trust_domains(&self.mesh)
    }

    /// What a workload's sidecar does on a pod port; `None` where there is no such workload or it has no sidecar.
    #[must_use]
    pub fn inbound(&self, workload: &WorkloadName, pod_port: u16) -> Option<Inbound> {
        let workload = self
            .workloads
            .get(workload)
            .filter(|workload| workload.has_sidecar())?;
        Some(inbound::inbound(self, workload, pod_port))
    }

    /// What a client's sidecar does for a Service port and, if named, a subset of the rule in force. `None` where the
    /// client has no sidecar, or there is no such Service, port, or subset.
    #[must_use]
    pub fn outbound(
        &self,
        client: &WorkloadName,
        namespace: &str,
        service: &str,
        port: u16,
        subset: Option<&str>,
    ) -> Option<Outbound> {
        let client = self
            .workloads
            .get(client)
            .filter(|workload| workload.has_sidecar())?;
        let service = self.service(namespace, service)?;
        Some(Cluster::of(self, client, service, service.port(port)?, subset)?.outbound(Pods::Every))
    }

    /// The Service of that full name.
    pub(super) fn service_of_host(&self, host: &str) -> Option<&Service> {
        let short = host
            .strip_suffix(self.mesh.cluster_domain.as_str())?
            .strip_suffix(".svc.")?;
        let (name, namespace) = short.split_once('.')?;
        self.service(namespace, name)
    }
}

/// Which Service decides about each pod port: the oldest that targets it (ties by name, then namespace).
fn declared_ports(
    workloads: &BTreeMap<WorkloadName, Workload>,
    services: &BTreeMap<(String, String), Service>,
) -> BTreeMap<WorkloadName, BTreeMap<u16, Declared>> {
    let mut oldest_first: Vec<_> = services.iter().collect();
    oldest_first.sort_by_key(|((namespace, name), service)| (service.age, name, namespace));
    let mut declared: BTreeMap<WorkloadName, BTreeMap<u16, Declared>> = BTreeMap::new();
    for (key, service) in oldest_first {
        for workload in service.workloads.iter().filter_map(|name| workloads.get(name)) {
            let ports = declared.entry(workload.name.clone()).or_default();
            for port in &service.ports {
                if let Some(pod_port) = port.pod_port(workload) {
                    ports.entry(pod_port).or_insert_with(|| (key.clone(), port.class));
                }
            }
        }
    }
    declared
}
