//! Where in which cluster runs take place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use etcetera::BaseStrategy as _;
use semver::Version;
use serde_json::Value;

use crate::invocation::command;
use crate::kubernetes::{Context, KubernetesError, Selection};
use crate::mesh::Tier;

use super::kinds::{NAMESPACES, POLICIES};
use super::webhook;
use super::workload::RUN;

/// Istio's, in the clusters that are made for runs.
const ROOT_NAMESPACE: &str = "istio-system";

/// A cluster, and how runs use it. Copies share what is known of the runs.
#[derive(Clone, Debug)]
pub struct Place {
    tier: Tier,
    pub(super) context: Context,
    pub(super) agent: String,
    pub(super) revision: Revision,
    pub(super) bundles: PathBuf,
    pub(super) node_image: Option<String>,
    /// The runs of this process, and the namespace in which a run keeps the webhooks that it took away.
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
            tier,
            context,
            agent,
            revision,
            bundles,
            node_image: None,
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
                        remedy: self.removal(&run),
                        run,
                        context: self.context.name().to_owned(),
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
        for selection in self.in_root() {
            for policy in labelled(context, &selection).await? {
                if policy.run == run {
                    context
                        .delete(selection.resource, selection.namespace, &policy.name)
                        .await?;
                }
            }
        }
        let mut removed = Vec::new();
        for namespace in labelled(context, &Selection::all(&NAMESPACES)).await? {
            if namespace.run == run {
                context.delete(&NAMESPACES, None, &namespace.name).await?;
                removed.push(namespace.name);
            }
        }
        self.ended(run);
        Ok(removed)
    }

    /// Where runs may create policy beside their own namespaces: in clusters that were made for runs.
    pub(super) fn in_root(&self) -> Vec<Selection<'static>> {
        if !self.is_ours() {
            return Vec::new();
        }
        let of_kind = |resource| Selection {
            resource,
            namespace: Some(ROOT_NAMESPACE),
            name: None,
        };
        POLICIES.map(of_kind).into()
    }

    /// Whether the cluster was made for runs, which then may change what is everybody's.
    pub(super) fn is_ours(&self) -> bool {
        self.tier == Tier::Kind
    }

    /// The command that removes what a run left, whoever made it.
    #[must_use]
    pub fn removal(&self, run: &str) -> String {
        let (command, tier, context) = (command(), self.tier, self.context.name());
        let place = match context.strip_prefix("kind-").filter(|_| self.is_ours()) {
            Some(cluster) => format!("--cluster {cluster}"),
            None => format!("--context {context}"),
        };
        format!("{command} clean --on {tier} {place} --run {run}")
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
#[error("objects of run {run} are left in context {context}; remove them with `{remedy}`: {source}")]
pub struct Left {
    /// The run.
    pub run: String,
    /// The context.
    pub context: String,
    /// The command that removes them.
    pub remedy: String,
    /// Why.
    pub source: KubernetesError,
}

/// An object that a run made.
pub(super) struct Labelled {
    pub(super) run: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// As the server writes it.
    pub(super) created: Option<String>,
}

/// The objects that carry the label of any run and are not going already.
pub(super) async fn labelled(
    context: &Context,
    selection: &Selection<'_>,
) -> Result<Vec<Labelled>, KubernetesError> {
    let mut found = Vec::new();
    let listed = context.list(selection, |object| {
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let (Some(run), Some(name)) = (text(&metadata["labels"][RUN]), text(&metadata["name"]))
            && metadata["deletionTimestamp"].is_null()
        {
            found.push(Labelled {
                run,
                name,
                namespace: text(&metadata["namespace"]),
                created: text(&metadata["creationTimestamp"]),
            });
        }
    });
    match listed.await {
        // Of what the server does not have there is nothing.
        Ok(_) | Err(KubernetesError::NotServed { .. }) => Ok(found),
        Err(error) => Err(error),
    }
}
