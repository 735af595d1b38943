//! Objects outside of the rules: where one takes part in a call, the prediction is `unknown` and names it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::host;
use super::workload::Workload;
use crate::snapshot::api::WorkloadSelector;
use crate::snapshot::{Object, ObjectRef, Other, Snapshot};

/// Objects outside of the rules, by namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Unmodelled {
    root_namespace: String,
    /// Sidecar and EnvoyFilter: they change what a proxy is configured to do.
    proxies: BTreeMap<String, Vec<Selecting>>,
    /// AuthorizationPolicy: it may deny what the transport delivered.
    authorization: BTreeMap<String, Vec<Selecting>>,
    /// ServiceEntry, with its hosts.
    service_entries: Vec<(ObjectRef, Vec<String>)>,
}

#[derive(Clone, Debug)]
struct Selecting {
    object: ObjectRef,
    selector: WorkloadSelector,
}

impl Unmodelled {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut found = Self {
            root_namespace: snapshot.mesh.root_namespace.clone(),
            ..Self::default()
        };
        for (name, stored) in snapshot.objects() {
            if let Object::Other(object) = &stored.object {
                found.add(name, object);
            }
        }
        found
    }

    /// The first object that configures a workload's proxy beyond the rules. A Sidecar of the root namespace counts
    /// only where the workload's own namespace has none.
    pub(super) fn configures(&self, workload: &Workload) -> Option<&ObjectRef> {
        let own: Vec<_> = selecting(&self.proxies, &workload.name.namespace, workload).collect();
        let has_sidecar = own.iter().any(|it| it.kind == "Sidecar");
        let is_root = workload.name.namespace == self.root_namespace;
        let of_root = selecting(&self.proxies, &self.root_namespace, workload)
            .filter(|it| !is_root && !(has_sidecar && it.kind == "Sidecar"));
        own.into_iter().chain(of_root).next()
    }

    /// The first AuthorizationPolicy in force for a server.
    pub(super) fn authorizes(&self, server: &Workload) -> Option<&ObjectRef> {
        let namespaces = [server.name.namespace.as_str(), &self.root_namespace];
        namespaces
            .into_iter()
            .flat_map(|it| selecting(&self.authorization, it, server))
            .next()
    }

    /// The first ServiceEntry about a host.
    pub(super) fn declares(&self, wanted: &str) -> Option<&ObjectRef> {
        let covers = |hosts: &[String]| hosts.iter().any(|pattern| host::matches(pattern, wanted));
        self.service_entries
            .iter()
            .find(|(_, hosts)| covers(hosts))
            .map(|(object, _)| object)
    }

    fn add(&mut self, name: &ObjectRef, object: &Other) {
        let group = object.api_version.split('/').next().unwrap_or_default();
        let namespace = name.namespace.clone().unwrap_or_default();
        match (group, object.kind.as_str()) {
            ("networking.istio.io", "Sidecar" | "EnvoyFilter") => {
                let selector = selector(&object.value, "/spec/workloadSelector/labels");
                self.proxies.entry(namespace).or_default().push(Selecting {
                    object: name.clone(),
                    selector,
                });
            }
            ("security.istio.io", "AuthorizationPolicy") => {
                // Policies with targetRefs are for gateways and waypoints.
                if object
                    .value
                    .pointer("/spec/targetRefs")
                    .or(object.value.pointer("/spec/targetRef"))
                    .is_none()
                {
                    let selector = selector(&object.value, "/spec/selector/matchLabels");
                    self.authorization.entry(namespace).or_default().push(Selecting {
                        object: name.clone(),
                        selector,
                    });
                }
            }
            ("networking.istio.io", "ServiceEntry") => {
                let hosts = object.value.pointer("/spec/hosts").and_then(Value::as_array);
                let hosts = hosts
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned);
                self.service_entries.push((name.clone(), hosts.collect()));
            }
            _ => {}
        }
    }
}

fn selecting<'a>(
    objects: &'a BTreeMap<String, Vec<Selecting>>,
    namespace: &str,
    workload: &Workload,
) -> impl Iterator<Item = &'a ObjectRef> {
    let objects = objects.get(namespace).into_iter().flatten();
    objects
        .filter(|it| it.selector.matches(&workload.labels))
        .map(|it| &it.object)
}

fn selector(object: &Value, pointer: &str) -> WorkloadSelector {
    let labels = object.pointer(pointer).and_then(Value::as_object).map(|labels| {
        labels
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    });
    WorkloadSelector { match_labels: labels }
}
