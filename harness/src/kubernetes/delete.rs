//! Deleting one object.

use kube::api::DeleteParams;
use kube::core::Request;
use serde_json::Value;

use super::{Context, KubernetesError, Resource, Selection};

impl Context {
    /// Deletes an object; says whether there was one. It may go on to be there until what it owns is gone.
    ///
    /// # Errors
    /// When it may not be deleted.
    pub async fn delete(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<bool, KubernetesError> {
        let selection = Selection {
            resource,
            namespace,
            name: Some(name),
        };
        let what = selection.to_string();
        let version = resource.versions.first().copied().unwrap_or("v1");
        let delete = async {
            let request = Request::new(selection.path(version))
                .delete(name, &DeleteParams::background())
                .map_err(kube::Error::BuildRequest)?;
            self.client().request::<Value>(request).await
        };
        match tokio::time::timeout(self.answer(), delete).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(false),
            Ok(Err(error)) => Err(self.failed("delete", &what, &error)),
            Err(_) => Err(KubernetesError::Silent {
                what,
                after: self.answer(),
            }),
        }
    }
}
