//! Workloads: from pod templates and the rules of injection, or from pods as they run.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ContainerPort, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use semver::Version;

use super::injection::{self, Webhook};
use super::policy::{NoSidecar, Sidecar};
use super::topology::Topology;
use crate::call::WorkloadName;
use crate::snapshot::{Object, ObjectRef, Snapshot};

/// Pods that share a template, a service account, and what injection made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Namespace and name.
    pub name: WorkloadName,
    /// What creates its pods.
    pub kind: WorkloadKind,
    /// The pods' labels.
    pub labels: BTreeMap<String, String>,
    /// The pods' service account.
    pub service_account: String,
    /// How many pods.
    pub replicas: u32,
    /// Whether the pods have a sidecar.
    pub sidecar: Sidecar,
    /// Whether clients see the pods as speaking mTLS (label `security.istio.io/tlsMode: istio`). Differs from
    /// [`Self::sidecar`] only where somebody set or removed the label by hand.
    pub tls_mode: bool,
    /// Whether the proxy is a gateway, which is no sidecar; its listeners are not modelled.
    pub gateway: bool,
    /// Ports that the application's containers declare.
    pub container_ports: Vec<u16>,
    /// Declared ports by name.
    pub named_ports: BTreeMap<String, u16>,
    /// The object it comes from.
    pub object: ObjectRef,
    /// What about the pods is outside of the rules, in words.
    pub(super) unmodelled: Vec<String>,
    template: PodTemplateSpec,
}

/// What creates a workload's pods.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "each variant is the kind it names")]
pub enum WorkloadKind {
    DaemonSet,
    Deployment,
    Job,
    Pod,
    StatefulSet,
}

impl Workload {
    /// The proxy's release, if there is a proxy.
    #[must_use]
    pub const fn proxy_release(&self) -> Option<&Version> {
        match &self.sidecar {
            Sidecar::Injected { release } => Some(release),
            Sidecar::Absent { .. } => None,
        }
    }

    /// Gives the proxy, if there is one, another release.
    pub(crate) fn replace_release(&mut self, other: &Version) {
        if let Sidecar::Injected { release } = &mut self.sidecar {
            release.clone_from(other);
        }
    }

    /// Whether the application listens on a pod port: its containers declare it, or declare none at all.
    #[must_use]
    pub fn listens_on(&self, port: u16) -> bool {
        self.container_ports.is_empty() || self.container_ports.contains(&port)
    }

    /// Whether the pods have a sidecar.
    #[must_use]
    pub const fn has_sidecar(&self) -> bool {
        self.proxy_release().is_some()
    }
}

/// All workloads of a snapshot. A workload whose template is the same in `previous` keeps the injection it had: pods
/// are injected when they are created, and changing a namespace's label creates none.
///
/// Pods that run take the place of the template they were made from. Where the pods of one template differ (half of
/// them injected, say), those of the larger part are the workload and each other pod is one of its own.
pub(super) fn workloads(
    snapshot: &Snapshot,
    previous: Option<&BTreeMap<WorkloadName, Workload>>,
    webhook: Webhook,
) -> BTreeMap<WorkloadName, Workload> {
    let namespaces = namespace_labels(snapshot);
    let mut found = BTreeMap::new();
    let mut owned: BTreeMap<WorkloadName, Vec<Workload>> = BTreeMap::new();
    let mut alone = Vec::new();
    for (object, stored) in snapshot.objects() {
        let builder = Builder {
            snapshot,
            namespaces: &namespaces,
            object,
            webhook,
        };
        match &stored.object {
            Object::Pod(pod) => match (builder.pod(pod), owner(pod)) {
                (Some(workload), Some(owner)) => owned.entry(owner).or_default().push(workload),
                (Some(workload), None) => alone.push(workload),
                (None, _) => {}
            },
            other => {
                if let Some(workload) = builder.template(other, previous) {
                    found.insert(workload.name.clone(), workload);
                }
            }
        }
    }
    for (owner, pods) in owned {
        match found.get(&owner) {
            Some(template) => {
                let (kind, object) = (template.kind, template.object.clone());
                let (workload, odd) = merged(owner, kind, object, pods);
                found.insert(workload.name.clone(), workload);
                alone.extend(odd);
            }
            None => alone.extend(pods),
        }
    }
    for mut pod in alone {
        if let Some(before) = previous
            .and_then(|it| it.get(&pod.name))
            .filter(|it| it.template == pod.template)
        {
            pod.sidecar = before.sidecar.clone();
            pod.tls_mode = before.tls_mode;
        }
        found.entry(pod.name.clone()).or_insert(pod);
    }
    found
}

