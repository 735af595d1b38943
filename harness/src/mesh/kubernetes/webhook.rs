//! The injection webhook of a kind cluster, taken away and put back.
//!
//! What is deleted is kept in a ConfigMap of the run first, so that whoever removes what a run left puts it back, and so that
//! it is in the cluster still when nobody is there to do that.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::kinds::{CONFIG_MAPS, NAMESPACES, PODS, WEBHOOKS};
use super::names::Names;
use super::settings::{Labelled, Place, labelled};
use super::workload::RUN;
use super::{KubernetesMesh, LOOK_AGAIN};
use crate::istio::injection::proxy_container;
use crate::kubernetes::{Context, Effect, KubernetesError, Selection, anew};
use crate::mesh::MeshError;

/// What the copies are called, in a namespace of the run that took them away.
const COPIES: &str = "meshproof-removed-webhooks";
/// How long API servers may go on as before: each watches the configurations for itself.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);

impl KubernetesMesh {
    /// Nobody else may have taken it away: pods of this run would come without sidecars, and be blamed for it.
    pub(super) async fn finds_webhook(&self, names: &Names) -> Result<(), MeshError> {
        let context = &self.place.context;
        let found = copies(context).await?;
        match found.into_iter().find(|it| it.run != names.run()) {
            None => Ok(()),
            Some(other) => Err(MeshError::WebhookRemoved {
                context: context.name().to_owned(),
                remedy: self.place.removal(&other.run),
                run: other.run,
            }),
        }
    }

    /// Takes it away or puts it back, and waits until pods are made by that.
    pub(super) async fn set_webhook(&mut self, names: &Names, is_removed: bool) -> Result<(), MeshError> {
        let Some(namespace) = self.first_namespace() else {
            return Ok(());
        };
        match is_removed {
            true => {
                // Another run may have begun meanwhile, and taken it.
                self.finds_webhook(names).await?;
                remove(&self.place, names.run(), &namespace).await?;
            }
            false => self.place.restore_webhook(names.run()).await?,
        }
        self.in_force(!is_removed).await
    }

    fn first_namespace(&self) -> Option<String> {
        let mut namespaces = self.applied.keys().filter(|it| it.resource == NAMESPACES);
        namespaces.next().map(|it| it.name.clone())
    }

    /// Waits until a pod of the run that would be made now gets a sidecar, or none.
    async fn in_force(&self, is_injected: bool) -> Result<(), MeshError> {
        let asks = |object: &Value| {
            let labels = &object["metadata"]["labels"];
            labels["istio-injection"] == "enabled" || labels["istio.io/rev"].is_string()
        };
        let mut namespaces = self
            .applied
            .iter()
            .filter(|(key, object)| key.resource == NAMESPACES && asks(object));
        // Where nobody asks for sidecars nothing tells, and nothing depends on it.
        let Some((namespace, _)) = namespaces.next() else {
            return Ok(());
        };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "meshproof-would-be", "namespace": namespace.name},
            "spec": {"containers": [{"name": "app", "image": self.place.agent}]},
        });
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        loop {
            let made = self.place.context.create(&PODS, &pod, Effect::Tried).await?;
            let spec = serde_json::from_value::<PodSpec>(made["spec"].clone());
            let spec = spec.map_err(|error| MeshError::Internal(error.to_string()))?;
            if proxy_container(&spec).is_some() == is_injected {
                return Ok(());
            }
            if Instant::now() > deadline {
                let becomes = if is_injected { "get" } else { "stop getting" };
                return Err(MeshError::NotReady {
                    what: format!("new pods of namespace {} to {becomes} sidecars", namespace.name),
                    within: IN_FORCE_WITHIN,
                });
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Where runs keep copies of what they took away.
pub(super) async fn copies(context: &Context) -> Result<Vec<Labelled>, KubernetesError> {
    let selection = Selection {
        resource: &CONFIG_MAPS,
        namespace: None,
        name: Some(COPIES),
    };
    labelled(context, &selection).await
}

/// Keeps copies of all injection webhooks in this namespace, of whatever revision, and deletes them.
async fn remove(place: &Place, run: &str, namespace: &str) -> Result<(), KubernetesError> {
    let context = &place.context;
    let mut found = Vec::new();
    context
        .list(&Selection::all(&WEBHOOKS), |it| {
            if injects(&it) {
                found.push(anew(&it));
            }
        })
        .await?;
    let mut copies = serde_json::Map::new();
    for configuration in &mut found {
        configuration["apiVersion"] = "admissionregistration.k8s.io/v1".into();
        configuration["kind"] = WEBHOOKS.kind.into();
        let name = name_of(configuration).to_owned();
        // A document of its own each, so that all of them together are a manifest.
        copies.insert(name, format!("---\n{configuration}\n").into());
    }
    let kept = json!({
        "apiVersion": "v1", "kind": CONFIG_MAPS.kind,
        "metadata": {"name": COPIES, "namespace": namespace, "labels": {RUN: run}},
        "data": copies,
    });
    context.apply(&CONFIG_MAPS, &kept).await?;
    place.removed(run, namespace);
    for configuration in &found {
        context.delete(&WEBHOOKS, None, name_of(configuration)).await?;
    }
    Ok(())
}

/// Puts back what the copies in this namespace say, and then deletes them.
pub(super) async fn restore(context: &Context, namespace: &str) -> Result<(), KubernetesError> {
    let Some(kept) = context.get(&CONFIG_MAPS, Some(namespace), COPIES).await? else {
        return Ok(());
    };
    for copy in kept["data"].as_object().into_iter().flat_map(|it| it.values()) {
        let text = copy.as_str().unwrap_or_default().trim_start_matches("---\n");
        let configuration: Value = serde_json::from_str(text).map_err(|error| KubernetesError::Refused {
            what: format!("ConfigMap/{namespace}/{COPIES}"),
            code: 422,
            message: error.to_string(),
        })?;
        let name = name_of(&configuration);
        // Somebody may have installed it anew.
        if context.get(&WEBHOOKS, None, name).await?.is_none() {
            context.create(&WEBHOOKS, &configuration, Effect::Made).await?;
        }
    }
    context.delete(&CONFIG_MAPS, Some(namespace), COPIES).await?;
    Ok(())
}

/// Whether a configuration has istiod asked about pods
/// (manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml@1.30.3).
fn injects(configuration: &Value) -> bool {
    let webhooks = configuration["webhooks"].as_array();
    let names = webhooks
        .into_iter()
        .flatten()
        .filter_map(|it| it["name"].as_str());
    names
        .into_iter()
        .any(|it| it.ends_with(".sidecar-injector.istio.io"))
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
