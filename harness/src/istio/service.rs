//! Services, their ports, and the workloads behind them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::identity;
use super::policy::ListenerClass;
use super::protocol;
use super::workload::Workload;
use crate::call::WorkloadName;
use crate::snapshot::{Age, MeshConfig, Object, ObjectRef, Snapshot};

/// A Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its FQDN, `name.namespace.svc.cluster.local`.
    pub host: String,
    /// Whether it has no cluster IP: a client reaches the address it dials.
    pub headless: bool,
    /// Whether it only names a host elsewhere (ExternalName).
    pub external: bool,
    /// Its TCP ports.
    pub ports: Vec<ServicePort>,
    /// Labels of its pods; `None` where its endpoints are written by hand.
    pub selector: Option<BTreeMap<String, String>>,
    /// Workloads that the selector picks.
    pub workloads: Vec<WorkloadName>,
    /// The identities that clients accept: those of all pods behind it and those of its annotations, for each trust
    /// domain; sorted.
    pub identities: Vec<String>,
    pub(super) age: Age,
}

/// A port of a Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServicePort {
    /// The Service's number.
    pub port: u16,
    /// Its name; may be empty.
    pub name: String,
    /// How listeners treat it.
    pub class: ListenerClass,
    /// Whether it is declared HTTP/2 (http2, grpc, grpc-web).
    pub http2: bool,
    /// The pod port behind it.
    pub target: TargetPort,
}

/// `targetPort`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TargetPort {
    /// The name of a container port.
    Name(String),
    /// A pod port.
    Number(u16),
}

impl Service {
    /// The port of that number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.port == number)
    }

    /// How the Service's object is named.
    #[must_use]
    pub fn object(&self) -> ObjectRef {
        ObjectRef::new("Service", Some(&self.namespace), &self.name)
    }
}

impl ServicePort {
    /// The pod port of a workload, or `None` where its containers declare no port of the name asked for.
    #[must_use]
    pub fn pod_port(&self, workload: &Workload) -> Option<u16> {
        match &self.target {
            TargetPort::Number(port) => Some(*port),
            TargetPort::Name(name) => workload.named_ports.get(name).copied(),
        }
    }
}

/// All Services of a snapshot by namespace and name, each with its workloads.
pub(super) fn services(
    snapshot: &Snapshot,
    workloads: &BTreeMap<WorkloadName, Workload>,
) -> BTreeMap<(String, String), Service> {
    let mut by_namespace: BTreeMap<&str, Vec<&Workload>> = BTreeMap::new();
    for workload in workloads.values() {
        by_namespace
            .entry(&workload.name.namespace)
            .or_default()
            .push(workload);
    }
    let mut found = BTreeMap::new();
    for (name, stored) in snapshot.objects() {
        let (Object::Service(object), Some(namespace)) = (&stored.object, &name.namespace) else {
            continue;
        };
        let mut service = service(object, namespace, &name.name, &snapshot.mesh, stored.age);
        if let Some(selector) = &service.selector {
            let candidates = by_namespace.get(namespace.as_str()).into_iter().flatten();
            service.workloads = candidates
                .filter(|it| selects(selector, &it.labels))
                .map(|it| it.name.clone())
                .collect();
        }
        service.identities = identities(object, &service, workloads, &snapshot.mesh);
        found.insert((namespace.clone(), name.name.clone()), service);
    }
    found
}

fn service(object: &core::Service, namespace: &str, name: &str, mesh: &MeshConfig, age: Age) -> Service {
    let spec = object.spec.clone().unwrap_or_default();
    Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        host: format!("{name}.{namespace}.svc.{}", mesh.cluster_domain),
        headless: spec.cluster_ip.as_deref() == Some("None"),
        external: spec.type_.as_deref() == Some("ExternalName"),
        ports: spec.ports.iter().flatten().filter_map(port).collect(),
        selector: spec.selector.filter(|selector| !selector.is_empty()),
        workloads: Vec::new(),
        identities: Vec::new(),
        age,
    }
}

/// A TCP port; UDP is not captured and SCTP not supported by sidecars.
fn port(port: &core::ServicePort) -> Option<ServicePort> {
    if port.protocol.as_deref().is_some_and(|it| it != "TCP") {
        return None;
    }
    let number = u16::try_from(port.port).ok()?;
    let name = port.name.clone().unwrap_or_default();
    let (class, http2) = protocol::class_of(number, &name, port.app_protocol.as_deref());
    let target = match &port.target_port {
        Some(IntOrString::Int(target)) if *target != 0 => TargetPort::Number(u16::try_from(*target).ok()?),
        Some(IntOrString::String(target)) => target
            .parse()
            .map_or_else(|_| TargetPort::Name(target.clone()), TargetPort::Number),
        _ => TargetPort::Number(number),
    };
    Some(ServicePort {
        port: number,
        name,
        class,
        http2,
        target,
    })
}

/// The identities of a Service: of the pods behind any of its ports, and of its annotations
/// (pilot/pkg/model/push_context.go@1.30.3: `initServiceAccounts`, pilot/pkg/serviceregistry/kube/conversion.go@1.30.3).
fn identities(
    object: &core::Service,
    service: &Service,
    workloads: &BTreeMap<WorkloadName, Workload>,
    mesh: &MeshConfig,
) -> Vec<String> {
    let listed = |key: &str| {
        let value = object
            .metadata
            .annotations
            .as_ref()
            .and_then(|it| it.get(key))
            .cloned()
            .unwrap_or_default();
        value
            .split(',')
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let is_endpoint =
        |it: &&Workload| it.replicas > 0 && service.ports.iter().any(|port| port.pod_port(it).is_some());
    let of_pods = service
        .workloads
        .iter()
        .filter_map(|name| workloads.get(name))
        .filter(is_endpoint)
        .map(|workload| identity::spiffe_id(&mesh.trust_domain, workload));
    let kubernetes = listed("alpha.istio.io/kubernetes-serviceaccounts")
        .into_iter()
        .map(|account| {
            format!(
                "spiffe://{}/ns/{}/sa/{account}",
                mesh.trust_domain, service.namespace
            )
        });
    let canonical = listed("alpha.istio.io/canonical-serviceaccounts");
    identity::in_every_trust_domain(of_pods.chain(kubernetes).chain(canonical), mesh)
}

fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