/// One workload of the pods that are alike and most, and the others.
fn merged(
    name: WorkloadName,
    kind: WorkloadKind,
    object: ObjectRef,
    pods: Vec<Workload>,
) -> (Workload, Vec<Workload>) {
    let alike = |a: &Workload, b: &Workload| {
        a.sidecar == b.sidecar && a.tls_mode == b.tls_mode && a.service_account == b.service_account
    };
    let count = |of: &Workload| pods.iter().filter(|pod| alike(pod, of)).count();
    let mut typical = 0;
    for (index, pod) in pods.iter().enumerate() {
        if count(pod) > count(&pods[typical]) {
            typical = index;
        }
    }
    let typical = pods[typical].clone();
    let replicas = u32::try_from(count(&typical)).unwrap_or(u32::MAX);
    let odd = pods.iter().filter(|pod| !alike(pod, &typical)).cloned().collect();
    (
        Workload {
            name,
            kind,
            object,
            replicas,
            ..typical
        },
        odd,
    )
}

type NamespaceLabels = BTreeMap<String, BTreeMap<String, String>>;

fn namespace_labels(snapshot: &Snapshot) -> NamespaceLabels {
    let labels = snapshot
        .objects()
        .filter_map(|(name, stored)| match &stored.object {
            Object::Namespace(it) => {
                Some((name.name.clone(), it.metadata.labels.clone().unwrap_or_default()))
            }
            _ => None,
        });
    labels.collect()
}

struct Builder<'a> {
    snapshot: &'a Snapshot,
    namespaces: &'a NamespaceLabels,
    object: &'a ObjectRef,
    webhook: Webhook,
}

impl Builder<'_> {
    fn template(
        &self,
        object: &Object,
        previous: Option<&BTreeMap<WorkloadName, Workload>>,
    ) -> Option<Workload> {
        let (kind, template, replicas) = match object {
            Object::Deployment(it) => {
                let spec = &it.spec;
                (WorkloadKind::Deployment, &spec.template, spec.replicas)
            }
            Object::StatefulSet(it) => {
                let spec = &it.spec;
                (WorkloadKind::StatefulSet, &spec.template, spec.replicas)
            }
            // How many nodes there are is not known from manifests.
            Object::DaemonSet(it) => (WorkloadKind::DaemonSet, &it.spec.template, None),
            Object::Job(it) => {
                let spec = it.spec.as_ref()?;
                (WorkloadKind::Job, &spec.template, spec.parallelism)
            }
            _ => return None,
        };
        let replicas = u32::try_from(replicas.unwrap_or(1)).unwrap_or_default();
        let mut workload = self.workload(kind, template.clone(), replicas, false);
        if let Some(before) = previous
            .and_then(|it| it.get(&workload.name))
            .filter(|before| before.template == workload.template && before.replicas > 0)
        {
            workload.sidecar = before.sidecar.clone();
            workload.tls_mode = before.tls_mode;
        }
        Some(workload)
    }

    /// A pod as a workload of its own; `None` for one that has run to its end.
    fn pod(&self, pod: &Pod) -> Option<Workload> {
        let status = pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return None;
        }
        // A pod of a manifest is still to be created, and injected; one that an API server has seen is what it is.
        let live =
            pod.metadata.uid.is_some() || status.is_some_and(|it| it.phase.is_some() || it.pod_ip.is_some());
        let template = PodTemplateSpec {
            metadata: Some(pod.metadata.clone()),
            spec: pod.spec.clone(),
        };
        Some(self.workload(WorkloadKind::Pod, template, 1, live))
    }

    fn workload(&self, kind: WorkloadKind, template: PodTemplateSpec, replicas: u32, live: bool) -> Workload {
        let namespace = self.object.namespace.clone().unwrap_or_default();
        let (no_metadata, no_spec) = (ObjectMeta::default(), PodSpec::default());
        let metadata = template.metadata.as_ref().unwrap_or(&no_metadata);
        let spec = template.spec.as_ref().unwrap_or(&no_spec);
        let release = &self.snapshot.release;
        let none = BTreeMap::new();
        let labels = self.namespaces.get(&namespace).unwrap_or(&none);
        let sidecar = match self.webhook {
            _ if live => injection::as_written(spec, release, NoSidecar::NotInPod),
            Webhook::Registered => injection::on_creation(metadata, spec, &namespace, labels, release),
            Webhook::Removed => injection::as_written(spec, release, NoSidecar::NoWebhook),
        };
        Workload {
            name: WorkloadName::new(namespace, self.object.name.clone()),
            kind,
            labels: metadata.labels.clone().unwrap_or_default(),
            service_account: service_account(spec),
            replicas,
            unmodelled: unmodelled(metadata, labels, &sidecar),
            tls_mode: injection::tls_mode(metadata, &sidecar, live),
            gateway: injection::is_gateway(metadata),
            sidecar,
            container_ports: container_ports(spec)
                .map(|(_, port)| port)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            named_ports: container_ports(spec)
                .filter_map(|(name, port)| Some((name?, port)))
                .collect(),
            object: self.object.clone(),
            template,
        }
    }
}

