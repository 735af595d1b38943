//! How an object is named: `Kind/namespace/name`.

use std::fmt;
use std::str::FromStr;

/// An object by kind, namespace and name. Written `PeerAuthentication/payments/strict`, or `Namespace/payments`
/// for kinds without namespace.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: String,
    /// Its namespace; absent for kinds that have none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// A reference; a namespaced kind without namespace means `default`, as for kubectl.
    #[must_use]
    pub fn new(kind: impl Into<String>, namespace: Option<&str>, name: impl Into<String>) -> Self {
        let kind = kind.into();
        let namespace = match namespace {
            _ if is_cluster_scoped(&kind) => None,
            None | Some("") => Some("default".to_owned()),
            Some(namespace) => Some(namespace.to_owned()),
        };
        Self {
            kind,
            namespace,
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

impl FromStr for ObjectRef {
    type Err = NotAnObjectRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || NotAnObjectRef(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(refused());
        }
        match parts.as_slice() {
            [kind, name] => Ok(Self::new(*kind, None, *name)),
            [kind, namespace, name] if !is_cluster_scoped(kind) => {
                Ok(Self::new(*kind, Some(namespace), *name))
            }
            _ => Err(refused()),
        }
    }
}

/// A text that names no object.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` names no object; write Kind/namespace/name, or Kind/name for kinds without namespace")]
pub struct NotAnObjectRef(pub String);

/// Kinds that live outside of namespaces (kubectl api-resources --namespaced=false, Kubernetes 1.36).
fn is_cluster_scoped(kind: &str) -> bool {
    matches!(
        kind,
        "APIService"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "ClusterTrustBundle"
            | "CustomResourceDefinition"
            | "GatewayClass"
            | "IngressClass"
            | "MutatingWebhookConfiguration"
            | "Namespace"
            | "Node"
            | "PersistentVolume"
            | "PriorityClass"
            | "RuntimeClass"
            | "StorageClass"
            | "ValidatingAdmissionPolicy"
            | "ValidatingAdmissionPolicyBinding"
            | "ValidatingWebhookConfiguration"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_as_written() {
        for text in ["PeerAuthentication/payments/strict", "Namespace/payments"] {
            assert_eq!(text.parse::<ObjectRef>().unwrap().to_string(), text);
        }
        for text in ["", "Pod", "Pod//a", "Namespace/a/b", "Pod/a/b/c"] {
            assert_eq!(text.parse::<ObjectRef>(), Err(NotAnObjectRef(text.to_owned())));
        }
    }
}
