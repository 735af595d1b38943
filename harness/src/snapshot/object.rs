//! The objects a snapshot holds, each as its own type.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::ObjectRef;
use super::api::{DestinationRule, PeerAuthentication, VirtualService};

/// One object of a snapshot.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the kind it names")]
pub enum Object {
    ConfigMap(Box<ConfigMap>),
    DaemonSet(Box<DaemonSet>),
    Deployment(Box<Deployment>),
    DestinationRule(Box<DestinationRule>),
    Job(Box<Job>),
    Namespace(Box<Namespace>),
    PeerAuthentication(Box<PeerAuthentication>),
    Pod(Box<Pod>),
    Service(Box<Service>),
    ServiceAccount(Box<ServiceAccount>),
    StatefulSet(Box<StatefulSet>),
    VirtualService(Box<VirtualService>),
    /// Any other kind, kept as it was written.
    Other(Box<Other>),
}

/// An object of a kind that has no type of its own here.
#[derive(Clone, Debug, PartialEq)]
pub struct Other {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// `metadata`.
    pub metadata: ObjectMeta,
    /// The whole object.
    pub value: Value,
}

impl Object {
    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::ConfigMap(_) => "ConfigMap",
            Self::DaemonSet(_) => "DaemonSet",
            Self::Deployment(_) => "Deployment",
            Self::DestinationRule(_) => "DestinationRule",
            Self::Job(_) => "Job",
            Self::Namespace(_) => "Namespace",
            Self::PeerAuthentication(_) => "PeerAuthentication",
            Self::Pod(_) => "Pod",
            Self::Service(_) => "Service",
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::StatefulSet(_) => "StatefulSet",
            Self::VirtualService(_) => "VirtualService",
            Self::Other(it) => &it.kind,
        }
    }

    /// `metadata`.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::ConfigMap(it) => &it.metadata,
            Self::DaemonSet(it) => &it.metadata,
            Self::Deployment(it) => &it.metadata,
            Self::DestinationRule(it) => &it.metadata,
            Self::Job(it) => &it.metadata,
            Self::Namespace(it) => &it.metadata,
            Self::PeerAuthentication(it) => &it.metadata,
            Self::Pod(it) => &it.metadata,
            Self::Service(it) => &it.metadata,
            Self::ServiceAccount(it) => &it.metadata,
            Self::StatefulSet(it) => &it.metadata,
            Self::VirtualService(it) => &it.metadata,
            Self::Other(it) => &it.metadata,
        }
    }

    /// `metadata`, to be changed.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::ConfigMap(it) => &mut it.metadata,
            Self::DaemonSet(it) => &mut it.metadata,
            Self::Deployment(it) => &mut it.metadata,
            Self::DestinationRule(it) => &mut it.metadata,
            Self::Job(it) => &mut it.metadata,
            Self::Namespace(it) => &mut it.metadata,
            Self::PeerAuthentication(it) => &mut it.metadata,
            Self::Pod(it) => &mut it.metadata,
            Self::Service(it) => &mut it.metadata,
            Self::ServiceAccount(it) => &mut it.metadata,
            Self::StatefulSet(it) => &mut it.metadata,
            Self::VirtualService(it) => &mut it.metadata,
            Self::Other(it) => &mut it.metadata,
        }
    }

    /// Whether it says how calls are made or taken in, rather than what there is to call.
    #[must_use]
    pub const fn is_policy(&self) -> bool {
        matches!(
            self,
            Self::DestinationRule(_) | Self::PeerAuthentication(_) | Self::VirtualService(_)
        )
    }

    /// The object as a manifest has it, without what only an API server writes.
    ///
    /// # Errors
    /// Never with what was read from YAML.
    pub fn to_manifest(&self) -> Result<Value, serde_json::Error> {
        let mut value = self.to_value()?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("status");
        }
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        Ok(value)
    }

    /// The whole object, status and all.
    pub(super) fn to_value(&self) -> Result<Value, serde_json::Error> {
        let (mut value, api_version) = match self {
            Self::ConfigMap(it) => (serde_json::to_value(it)?, "v1"),
            Self::DaemonSet(it) => (serde_json::to_value(it)?, "apps/v1"),
            Self::Deployment(it) => (serde_json::to_value(it)?, "apps/v1"),
            Self::DestinationRule(it) => (serde_json::to_value(it)?, "networking.istio.io/v1"),
            Self::Job(it) => (serde_json::to_value(it)?, "batch/v1"),
            Self::Namespace(it) => (serde_json::to_value(it)?, "v1"),
            Self::PeerAuthentication(it) => (serde_json::to_value(it)?, "security.istio.io/v1"),
            Self::Pod(it) => (serde_json::to_value(it)?, "v1"),
            Self::Service(it) => (serde_json::to_value(it)?, "v1"),
            Self::ServiceAccount(it) => (serde_json::to_value(it)?, "v1"),
            Self::StatefulSet(it) => (serde_json::to_value(it)?, "apps/v1"),
            Self::VirtualService(it) => (serde_json::to_value(it)?, "networking.istio.io/v1"),
            Self::Other(it) => (it.value.clone(), it.api_version.as_str()),
        };
        without_nulls(&mut value);
        value["apiVersion"] = api_version.into();
        value["kind"] = self.kind().into();
        Ok(value)
    }

    /// How the object is named.
    #[must_use]
    pub fn object_ref(&self) -> ObjectRef {
        let metadata = self.metadata();
        ObjectRef::new(
            self.kind(),
            metadata.namespace.as_deref(),
            metadata.name.clone().unwrap_or_default(),
        )
    }
}

/// A field that is absent is not a field that is null.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
