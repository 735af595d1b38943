//! Names of a run: every namespace of a scenario gets a prefix of the run, and so does every reference to it.
//!
//! The prefix is a text that occurs nowhere else, so that taking it away leaves what a scenario wrote: evidence speaks of the
//! scenario's own names.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};

use serde_json::Value;

/// Keys whose texts are hosts of Services.
const HOSTS: [&str; 4] = ["host", "hosts", "notHosts", "fqdn"];
/// Keys whose texts are names of namespaces.
const NAMESPACES: [&str; 7] = [
    "namespace",
    "namespaces",
    "notNamespaces",
    "exportTo",
    "sourceNamespace",
    "values",
    "notValues",
];

/// The names of one run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Names {
    run: String,
    root_namespace: String,
}

impl Names {
    /// Those of a run that no other run is called like.
    pub(super) fn new(root_namespace: &str) -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        Self::of(&format!("mp{:08x}", random >> 32), root_namespace)
    }

    pub(super) fn of(run: &str, root_namespace: &str) -> Self {
        Self {
            run: run.to_owned(),
            root_namespace: root_namespace.to_owned(),
        }
    }

    /// What the run is called.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// The namespace of the cluster that stands for one of the scenario. There is one root namespace.
    pub(super) fn namespace(&self, written: &str) -> String {
        if written == self.root_namespace {
            written.to_owned()
        } else {
            format!("{}-{written}", self.run)
        }
    }

    /// Whether a namespace of the cluster is one of the run.
    pub(super) fn is_own(&self, namespace: &str) -> bool {
        namespace
            .strip_prefix(&self.run)
            .is_some_and(|rest| rest.starts_with('-'))
    }

    /// An object as it is in the cluster. `own` are the scenario's namespaces.
    pub(super) fn object(&self, own: &BTreeSet<String>, mut object: Value) -> Value {
        if object["kind"] == "Namespace"
            && let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str)
        {
            object["metadata"]["name"] = self.namespace(name).into();
        }
        self.rewrite(own, "", &mut object);
        object
    }

    /// A text with SPIFFE ids as they are in the cluster.
    pub(super) fn identity(&self, own: &BTreeSet<String>, text: &str) -> String {
        let mut text = text.to_owned();
        for namespace in own {
            let written = format!("/ns/{namespace}/");
            text = text.replace(&written, &format!("/ns/{}/", self.namespace(namespace)));
        }
        text
    }

    /// A host as it is in the cluster: `payment.payments` and longer forms name a namespace, `payment` is of the one it is in.
    pub(super) fn host(&self, own: &BTreeSet<String>, host: &str) -> String {
        let (name, port) = match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        };
        let mut labels: Vec<String> = name.split('.').map(str::to_owned).collect();
        let is_of_service = labels.len() == 2 || labels.get(2).is_some_and(|it| it == "svc");
        if let Some(namespace) = labels.get_mut(1)
            && is_of_service
            && own.contains(namespace)
        {
            *namespace = self.namespace(namespace);
        }
        match port {
            Some(port) => format!("{}:{port}", labels.join(".")),
            None => labels.join("."),
        }
    }

    /// A text of the cluster as the scenario would have it.
    pub(super) fn written(&self, text: &str) -> String {
        text.replace(&format!("{}-", self.run), "")
    }

    fn rewrite(&self, own: &BTreeSet<String>, key: &str, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.rewrite(own, key, value);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.rewrite(own, key, item);
                }
            }
            Value::String(text) => {
                *text = if NAMESPACES.contains(&key) && own.contains(text) {
                    self.namespace(text)
                } else if HOSTS.contains(&key) {
                    self.host(own, text)
                } else {
                    self.identity(own, text)
                };
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> BTreeSet<String> {
        ["payments", "shop"].map(str::to_owned).into()
    }

    #[test]
    fn every_reference_to_a_namespace_of_the_scenario_is_rewritten_and_nothing_else() {
        let object = serde_json::json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "payments", "namespace": "payments", "labels": {"app": "payments"}},
            "spec": {
                "hosts": ["payment", "payment.payments", "payment.payments.svc.cluster.local", "*.shop.svc.cluster.local", "a.example.com"],
                "exportTo": [".", "shop", "elsewhere"],
                "http": [{"route": [{"destination": {"host": "payment.shop:8080", "subset": "shop"}}]}],
                "rules": [{
                    "from": [{"source": {"principals": ["cluster.local/ns/shop/sa/a"], "namespaces": ["shop", "istio-system"]}}],
                    "when": [{"key": "source.namespace", "values": ["payments"]}],
                }],
            },
        });
        let names = Names::of("mp01", "istio-system");
        let rewritten = names.object(&own(), object.clone());
        insta::assert_json_snapshot!(rewritten);
        let back: Value = serde_json::from_str(&names.written(&rewritten.to_string())).unwrap();
        assert_eq!(back, object);
    }

    #[test]
    fn a_namespace_is_renamed_and_the_root_namespace_is_not() {
        let names = Names::of("mp01", "istio-system");
        let namespace = serde_json::json!({"kind": "Namespace", "metadata": {"name": "shop"}});
        assert_eq!(names.object(&own(), namespace)["metadata"]["name"], "mp01-shop");
        assert_eq!(names.namespace("istio-system"), "istio-system");
    }

    #[test]
    fn runs_are_called_differently() {
        let names: BTreeSet<String> = (0..100).map(|_| Names::new("istio-system").run).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|it| it.len() == 10), "{names:?}");
    }
}
