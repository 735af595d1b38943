//! What is stored in a cluster, as far as admission asks.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::admission::{Request, kind};

/// By kind, namespace and name.
pub(crate) struct Cluster {
    objects: BTreeMap<(String, String, String), Value>,
    images: Value,
}

impl Cluster {
    /// A cluster that allows the proxy of one release of Istio.
    pub(crate) fn with_images_of(release: &str) -> Self {
        let digest = "1".repeat(64);
        Self {
            objects: BTreeMap::new(),
            images: json!({"data": {"proxy": format!("docker.io/istio/proxyv2:{release}@sha256:{digest}")}}),
        }
    }

    /// Stores every object of a file.
    pub(crate) fn apply_file(&mut self, path: &Path) -> Vec<Request> {
        let text = std::fs::read_to_string(path).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        // Settings of the mesh are no objects.
        let objects = objects.into_iter().filter(|it| it["kind"].is_string());
        objects.map(|it| self.apply(it)).collect()
    }

    /// Stores an object, and tells what admission is asked.
    pub(crate) fn apply(&mut self, object: Value) -> Request {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&object["metadata"]["name"]);
        let namespace = text(&object["metadata"]["namespace"]);
        let of_namespace = &("Namespace".to_owned(), String::new(), namespace.clone());
        let labels = self.objects.get(of_namespace).map(|it| &it["metadata"]["labels"]);
        let labels = labels.and_then(Value::as_object).cloned();
        let key = (kind(&object).to_owned(), namespace, name);
        Request {
            old: self.objects.insert(key, object.clone()),
            object,
            namespace: labels.unwrap_or_default(),
            params: Some(self.images.clone()),
        }
    }

    /// Removes an object, named as scenarios name it.
    pub(crate) fn delete(&mut self, reference: &str) {
        let parts: Vec<&str> = reference.split('/').collect();
        let (kind, namespace, name) = match parts[..] {
            [kind, name] => (kind, "", name),
            [kind, namespace, name] => (kind, namespace, name),
            _ => panic!("{reference}"),
        };
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        assert!(self.objects.remove(&key).is_some(), "{reference}");
    }
}
