//! What rules look at: the snapshot, what follows from it, and the upgrade in question.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use semver::Version;
use serde_json::Value;

use super::calls::{self, CallGroup};
use super::certificates::Certificates;
use super::installation::Installation;
use crate::istio::{ReleaseTable, Topology, injection};
use crate::snapshot::{Mixed, Object, ObjectRef, Snapshot, Stored};

/// The mesh and the upgrade.
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) mixed: &'a Mixed,
    pub(super) releases: &'a ReleaseTable,
    pub(super) current: &'a Version,
    pub(super) target: &'a Version,
    pub(super) now: Timestamp,
    /// How long before their end certificates count as ending.
    pub(super) horizon: Duration,
    /// The Kubernetes versions of the nodes, by node or by who said so.
    pub(super) kubernetes: BTreeMap<String, Version>,
    pub(super) topology: Topology,
    pub(super) calls: Vec<CallGroup>,
    pub(super) certificates: Certificates<'a>,
    pub(super) installation: Installation<'a>,
    pub(super) namespaces: BTreeMap<&'a str, &'a Stored>,
    pub(super) pods: Vec<LivePod<'a>>,
}

/// A pod that an API server has seen.
pub(super) struct LivePod<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) stored: &'a Stored,
    pub(super) pod: &'a Pod,
}

/// What an audit looks at, from outside.
pub(super) struct Upgrade<'a> {
    pub(super) current: &'a Version,
    pub(super) target: &'a Version,
    pub(super) now: Timestamp,
    pub(super) horizon: Duration,
    pub(super) kubernetes: Option<&'a Version>,
}

impl<'a> View<'a> {
    /// `snapshot` must be at the current release.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        mixed: &'a Mixed,
        releases: &'a ReleaseTable,
        upgrade: &Upgrade<'a>,
    ) -> Self {
        let topology = Topology::new(snapshot, None);
        let mut upgraded = topology.clone();
        if upgrade.target != upgrade.current {
            let mut at_target = snapshot.clone();
            at_target.release = upgrade.target.clone();
            upgraded = Topology::new(&at_target, None);
        }
        let mut view = Self {
            snapshot,
            mixed,
            releases,
            current: upgrade.current,
            target: upgrade.target,
            now: upgrade.now,
            horizon: upgrade.horizon,
            kubernetes: BTreeMap::new(),
            calls: calls::groups(&topology, &upgraded),
            topology,
            certificates: Certificates::new(snapshot),
            installation: Installation::new(snapshot, mixed),
            namespaces: BTreeMap::new(),
            pods: Vec::new(),
        };
        for (object, stored) in snapshot.objects() {
            match &stored.object {
                Object::Namespace(_) => {
                    view.namespaces.insert(&object.name, stored);
                }
                Object::Pod(pod) if is_live(pod) => view.pods.push(LivePod { object, stored, pod }),
                Object::Other(it) if it.kind == "Node" => {
                    let version = it
                        .value
                        .pointer("/status/nodeInfo/kubeletVersion")
                        .and_then(Value::as_str);
                    if let Some(version) = version.and_then(kubernetes_version) {
                        view.kubernetes.insert(format!("Node/{}", object.name), version);
                    }
                }
                _ => {}
            }
        }
        if let Some(version) = upgrade.kubernetes {
            view.kubernetes.insert("--kubernetes".to_owned(), version.clone());
        }
        if view.kubernetes.is_empty()
            && let Some(version) = mixed.kubernetes.as_deref().and_then(kubernetes_version)
        {
            view.kubernetes.insert("the API server".to_owned(), version);
        }
        view
    }

    /// Labels of a namespace; none where the input does not hold it.
    pub(super) fn labels(&self, namespace: &str) -> Option<&'a BTreeMap<String, String>> {
        self.namespaces.get(namespace)?.object.metadata().labels.as_ref()
    }

    /// Every pod template and every pod without one, with metadata and specification.
    pub(super) fn templates(
        &self,
    ) -> impl Iterator<Item = (&'a ObjectRef, &'a Stored, &'a ObjectMeta, &'a PodSpec)> + use<'a> {
        self.snapshot.objects().filter_map(|(name, stored)| {
            let of =
                |template: &'a PodTemplateSpec| Some((template.metadata.as_ref(), template.spec.as_ref()?));
            let (metadata, spec) = match &stored.object {
                Object::Deployment(it) => of(&it.spec.template)?,
                Object::StatefulSet(it) => of(&it.spec.template)?,
                Object::DaemonSet(it) => of(&it.spec.template)?,
                Object::Job(it) => of(&it.spec.as_ref()?.template)?,
                Object::Pod(it) => (Some(&it.metadata), it.spec.as_ref()?),
                _ => return None,
            };
            Some((name, stored, metadata.unwrap_or(stored.object.metadata()), spec))
        })
    }

    /// Objects of a kind that has no type of its own.
    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = (&'a ObjectRef, &'a Stored, &'a Value)> {
        self.snapshot
            .objects()
            .filter_map(move |(name, stored)| match &stored.object {
                Object::Other(it) if it.kind == kind => Some((name, stored, &it.value)),
                _ => None,
            })
    }

    /// Every proxy whose release its image tells: what runs it, and the release.
    pub(super) fn proxies(&self) -> impl Iterator<Item = (&'a ObjectRef, &'a Stored, Version)> + use<'a> {
        self.templates().filter_map(|(name, stored, metadata, spec)| {
            let container = injection::proxy_container(spec).and_then(|it| it.image.as_deref());
            let annotated = || {
                metadata
                    .annotations
                    .as_ref()?
                    .get("sidecar.istio.io/proxyImage")
                    .map(String::as_str)
            };
            let release = injection::release_of_image(container.or_else(annotated)?)?;
            Some((name, stored, release))
        })
    }
}

/// Whether an API server has seen the pod, and it has not run to its end.
fn is_live(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    pod.metadata.uid.is_some() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// `v1.33.1-eks-1234` as 1.33.1.
pub(super) fn kubernetes_version(text: &str) -> Option<Version> {
    let numbers = text.trim_start_matches('v');
    let end = numbers
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(numbers.len());
    let parts: Vec<u64> = numbers[..end]
        .split('.')
        .map(|it| it.parse().ok())
        .collect::<Option<_>>()?;
    match parts.as_slice() {
        [major, minor] => Some(Version::new(*major, *minor, 0)),
        [major, minor, patch] => Some(Version::new(*major, *minor, *patch)),
        _ => None,
    }
}
