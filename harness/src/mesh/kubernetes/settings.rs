//! Where in which cluster runs take place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use etcetera::BaseStrategy as _;
use semver::Version;

use crate::kubernetes::{Context, KubernetesError, Selection};
use crate::mesh::Tier;

use super::kinds::{NAMESPACES, POLICIES};
use super::webhook;
use super::workload::RUN;

/// A cluster, and how runs use it. Copies share what is known of the runs.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) context: Context,
    pub(super) agent: String,
    pub(super) revision: Revision,
    pub(super) bundles: PathBuf,
    pub(super) node_image: Option<String>,
    /// Where runs may create policy beside their own namespaces, if anywhere.
    root_namespace: Option<&'static str>,
    /// And the namespace in which a run keeps the webhooks that it took away.
    runs: Arc<Mutex<BTreeMap<String, Option<String>>>>,
}

/// The revision that namespaces of a run ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Revision {
    /// As they are written: `istio-injection: enabled` is the cluster's default.
    AsWritten,
    /// That of the release the scenario names, called `1-24-1`.
    OfRelease,
    /// This one.
    Named(String),
}

impl Revision {
    pub(super) fn of(&self, release: &Version) -> Option<String> {
        match self {
            Self::AsWritten => None,
            Self::OfRelease => Some(release.to_string().replace('.', "-")),
            Self::Named(name) => Some(name.clone()),
        }
    }
}

impl Place {
    /// The cluster of a context, as a tier uses it. `agent` is the image of the agent. Evidence of failed calls goes into folders
    /// below `bundles`, or else below `meshproof/evidence` of the user's cache folder.
    #[must_use]
    pub fn new(
        tier: Tier,
        context: Context,
        agent: String,
        revision: Revision,
        bundles: Option<PathBuf>,
    ) -> Self {
        let bundles = bundles.unwrap_or_else(|| {
            let cache = etcetera::choose_base_strategy().map(|it| it.cache_dir());
            cache
                .unwrap_or_else(|_| std::env::temp_dir())
                .join("meshproof")
                .join("evidence")
        });
        Self {
            context,
            agent,
            revision,
            bundles,
            node_image: None,
            root_namespace: (tier == Tier::Kind).then_some("istio-system"),
            runs: Arc::default(),
        }
    }

    /// Says which image its nodes are of, for reports.
    #[must_use]
    pub fn on_nodes(self, image: Option<String>) -> Self {
        Self {
            node_image: image,
            ..self
        }
    }

    /// Removes what runs left that were dropped, and answers with the namespaces that it removed.
    ///
    /// # Errors
    /// When the cluster does not let itself be read or changed; the message names what is left.
    pub async fn clear(&self) -> Result<Vec<String>, Left> {
        let mut removed = Vec::new();
        for run in self.runs() {
            match self.remove(&run).await {
                Ok(namespaces) => removed.extend(namespaces),
                Err(source) => {
                    return Err(Left {
                        webhooks: self.removed_by(&run),
                        run,
                        context: self.context.name().to_owned(),
                        is_in_root: self.root_namespace.is_some(),
                        source,
                    });
                }
            }
        }
        Ok(removed)
    }

    /// Removes what carries the label of a run, and nothing else.
    pub(super) async fn remove(&self, run: &str) -> Result<Vec<String>, KubernetesError> {
        let context = &self.context;
        self.restore_webhook(run).await?;
        let policies = self
            .root_namespace
            .iter()
            .flat_map(|root| POLICIES.map(|kind| (*root, kind)));
        for (root, kind) in policies {
            let selection = Selection {
                resource: kind,
                namespace: Some(root),
                name: None,
            };
            for name in labelled(context, &selection, run).await? {
                context.delete(kind, Some(root), &name).await?;
            }
        }
        let namespaces = labelled(context, &Selection::all(&NAMESPACES), run).await?;
        for namespace in &namespaces {
            context.delete(&NAMESPACES, None, namespace).await?;
        }
        self.ended(run);
        Ok(namespaces)
    }

    pub(super) fn began(&self, run: &str) {
        self.lock().entry(run.to_owned()).or_default();
    }

    /// The namespace in which a run keeps the webhooks that it took away, if it did.
    pub(super) fn removed_by(&self, run: &str) -> Option<String> {
        self.lock().get(run).cloned().flatten()
    }

    pub(super) fn removed(&self, run: &str, namespace: &str) {
        self.lock().insert(run.to_owned(), Some(namespace.to_owned()));
    }

    /// Puts the injection webhook back, if the run took it away.
    pub(super) async fn restore_webhook(&self, run: &str) -> Result<(), KubernetesError> {
        if let Some(namespace) = self.removed_by(run) {
            webhook::restore(&self.context, &namespace).await?;
            self.lock().insert(run.to_owned(), None);
        }
        Ok(())
    }

    pub(super) fn ended(&self, run: &str) {
        self.lock().remove(run);
    }

    fn runs(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run created could not be removed.
#[derive(Debug, thiserror::Error)]
#[error(
    "objects of run {run} are left in context {context}; remove them with \
     `kubectl --context {context} delete {} --selector {RUN}={run}`{}: {source}",
    kinds(*is_in_root),
    webhooks.as_deref().map_or_else(String::new, |namespace| webhook::by_hand(context, namespace))
)]
pub struct Left {
    /// The run.
    pub run: String,
    /// The context.
    pub context: String,
    /// The namespace that still holds the injection webhooks which the run took away, if it did.
    pub webhooks: Option<String>,
    /// Whether policy of the run may be in the root namespace too.
    pub is_in_root: bool,
    /// Why.
    pub source: KubernetesError,
}

/// What `kubectl delete` is to delete of a run.
fn kinds(is_in_root: bool) -> String {
    let namespaces = NAMESPACES.plural.to_owned();
    if !is_in_root {
        return namespaces;
    }
    let policies = POLICIES.map(|it| it.plural).join(",");
    format!("{namespaces},{policies} --all-namespaces")
}

/// The names of objects that carry the label of a run and are not going already.
async fn labelled(
    context: &Context,
    selection: &Selection<'_>,
    run: &str,
) -> Result<Vec<String>, KubernetesError> {
    let mut names = Vec::new();
    let listed = context.list(selection, |object| {
        let metadata = &object["metadata"];
        if metadata["labels"][RUN] == run
            && metadata["deletionTimestamp"].is_null()
            && let Some(name) = metadata["name"].as_str()
        {
            names.push(name.to_owned());
        }
    });
    match listed.await {
        // Of what the server does not have there is nothing.
        Ok(_) | Err(KubernetesError::NotServed { .. }) => Ok(names),
        Err(error) => Err(error),
    }
}
