//! An object as the type of its kind, from wherever it is read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{DestinationRule, PeerAuthentication, VirtualService};
use super::{Object, Other, secret};

/// Reads an object as the type of its kind. Kinds of the same name in other API groups are kept untyped.
pub(super) fn read_kind<R: Reader>(api_version: &str, kind: &str, from: &mut R) -> Result<Object, R::Error> {
    let security = matches!(api_version, "security.istio.io/v1" | "security.istio.io/v1beta1");
    let networking = matches!(
        api_version,
        "networking.istio.io/v1" | "networking.istio.io/v1beta1" | "networking.istio.io/v1alpha3"
    );
    Ok(match (api_version, kind) {
        ("v1", "ConfigMap") => Object::ConfigMap(Box::new(from.read()?)),
        ("apps/v1", "DaemonSet") => Object::DaemonSet(Box::new(from.read()?)),
        ("apps/v1", "Deployment") => Object::Deployment(Box::new(from.read()?)),
        ("batch/v1", "Job") => Object::Job(Box::new(from.read()?)),
        ("v1", "Namespace") => Object::Namespace(Box::new(from.read()?)),
        ("v1", "Pod") => Object::Pod(Box::new(from.read()?)),
        ("v1", "Service") => Object::Service(Box::new(from.read()?)),
        ("v1", "ServiceAccount") => Object::ServiceAccount(Box::new(from.read()?)),
        ("apps/v1", "StatefulSet") => Object::StatefulSet(Box::new(from.read()?)),
        (_, "DestinationRule") if networking => {
            Object::DestinationRule(Box::new(from.read::<DestinationRule>()?))
        }
        (_, "VirtualService") if networking => {
            Object::VirtualService(Box::new(from.read::<VirtualService>()?))
        }
        (_, "PeerAuthentication") if security => {
            Object::PeerAuthentication(Box::new(from.read::<PeerAuthentication>()?))
        }
        _ => {
            let mut value: Value = from.read()?;
            let mut metadata = from.read::<WithMetadata>()?.metadata.unwrap_or_default();
            if (api_version, kind) == ("v1", "Secret") {
                secret::redact(&mut value);
                metadata.annotations = None;
            }
            Object::Other(Box::new(Other {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                metadata,
                value,
            }))
        }
    })
}

#[derive(Deserialize)]
pub(super) struct WithMetadata {
    pub(super) metadata: Option<ObjectMeta>,
}

/// Where the fields of an object are read from.
pub(super) trait Reader {
    type Error;
    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Self::Error>;
}

/// An object that is there as a value.
pub(super) struct ByValue(pub(super) Value);

impl Reader for ByValue {
    type Error = serde_json::Error;

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Self::Error> {
        T::deserialize(&self.0)
    }
}

/// An object that is there as JSON.
pub(super) struct ByJson<'a>(pub(super) &'a str);

impl Reader for ByJson<'_> {
    type Error = serde_json::Error;

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Self::Error> {
        serde_json::from_str(self.0)
    }
}
