//! Writing objects: server-side apply, under one field manager.

use kube::Error;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde_json::Value;

use super::{Context, KubernetesError, Resource, Selection};

/// Whose fields they are, in `metadata.managedFields`.
pub(super) const MANAGER: &str = "meshproof";

impl Context {
    /// Applies an object of `resource`, in the first of its versions; what it is then.
    ///
    /// # Errors
    /// When the server refuses it, does not have the resource, or another manager owns one of its fields with another value
    /// (409).
    pub async fn apply(&self, resource: &Resource, object: &Value) -> Result<Value, KubernetesError> {
        let named = |key: &str| object["metadata"][key].as_str();
        let selection = Selection {
            resource,
            namespace: named("namespace"),
            name: named("name"),
        };
        let version = resource.versions.first().copied().unwrap_or("v1");
        let what = selection.to_string();
        let write = async {
            let request = Request::new(selection.path(version))
                .patch(
                    selection.name.unwrap_or_default(),
                    &PatchParams::apply(MANAGER),
                    &Patch::Apply(object),
                )
                .map_err(Error::BuildRequest)?;
            self.client().request::<Value>(request).await
        };
        match tokio::time::timeout(self.answer(), write).await {
            Ok(Ok(written)) => Ok(written),
            // Of an object or a namespace that is missing a Status tells, with its reason; of a path, nothing does.
            Ok(Err(Error::Api(status))) if status.code == 404 && status.reason != "NotFound" => {
                Err(KubernetesError::NotServed {
                    resource: resource.to_string(),
                    versions: version.to_owned(),
                })
            }
            Ok(Err(error)) => Err(self.failed("apply", &what, &error)),
            Err(_) => Err(KubernetesError::Silent {
                what,
                after: self.answer(),
            }),
        }
    }

    /// Sets conditions in the status of an object, each by its type; the others stay.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn set_conditions(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        conditions: &Value,
    ) -> Result<(), KubernetesError> {
        let selection = Selection {
            resource,
            namespace: Some(namespace),
            name: Some(name),
        };
        let version = resource.versions.first().copied().unwrap_or("v1");
        let what = format!("the status of {selection}");
        let patch = serde_json::json!({"status": {"conditions": conditions}});
        let write = async {
            let request = Request::new(selection.path(version))
                .patch_subresource("status", name, &PatchParams::default(), &Patch::Strategic(&patch))
                .map_err(Error::BuildRequest)?;
            self.client().request::<Value>(request).await
        };
        self.bounded_to("patch", &what, write).await.map(|_| ())
    }
}