/// What about a pod is outside of the rules.
fn unmodelled(
    metadata: &ObjectMeta,
    namespace_labels: &BTreeMap<String, String>,
    sidecar: &Sidecar,
) -> Vec<String> {
    let mut reasons = Vec::new();
    match sidecar {
        Sidecar::Injected { .. } => reasons.extend(injection::unmodelled_annotations(metadata)),
        Sidecar::Absent { .. } if injection::is_ambient(metadata, namespace_labels) => {
            reasons.push("ambient mode".to_owned());
        }
        Sidecar::Absent { .. } => {}
    }
    if injection::is_gateway(metadata) {
        reasons.push("its being a gateway".to_owned());
    }
    reasons
}

fn service_account(spec: &PodSpec) -> String {
    [&spec.service_account_name, &spec.service_account]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty())
        .map_or_else(|| "default".to_owned(), Clone::clone)
}

/// Name and number of the TCP ports that the application's containers declare.
fn container_ports(spec: &PodSpec) -> impl Iterator<Item = (Option<String>, u16)> {
    let is_tcp = |port: &&ContainerPort| port.protocol.as_deref().is_none_or(|it| it == "TCP");
    spec.containers
        .iter()
        .chain(
            spec.init_containers
                .iter()
                .flatten()
                .filter(|it| it.restart_policy.as_deref() == Some("Always")),
        )
        .filter(|container| container.name != injection::PROXY)
        .flat_map(|container| container.ports.iter().flatten())
        .filter(is_tcp)
        .filter_map(|port| Some((port.name.clone(), u16::try_from(port.container_port).ok()?)))
}

/// The workload that a pod is of: one of its own where it is unlike the others of its template.
#[must_use]
pub fn workload_of(pod: &Pod, topology: &Topology) -> Option<WorkloadName> {
    let namespace = pod
        .metadata
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    let own = WorkloadName::new(namespace, pod.metadata.name.clone()?);
    let is_there = |it: &WorkloadName| topology.workloads.contains_key(it);
    Some(own).filter(is_there).or_else(|| owner(pod).filter(is_there))
}

/// The workload whose template a pod was made from. The ReplicaSet in between bears the Deployment's name and the
/// hash of the template, which is also the pod's label.
fn owner(pod: &Pod) -> Option<WorkloadName> {
    let owners = pod.metadata.owner_references.as_ref()?;
    let owner = owners
        .iter()
        .find(|it| it.controller == Some(true))
        .or_else(|| owners.first())?;
    let namespace = pod
        .metadata
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    let name = match owner.kind.as_str() {
        "ReplicaSet" => {
            let hash = pod.metadata.labels.as_ref()?.get("pod-template-hash")?;
            owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?
        }
        "StatefulSet" | "DaemonSet" | "Job" => owner.name.as_str(),
        _ => return None,
    };
    Some(WorkloadName::new(namespace, name))
}
