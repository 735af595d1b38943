//! A mesh as an API server would show it.

use k8s_openapi::api::core::v1::{Container, Pod, PodStatus, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::istio::policy::Sidecar;
use crate::istio::{Topology, Workload, injection};
use crate::snapshot::{Object, Snapshot};

/// What the controllers of a cluster would call the template of a workload's pods.
const HASH: &str = "5d4f8c7b9";

/// The objects with the pods that run: each as it was created, whatever labels say today.
pub(super) fn cluster(snapshot: &Snapshot, topology: &Topology) -> Snapshot {
    let mut shown = snapshot.clone();
    for workload in topology.workloads.values() {
        let Some(template) = template(snapshot, workload) else {
            continue;
        };
        for ordinal in 0..workload.replicas {
            shown.apply(Object::Pod(Box::new(pod(workload, template.clone(), ordinal))));
        }
    }
    shown
}

fn template(snapshot: &Snapshot, workload: &Workload) -> Option<PodTemplateSpec> {
    Some(match &snapshot.get(&workload.object)?.object {
        Object::Deployment(it) => it.spec.template.clone(),
        Object::StatefulSet(it) => it.spec.template.clone(),
        Object::DaemonSet(it) => it.spec.template.clone(),
        Object::Job(it) => it.spec.as_ref()?.template.clone(),
        Object::Pod(it) => PodTemplateSpec {
            metadata: Some(it.metadata.clone()),
            spec: it.spec.clone(),
        },
        _ => return None,
    })
}

fn pod(workload: &Workload, template: PodTemplateSpec, ordinal: u32) -> Pod {
    let name = &workload.name;
    let mut spec = template.spec.unwrap_or_default();
    let of_template = template.metadata.unwrap_or_default();
    let mut labels = of_template.labels.unwrap_or_default();
    if let Sidecar::Injected { release } = &workload.sidecar
        && injection::proxy_container(&spec).is_none()
    {
        spec.containers.push(Container {
            name: injection::PROXY.to_owned(),
            image: Some(format!("docker.io/istio/proxyv2:{release}")),
            ..Container::default()
        });
    }
    if workload.tls_mode {
        labels.insert("security.istio.io/tlsMode".to_owned(), "istio".to_owned());
    }
    let (kind, owner) = match workload.object.kind.as_str() {
        "Pod" => (None, String::new()),
        "Deployment" => (Some("ReplicaSet"), format!("{}-{HASH}", name.name)),
        other => (Some(other), name.name.clone()),
    };
    labels.insert("pod-template-hash".to_owned(), HASH.to_owned());
    let own_name = match kind {
        Some(_) => format!("{}-{ordinal}", owner),
        None => name.name.clone(),
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(own_name.clone()),
            namespace: Some(name.namespace.clone()),
            uid: Some(own_name),
            labels: Some(labels),
            annotations: of_template.annotations,
            owner_references: kind.map(|kind| {
                vec![OwnerReference {
                    kind: kind.to_owned(),
                    name: owner,
                    controller: Some(true),
                    ..OwnerReference::default()
                }]
            }),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: Some(PodStatus {
            phase: Some("Running".to_owned()),
            ..PodStatus::default()
        }),
    }
}
