//! Everything that a run creates for a state, as it is applied.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::instruments;
use super::kinds::{self, ENVOY_FILTERS, NAMESPACES, SECRETS};
use super::names::Names;
use super::settings::Revision;
use super::workload::{Dressing, RUN, digest};
use crate::call::WorkloadName;
use crate::istio::ReleaseTable;
use crate::kubernetes::Resource;
use crate::mesh::{Desired, MeshError};
use crate::pki::Issued;

const REVISION: &str = "istio.io/rev";
const INJECTION: &str = "istio-injection";
/// Where the images of releases come from whose own hub is not known.
const HUB: &str = "docker.io/istio";

/// An object by its place in the order of creation, namespace and name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key {
    order: usize,
    pub(super) resource: Resource,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// The objects of a state.
pub(super) type Objects = BTreeMap<Key, Value>;

impl Key {
    fn of(order: usize, resource: &Resource, object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Self {
            order,
            resource: *resource,
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.resource.kind, self.name),
            None => write!(f, "{}/{}", self.resource.kind, self.name),
        }
    }
}

/// What decides about objects beside the state itself.
pub(super) struct Maker<'a> {
    pub(super) names: &'a Names,
    pub(super) agent: &'a str,
    pub(super) revision: &'a Revision,
}

impl Maker<'_> {
    /// The objects of `desired`; `credentials` are the workloads' own, where they have any. EnvoyFilters are apart.
    pub(super) fn objects(
        &self,
        desired: &Desired,
        credentials: &BTreeMap<WorkloadName, Issued>,
    ) -> Result<Objects, MeshError> {
        let own = namespaces(desired);
        let mut objects = Objects::new();
        let mut add = |object: Value| -> Result<(), MeshError> {
            let kind = object["kind"].as_str().unwrap_or_default();
            let (order, resource) = kinds::created(kind)
                .ok_or_else(|| MeshError::Internal(format!("no object of kind {kind} is created")))?;
            let object = self.labelled(object);
            objects.insert(Key::of(order, resource, &object), object);
            Ok(())
        };
        for namespace in &own {
            add(
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.names.namespace(namespace)}}),
            )?;
        }
        let mut secrets = BTreeMap::new();
        for (workload, issued) in credentials {
            let (name, secret) = self.secret(workload, issued);
            secrets.insert(workload.clone(), name);
            add(secret)?;
        }
        let root = &desired.snapshot.mesh.root_namespace;
        for (name, stored) in desired.snapshot.objects() {
            let mut object = stored
                .object
                .to_manifest()
                .map_err(|error| MeshError::Internal(format!("{name} cannot be written: {error}")))?;
            for left_to_the_server in ["creationTimestamp", "uid", "resourceVersion", "generation"] {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove(left_to_the_server);
                }
            }
            if object["kind"] == "Namespace" {
                if object["metadata"]["name"] == root.as_str() {
                    continue;
                }
                self.choose_revision(desired, &mut object);
            } else if object["metadata"]["namespace"].is_null() {
                object["metadata"]["namespace"] = name.namespace.clone().into();
            }
            let workload = desired.topology.workloads.values().find(|it| it.object == *name);
            if let Some(workload) = workload {
                let dressing = Dressing {
                    topology: &desired.topology,
                    run: self.names.run(),
                    agent: self.agent,
                    hub: hub_of(workload),
                    credentials: secrets.get(&workload.name).map(String::as_str),
                    restarts: desired
                        .conditions
                        .restarts_of(&workload.name)
                        .max()
                        .unwrap_or_default(),
                };
                dressing.dress(workload, &mut object);
                if object["kind"] == "Deployment" {
                    // Pods of two templates at a time would answer for each other.
                    object["spec"]["strategy"] = json!({"type": "Recreate"});
                }
                self.choose_revision_of_pods(desired, &mut object);
            }
            add(self.names.object(&own, object))?;
        }
        Ok(objects)
    }

    /// The EnvoyFilters that put the sidecars of every namespace into state `number`.
    pub(super) fn instruments(&self, desired: &Desired, number: u64) -> Objects {
        let topology = &desired.topology;
        let releases = topology.workloads.values().filter_map(|it| it.proxy_release());
        let oldest = releases.min().unwrap_or(&topology.release);
        let with_sidecars = topology.workloads.values().filter(|it| it.has_sidecar());
        let namespaces: BTreeSet<&str> = with_sidecars.map(|it| it.name.namespace.as_str()).collect();
        let filters = namespaces.into_iter().map(|namespace| {
            let namespace = self.names.namespace(namespace);
            let filter = instruments::filter(&namespace, number, desired.connections, oldest);
            let filter = self.labelled(filter);
            (Key::of(kinds::CREATED.len(), &ENVOY_FILTERS, &filter), filter)
        });
        filters.collect()
    }

    fn labelled(&self, mut object: Value) -> Value {
        object["metadata"]["labels"][RUN] = self.names.run().into();
        object
    }

    /// A Secret that is called by what is in it: one that changes is another, and its pods are made anew. Agents of some
    /// releases do not see a file change twice (istio 1.29.0 to 1.29.2 and 1.30.0 to 1.30.2), and nodes take a minute.
    fn secret(&self, workload: &WorkloadName, issued: &Issued) -> (String, Value) {
        let content = [issued.certificate_chain.as_str(), &issued.trust_bundle].concat();
        let name = format!("meshproof-{}-{}", workload.name, digest(&content));
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.names.namespace(&workload.namespace)},
            "immutable": true,
            "stringData": {
                "cert-chain.pem": issued.certificate_chain,
                "key.pem": issued.private_key.pem(),
                "root-cert.pem": issued.trust_bundle,
            },
        });
        (name, secret)
    }

    /// `istio-injection: enabled` asks for the default revision; where each release is a revision, that may be another.
    fn choose_revision(&self, desired: &Desired, namespace: &mut Value) {
        let labels = &mut namespace["metadata"]["labels"];
        if let Some(revision) = self.revision.of(&desired.topology.release) {
            if !labels[REVISION].is_null() {
                labels[REVISION] = revision.into();
            } else if labels[INJECTION] == "enabled" {
                labels[REVISION] = revision.into();
                if let Some(labels) = labels.as_object_mut() {
                    labels.remove(INJECTION);
                }
            }
        }
        // The injected istio-init has rights that the other levels forbid.
        labels["pod-security.kubernetes.io/enforce"] = "privileged".into();
    }

    fn choose_revision_of_pods(&self, desired: &Desired, object: &mut Value) {
        let Some(revision) = self.revision.of(&desired.topology.release) else {
            return;
        };
        let pods = if object["kind"] == "Pod" {
            object
        } else {
            &mut object["spec"]["template"]
        };
        if let Some(asked) = pods.pointer_mut("/metadata/labels/istio.io~1rev") {
            *asked = revision.into();
        }
    }
}

/// The namespaces of a state that are of the scenario's own: all but the root namespace.
pub(super) fn namespaces(desired: &Desired) -> BTreeSet<String> {
    let root = &desired.snapshot.mesh.root_namespace;
    let named = desired.snapshot.objects().map(|(name, _)| match &name.namespace {
        Some(namespace) => namespace.clone(),
        None if name.kind == NAMESPACES.kind => name.name.clone(),
        None => String::new(),
    });
    named.filter(|it| !it.is_empty() && it != root).collect()
}

/// A Secret's values are for nobody's eyes.
pub(super) fn redacted(key: &Key, object: &Value) -> Value {
    let mut object = object.clone();
    if key.resource == SECRETS {
        for values in ["stringData", "data"] {
            let values = object.get_mut(values).and_then(Value::as_object_mut);
            for value in values.into_iter().flat_map(|it| it.values_mut()) {
                *value = "(not shown)".into();
            }
        }
    }
    object
}

fn hub_of(workload: &crate::istio::Workload) -> &'static str {
    let release = workload.proxy_release();
    let table = ReleaseTable::known().ok();
    let minor = release.and_then(|release| table?.minor_of(release));
    minor.map_or(HUB, |minor| minor.hub.as_str())
}
