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
    /// When the server refuses it, or another manager owns one of its fields with another value (409).
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
            Ok(written) => written.map_err(|error| self.failed("apply", &what, &error)),
            Err(_) => Err(KubernetesError::Silent {
                what,
                after: self.answer(),
            }),
        }
    }
}
