//! Changing one object that was looked at before: only as long as it is still what was seen.

use kube::Error;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use serde_json::Value;

use super::apply::MANAGER;
use super::{Context, KubernetesError, Resource, Selection};

/// What the server keeps about an object, and what would be in the way of creating it anew.
const OF_SERVER: [&str; 6] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// An object as it may be created again.
#[must_use]
pub fn anew(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !OF_SERVER.contains(&key.as_str()));
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object
}

/// Whether a change is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// It is judged as if it were, rights and admission included, and nothing is written (`dryRun=All`).
    Tried,
    /// It is.
    Made,
}

impl Effect {
    const fn dry_run(self) -> bool {
        matches!(self, Self::Tried)
    }
}

impl Context {
    /// An object as it is, in the first of the versions of its resource that the server has; `None` where there is none.
    ///
    /// # Errors
    /// When it may not be read, or the server has no such resource.
    pub async fn get(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, KubernetesError> {
        let what = one(resource, namespace, name).to_string();
        for version in resource.versions {
            let path = one(resource, namespace, name).path(version);
            let read = async {
                let request = Request::new(path)
                    .get(name, &kube::api::GetParams::default())
                    .map_err(Error::BuildRequest)?;
                self.client().request::<Value>(request).await
            };
            match self.bounded(&what, read).await {
                Ok(found) => return Ok(Some(found)),
                // Of a missing object a Status tells, in the version that is served.
                Err(KubernetesError::Refused {
                    code: 404, message, ..
                }) if message.contains(name) => {
                    return Ok(None);
                }
                Err(KubernetesError::Refused { code: 404, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(KubernetesError::NotServed {
            resource: resource.to_string(),
            versions: resource.versions.join(", "),
        })
    }

    /// Deletes an object that is still `seen`.
    ///
    /// # Errors
    /// When it may not be deleted, or is another by now (409).
    pub async fn delete_seen(
        &self,
        resource: &Resource,
        seen: &Value,
        effect: Effect,
    ) -> Result<(), KubernetesError> {
        let metadata = |field: &str| seen["metadata"][field].as_str().map(str::to_owned);
        let parameters = DeleteParams {
            dry_run: effect.dry_run(),
            preconditions: Some(Preconditions {
                uid: metadata("uid"),
                resource_version: metadata("resourceVersion"),
            }),
            ..DeleteParams::background()
        };
        let (namespace, name) = named(seen);
        self.change(resource, namespace, name, seen, "delete", |request| {
            request.delete(name, &parameters)
        })
        .await
        .map(|_| ())
    }

    /// Applies fields to an object that is still `seen`, whoever owned them (`force`); what it is then.
    ///
    /// # Errors
    /// When it may not be changed, the server refuses what it would be, or it is another by now (409).
    pub async fn apply_to_seen(
        &self,
        resource: &Resource,
        seen: &Value,
        fields: &Value,
        effect: Effect,
    ) -> Result<Value, KubernetesError> {
        let (namespace, name) = named(seen);
        let mut applied = fields.clone();
        applied["apiVersion"] = seen["apiVersion"].clone();
        applied["kind"] = seen["kind"].clone();
        applied["metadata"] = serde_json::json!({
            "name": name, "namespace": namespace, "resourceVersion": seen["metadata"]["resourceVersion"],
        });
        let parameters = PatchParams {
            dry_run: effect.dry_run(),
            ..PatchParams::apply(MANAGER).force()
        };
        self.change(resource, namespace, name, seen, "patch", |request| {
            request.patch(name, &parameters, &Patch::Apply(&applied))
        })
        .await
    }

    /// Writes an object as a whole where there is none.
    ///
    /// # Errors
    /// When it may not be created, or there is one (409).
    pub async fn create(
        &self,
        resource: &Resource,
        object: &Value,
        effect: Effect,
    ) -> Result<Value, KubernetesError> {
        let (namespace, name) = named(object);
        let parameters = PostParams {
            dry_run: effect.dry_run(),
            ..by_us()
        };
        self.change(resource, namespace, name, object, "create", |request| {
            request.create(&parameters, object.to_string().into_bytes())
        })
        .await
    }

    /// Writes an object as a whole in the place of the one that has its `metadata.resourceVersion`.
    ///
    /// # Errors
    /// When it may not be replaced, or another is there by now (409).
    pub async fn replace(&self, resource: &Resource, object: &Value) -> Result<Value, KubernetesError> {
        let (namespace, name) = named(object);
        self.change(resource, namespace, name, object, "update", |request| {
            request.replace(name, &by_us(), object.to_string().into_bytes())
        })
        .await
    }

    /// Sends what changes an object in the version in which `seen` is.
    async fn change(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        seen: &Value,
        verb: &'static str,
        build: impl FnOnce(&Request) -> Result<hyper::http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, KubernetesError> {
        let api_version = seen["apiVersion"].as_str().unwrap_or_default();
        let version = api_version
            .rsplit_once('/')
            .map_or(api_version, |(_, version)| version);
        let selection = one(resource, namespace, name);
        let what = selection.to_string();
        let write = async {
            let request = build(&Request::new(selection.path(version))).map_err(Error::BuildRequest)?;
            self.client().request::<Value>(request).await
        };
        self.bounded_to(verb, &what, write).await
    }
}

const fn one<'a>(resource: &'a Resource, namespace: Option<&'a str>, name: &'a str) -> Selection<'a> {
    Selection {
        resource,
        namespace,
        name: Some(name),
    }
}

fn named(object: &Value) -> (Option<&str>, &str) {
    let metadata = |field: &str| object["metadata"][field].as_str();
    (metadata("namespace"), metadata("name").unwrap_or_default())
}

fn by_us() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}
