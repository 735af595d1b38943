//! The `kind` and `cluster` tiers: namespaces of a cluster with real Istio in it.
//!
//! A run has namespaces of its own, named after it and labelled with it; it creates nothing elsewhere, except policy in the
//! root namespace of a kind cluster, and removes what carries its label. istiod, the injection webhook and the sidecars are
//! the cluster's; the application in every pod is the agent, which also makes the calls.
//!
//! Credentials that a fault changes are mounted into every sidecar of the run, under an authority of its own: the same fault
//! exists on a real sidecar, and no key of the cluster's is read.

mod allow;
mod bundle;
mod call;
mod instruments;
mod kinds;
mod limits;
mod names;
mod objects;
mod observe;
mod pods;
mod proxy;
mod settings;
mod state;
mod there;
mod webhook;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use crate::call::{Call, PodName};
use crate::kubernetes::Cursor;
use crate::pki::Authority;
use crate::probe::evidence::Evidence;
use crate::snapshot::to_yaml;

use super::reached::target;
use super::{Capability, Component, Desired, Mesh, MeshError, Settings, Tally, Tier};
pub use allow::{AllowList, AllowListError};
use bundle::{Bundle, folder_of};
pub(super) use limits::{LOAD, beyond};
use names::Names;
use objects::{Maker, Objects, redacted};
use pods::Pods;
use proxy::Proxy;
pub use settings::{Left, Place, Revision};
pub use there::RunThere;

/// Real istiod, injection, proxies and capture.
pub(super) const OF_CLUSTER: &[Capability] = &[
    Capability::Interception,
    Capability::ControlPlane,
    Capability::Admission,
    Capability::ReleaseProxy,
];
/// And a root namespace that is ours.
pub(super) const OF_KIND: &[Capability] = &[
    Capability::Interception,
    Capability::ControlPlane,
    Capability::Admission,
    Capability::RootNamespace,
    Capability::ReleaseProxy,
];

/// How long an application's line may take from its pod to the API server.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A mesh in a cluster.
pub struct KubernetesMesh {
    tier: Tier,
    place: Place,
    keep: bool,
    names: Option<Names>,
    applied: Objects,
    filters: Objects,
    /// The number of the present state.
    number: u64,
    authority: Option<Authority>,
    desired: Option<Desired>,
    pods: Pods,
    proxies: BTreeMap<PodName, Proxy>,
    /// How far the logs of applications are read.
    applications: BTreeMap<PodName, Cursor>,
    hidden: BTreeSet<PodName>,
    components: Vec<Component>,
    calls_made: u64,
    /// Where evidence of failed calls went.
    kept: Option<PathBuf>,
}

impl KubernetesMesh {
    /// Prepares an empty mesh. Nothing is created yet.
    ///
    /// # Errors
    /// When the settings name no cluster.
    pub fn new(tier: Tier, settings: &Settings) -> Result<Self, MeshError> {
        let place = settings.place.clone().ok_or(MeshError::NoCluster { tier })?;
        Ok(Self {
            tier,
            place,
            keep: settings.keep,
            names: None,
            applied: Objects::new(),
            filters: Objects::new(),
            number: 0,
            authority: None,
            desired: None,
            pods: Pods::new(),
            proxies: BTreeMap::new(),
            applications: BTreeMap::new(),
            hidden: BTreeSet::new(),
            components: Vec::new(),
            calls_made: 0,
            kept: None,
        })
    }

    /// Everything that would be created for a state, as manifests in their order, without the values of Secrets.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn would_create(&mut self, desired: &Desired) -> Result<Vec<String>, MeshError> {
        let names = self.names(desired);
        let credentials = self.credentials(&names, desired)?;
        let maker = Maker {
            names: &names,
            agent: &self.place.agent,
            revision: &self.place.revision,
        };
        let objects = maker.objects(desired, &credentials)?;
        let filters = maker.instruments(desired, self.number + 1);
        let all = objects.iter().chain(&filters);
        all.map(|(key, object)| to_yaml(&redacted(key, object)).map_err(MeshError::Internal))
            .collect()
    }

    /// A state without the restarts that are new in it.
    fn with_restarts_as_before(&self, mut desired: Desired) -> Desired {
        let before = self.desired.as_ref();
        desired.conditions.restarts = before.map_or_else(BTreeMap::new, |it| it.conditions.restarts.clone());
        desired
    }

    fn names(&mut self, desired: &Desired) -> Names {
        let root = &desired.snapshot.mesh.root_namespace;
        self.names.get_or_insert_with(|| Names::new(root)).clone()
    }
}

