//! Names that people gave, as hashes.
//!
//! What is a name is gathered from where names stand (metadata, selectors, hosts, service accounts), and each is then
//! replaced wherever it stands as a word, so that what refers to what stays. Words that mean something to Kubernetes and
//! Istio stay: `istio-system`, `default`, protocols. IP addresses, certificates and ports stay as they are.

use std::collections::BTreeSet;
use std::io;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::snapshot::ObjectRef;

/// Words that are never names.
const WORDS: &[&str] = &[
    "all",
    "auto",
    "cacerts",
    "cluster",
    "default",
    "disable",
    "disabled",
    "enabled",
    "false",
    "global",
    "grpc",
    "http",
    "http2",
    "https",
    "kube-node-lease",
    "kube-public",
    "kube-system",
    "kubernetes",
    "linux",
    "local",
    "mongo",
    "mtls",
    "mysql",
    "none",
    "redis",
    "root",
    "sctp",
    "svc",
    "tcp",
    "tls",
    "true",
    "udp",
];
/// Below these keys stands no name, or one that must stay.
const OTHERS: &[&str] = &[
    "apiVersion",
    "appProtocol",
    "caBundle",
    "creationTimestamp",
    "env",
    "kind",
    "location",
    "mode",
    "nodeInfo",
    "phase",
    "ports",
    "protocol",
    "resolution",
    "resourceVersion",
    "restartPolicy",
    "securityContext",
    "targetPort",
    "type",
    "uid",
];
/// Keys whose values name something.
const NAMING: &[&str] = &[
    "clusterName",
    "credentialName",
    "generateName",
    "host",
    "hosts",
    "namespace",
    "network",
    "secretName",
    "serviceAccount",
    "serviceAccountName",
    "sni",
    "subjectAltNames",
    "subset",
    "trustDomain",
];

/// Which words are names, and what stands in their place.
pub(super) struct Pseudonyms {
    /// Of this bundle alone; `None`: names stay.
    salt: Option<[u8; 32]>,
    names: BTreeSet<String>,
    /// Where mesh-wide policies are; rules know it by its name.
    root_namespace: String,
}

impl Pseudonyms {
    /// Names stay.
    pub(super) const fn none() -> Self {
        Self {
            salt: None,
            names: BTreeSet::new(),
            root_namespace: String::new(),
        }
    }

