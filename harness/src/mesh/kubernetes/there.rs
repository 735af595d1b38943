//! Runs of which something is in a cluster, whoever made them: a harness that was killed leaves what it created.

use std::collections::BTreeMap;

use crate::kubernetes::{KubernetesError, Selection};

use super::kinds::NAMESPACES;
use super::settings::{Labelled, Place, labelled};
use super::webhook;

/// A run of which something is in a cluster. Whether it still lives the cluster does not tell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RunThere {
    /// Its namespaces.
    pub namespaces: Vec<String>,
    /// When the first of them was created, as the server writes it.
    pub since: Option<String>,
    /// Its policies in the root namespace.
    pub policies: Vec<String>,
    /// Whether it has taken the injection webhook away.
    pub holds_webhook: bool,
}

impl Place {
    /// The runs of which something is in the cluster, by their names.
    ///
    /// # Errors
    /// When the cluster does not let itself be read.
    pub async fn runs_there(&self) -> Result<BTreeMap<String, RunThere>, KubernetesError> {
        let mut runs = BTreeMap::<String, RunThere>::new();
        for Labelled {
            run, name, created, ..
        } in labelled(&self.context, &Selection::all(&NAMESPACES)).await?
        {
            let there = runs.entry(run).or_default();
            there.namespaces.push(name);
            // Texts of one form, of RFC 3339 in UTC, so that the first is the least.
            there.since = there.since.take().into_iter().chain(created).min();
        }
        for selection in self.in_root() {
            for policy in labelled(&self.context, &selection).await? {
                let name = format!("{}/{}", selection.resource.kind, policy.name);
                runs.entry(policy.run).or_default().policies.push(name);
            }
        }
        if self.is_ours() {
            for copies in webhook::copies(&self.context).await? {
                runs.entry(copies.run).or_default().holds_webhook = true;
            }
        }
        Ok(runs)
    }

    /// Removes what carries the label of a run, and puts back what it took away, whoever made it. Answers with the namespaces
    /// that were removed.
    ///
    /// # Errors
    /// When the cluster does not let itself be read or changed.
    pub async fn remove_run(&self, run: &str) -> Result<Vec<String>, KubernetesError> {
        if self.is_ours() {
            let copies = webhook::copies(&self.context).await?.into_iter();
            for namespace in copies.filter(|it| it.run == run).filter_map(|it| it.namespace) {
                self.removed(run, &namespace);
            }
        }
        self.remove(run).await
    }
}