#[async_trait]
impl Mesh for KubernetesMesh {
    fn tier(&self) -> Tier {
        self.tier
    }

    async fn apply(&mut self, desired: Desired) -> Result<(), MeshError> {
        let names = self.names(&desired);
        self.place.began(names.run());
        let credentials = self.credentials(&names, &desired)?;
        let maker = Maker {
            names: &names,
            agent: &self.place.agent,
            revision: &self.place.revision,
        };
        let objects = maker.objects(&desired, &credentials)?;
        if self.tier == Tier::Kind && self.desired.is_none() {
            self.finds_webhook(&names).await?;
        }
        let is_removed = desired.conditions.webhook_removed;
        if is_removed != self.place.removed_by(names.run()).is_some() {
            // Objects are changed first, as everywhere: their pods are what the webhook made of them before. Restarts come
            // last.
            let not_restarted = self.with_restarts_as_before(desired.clone());
            let changed = maker.objects(&not_restarted, &credentials)?;
            self.bring(&names, changed).await?;
            pods::ready(
                &self.place.context,
                &names,
                &not_restarted.topology,
                &self.applied,
            )
            .await?;
            self.set_webhook(&names, is_removed).await?;
        }
        self.bring(&names, objects).await?;
        let context = self.place.context.clone();
        self.pods = pods::ready(&context, &names, &desired.topology, &self.applied).await?;
        self.applications.clear();
        self.hidden.clear();
        pods::show(&context, &self.pods, &self.hidden, None).await?;
        let proxies = self.pods.iter();
        self.proxies = proxies
            .filter_map(|(name, pod)| Some((name.clone(), Proxy::of(&context, pod)?)))
            .collect();
        self.settle(&names, &desired).await?;
        self.look_up_components().await?;
        self.desired = Some(desired);
        Ok(())
    }

    async fn call(&mut self, call: &Call) -> Result<Evidence, MeshError> {
        let (Some(desired), Some(names)) = (self.desired.take(), self.names.clone()) else {
            return Err(MeshError::NotPlanned {
                call: Box::new(call.clone()),
                missing: "a desired state".to_owned(),
            });
        };
        let evidence = self.observe(&names, &desired, call).await;
        self.desired = Some(desired);
        evidence
    }

    async fn apply_under_load(&mut self, _: Vec<Desired>, _: &[Call]) -> Result<Vec<Vec<Tally>>, MeshError> {
        Err(MeshError::Internal(format!(
            "this tier was asked for what it cannot show: {LOAD}"
        )))
    }

    async fn keep_evidence(&mut self, call: &Call) -> Result<Option<PathBuf>, MeshError> {
        let (Some(desired), Some(names)) = (&self.desired, &self.names) else {
            return Ok(None);
        };
        let bundles = self.place.bundles.clone();
        let folder = folder_of(&bundles, names.run(), self.calls_made, &call.to_string());
        let mut bundle = Bundle::create(&self.place.context, folder)?;
        let mut namespaces = BTreeSet::new();
        let server = target(&desired.topology, call).map(|(pod, _)| pod);
        for (which, name) in [("client", Some(call.from.pod(0))), ("server", server)] {
            if let Some(pod) = name.and_then(|it| self.pods.get(&it)) {
                bundle.end(which, pod).await?;
                namespaces.insert(pod.namespace.clone());
            }
        }
        for namespace in namespaces {
            bundle.events(&namespace).await?;
        }
        bundle
            .control_plane(&desired.snapshot.mesh.root_namespace)
            .await?;
        let folder = bundle.close()?;
        self.kept = folder.parent().map(Path::to_owned);
        Ok(Some(folder))
    }

    fn components(&self) -> Vec<Component> {
        self.components.clone()
    }

    fn node_image(&self) -> Option<&str> {
        self.place.node_image.as_deref()
    }

    fn directory(&self) -> Option<&Path> {
        self.kept.as_deref()
    }

    async fn down(&mut self) {
        let Some(names) = &self.names else { return };
        if self.keep {
            // What is everybody's is not kept as it is.
            match self.place.restore_webhook(names.run()).await {
                Ok(()) => self.place.ended(names.run()),
                Err(error) => tracing::debug!(run = names.run(), %error, "the webhook is not back yet"),
            }
            return;
        }
        // Whoever holds the place tries again, and says what is left.
        if let Err(error) = self.place.remove(names.run()).await {
            tracing::debug!(run = names.run(), %error, "not removed yet");
        }
    }
}