    /// Names become hashes that nobody can guess names from.
    pub(super) fn new(root_namespace: &str) -> io::Result<Self> {
        let mut salt = [0; 32];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut salt)
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        Ok(Self {
            salt: Some(salt),
            names: BTreeSet::new(),
            root_namespace: root_namespace.to_owned(),
        })
    }

    /// Learns the names in an object.
    pub(super) fn gather(&mut self, object: &Value) {
        let kind = object["kind"].as_str().unwrap_or_default();
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str();
        // A pod of a controller, and what an endpoint controller makes, bear the names of others and more.
        let is_derived = kind == "EndpointSlice" || metadata.get("ownerReferences").is_some();
        self.add(name.filter(|_| !is_derived));
        let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
        for owner in owners.filter(|it| it["kind"] != "ReplicaSet") {
            self.add(owner["name"].as_str());
        }
        if kind != "Node" {
            self.gather_below(object, "");
        }
        if let Some(mesh) = object
            .pointer("/data/mesh")
            .and_then(Value::as_str)
            .filter(|_| kind == "ConfigMap")
        {
            for line in mesh.lines() {
                if let Some(domain) = line.trim().strip_prefix("trustDomain:") {
                    self.add_words(domain.trim().trim_matches(['"', '\'']));
                }
            }
        }
    }

    /// Replaces the names in an object.
    pub(super) fn hide(&self, value: &mut Value) {
        if self.salt.is_some() {
            self.hide_below(value, "");
        }
    }

    /// A text with its names replaced.
    pub(super) fn of_text(&self, text: &str) -> String {
        if self.salt.is_none() || text.contains("-----BEGIN") {
            return text.to_owned();
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let mut hidden = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_part) {
            let (before, word) = rest.split_at(start);
            let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
            hidden.push_str(before);
            hidden.push_str(&self.of_word(&word[..end]));
            rest = &word[end..];
        }
        hidden + rest
    }

    pub(super) fn of_reference(&self, reference: &ObjectRef) -> ObjectRef {
        ObjectRef {
            kind: reference.kind.clone(),
            namespace: reference.namespace.as_deref().map(|it| self.of_text(it)),
            name: self.of_text(&reference.name),
        }
    }

    fn gather_below(&mut self, value: &Value, key: &str) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields
                    .iter()
                    .filter(|(field, _)| !OTHERS.contains(&field.as_str()))
                {
                    let is_label = matches!(key, "labels" | "matchLabels" | "selector");
                    match value.as_str() {
                        Some(label) if is_label && !is_of_istio(field) && !field.ends_with("-hash") => {
                            if label.starts_with(|c: char| c.is_ascii_alphabetic()) && !label.contains('.') {
                                self.add(Some(label));
                            }
                        }
                        Some(name) if NAMING.contains(&field.as_str()) => self.add_words(name),
                        _ => self.gather_below(value, field),
                    }
                }
                if matches!(key, "containers" | "initContainers" | "subsets") {
                    self.add(fields.get("name").and_then(Value::as_str));
                }
            }
            Value::Array(items) => {
                for item in items {
                    match item.as_str() {
                        Some(name) if NAMING.contains(&key) => self.add_words(name),
                        _ => self.gather_below(item, key),
                    }
                }
            }
            _ => {}
        }
    }

    /// The parts of a host, or of a SPIFFE identity.
    fn add_words(&mut self, text: &str) {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        for word in words.filter(|it| it.starts_with(|c: char| c.is_ascii_alphabetic())) {
            self.add(Some(word));
        }
    }

    fn add(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|it| !it.is_empty() && !self.stays(it)) {
            self.names.insert(name.to_owned());
        }
    }

    fn stays(&self, word: &str) -> bool {
        WORDS.contains(&word)
            || word.starts_with("istio")
            || word == self.root_namespace
            || word == "discovery"
    }

    fn hide_below(&self, value: &mut Value, key: &str) {
        match value {
            Value::Object(fields) => {
                if matches!(key, "labels" | "matchLabels" | "selector") {
                    self.hide_label_keys(fields);
                }
                // A requirement about revisions names revisions.
                let is_of_istio = fields.get("key").and_then(Value::as_str).is_some_and(is_of_istio);
                for (field, value) in fields {
                    match field.as_str() {
                        "values" if is_of_istio => {}
                        "image" => self.hide_image(value),
                        "data" | "stringData" => self.hide_data(value),
                        field if OTHERS.contains(&field) || field.contains("istio.io/") => {}
                        field => self.hide_below(value, field),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|it| self.hide_below(it, key)),
            Value::String(text) => *text = self.of_text(text),
            _ => {}
        }
    }

    /// Labels of an organisation bear its domain.
    fn hide_label_keys(&self, labels: &mut Map<String, Value>) {
        let own = |key: &str| {
            let domain = key.split_once('/').map(|(domain, _)| domain);
            domain.is_some_and(|it| {
                !["istio.io", "k8s.io", "kubernetes.io", "helm.sh"]
                    .iter()
                    .any(|known| it.ends_with(known))
            })
        };
        let hidden: Vec<(String, Value)> = std::mem::take(labels)
            .into_iter()
            .map(|(key, value)| match key.split_once('/') {
                Some((domain, name)) if own(&key) => (format!("{}/{name}", self.hash(domain)), value),
                _ => (key, value),
            })
            .collect();
        labels.extend(hidden);
    }

    /// Images of Istio are judged by their names and tags; of others nothing but that they are there is of interest.
    fn hide_image(&self, image: &mut Value) {
        let Value::String(text) = image else { return };
        let last = text.rsplit('/').next().unwrap_or_default();
        let name = last.split([':', '@']).next().unwrap_or_default();
        let is_known = [
            "agentgateway",
            "cert-manager-istio-csr",
            "install-cni",
            "pilot",
            "proxyv2",
            "ztunnel",
        ];
        if !is_known.contains(&name) && name != "auto" {
            *text = format!(
                "{}{}",
                self.hash(&text[..text.len() - last.len() + name.len()]),
                &last[name.len()..]
            );
        }
    }

    /// Of a ConfigMap of Istio the mesh configuration has names; the templates of the injector and certificates stay.
    fn hide_data(&self, data: &mut Value) {
        for key in ["mesh", "meshNetworks"] {
            if let Some(Value::String(text)) = data.get_mut(key) {
                *text = self.of_text(text);
            }
        }
    }

    fn of_word(&self, word: &str) -> String {
        if self.stays(word) {
            return word.to_owned();
        }
        if self.names.contains(word) {
            return self.hash(word);
        }
        // Pods and ReplicaSets bear the name of what made them, and more.
        let mut ends = word.rmatch_indices('-').map(|(at, _)| at);
        match ends.find(|at| self.names.contains(&word[..*at])) {
            Some(at) => format!("{}{}", self.hash(&word[..at]), &word[at..]),
            None => word.to_owned(),
        }
    }

    /// A name of Kubernetes must begin with a letter.
    fn hash(&self, name: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.salt.unwrap_or_default());
        hash.update(name);
        let digits: String = hash
            .finalize()
            .iter()
            .take(6)
            .map(|it| format!("{it:02x}"))
            .collect();
        format!("n{digits}")
    }
}

/// Whether Istio gives a label its meaning.
fn is_of_istio(label: &str) -> bool {
    label.contains("istio.io/") || label.starts_with("istio") || label == "istio-injection"
}
