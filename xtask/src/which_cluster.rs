//! Which cluster a command is about, and whether it may be changed.

use std::path::PathBuf;

use clap::Args;
use meshproof::cluster::{Clusters, Condition};
use meshproof::invocation::command;
use meshproof::kubernetes::Context;
use meshproof::mesh::Tier;
use meshproof::mesh::kubernetes::AllowList;

use crate::exit::BadInput;

/// The cluster of a tier.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tiers kind and cluster")]
pub(crate) struct WhichCluster {
    /// The kubeconfig context of an existing cluster; never a default. It must be in contexts.yaml of the user's
    /// configuration folder, or allowed by --allow-context
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Allow a context that contexts.yaml does not list; say its name again
    #[arg(long, value_name = "NAME")]
    allow_context: Option<String>,

    /// The kubeconfig, in place of kubectl's
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// The cluster that `cluster up` made, for the tier kind
    #[arg(long, value_name = "NAME", default_value = crate::cluster::NAME)]
    cluster: String,
}

impl WhichCluster {
    /// The cluster of `cluster up`, where no flags say otherwise.
    pub(crate) fn own() -> Self {
        Self {
            context: None,
            allow_context: None,
            kubeconfig: None,
            cluster: crate::cluster::NAME.to_owned(),
        }
    }

    /// What names an existing cluster is refused where none is used, so that nobody believes it was.
    pub(crate) fn is_of_no_cluster(&self, tier: Tier) -> Result<(), BadInput> {
        let given = [
            ("--context", self.context.is_some()),
            ("--allow-context", self.allow_context.is_some()),
            ("--kubeconfig", self.kubeconfig.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) if tier == Tier::Kind => Err(BadInput(format!(
                "the tier kind uses a cluster that was made here (--cluster NAME); {option} is of the tier cluster"
            ))),
            Some((option, _)) => Err(BadInput(format!(
                "{option} is of the tier cluster, and this is {tier}; name it with --on cluster"
            ))),
        }
    }

    /// The cluster that was made here, and the image of its nodes. Where there is none, how to make one with this agent.
    pub(crate) async fn kind(&self, agent: &str) -> anyhow::Result<(Context, String)> {
        self.is_of_no_cluster(Tier::Kind)?;
        let clusters = Clusters::user()?.list().await?;
        let found = clusters.into_iter().find(|it| it.name == self.cluster);
        match found {
            Some(found) if found.condition == Condition::Ready => {
                let context = format!("kind-{}", found.name);
                let context = Context::open(&context, Some(&found.kubeconfig)).await?;
                Ok((context, found.node_image))
            }
            Some(found) => Err(NoCluster(format!(
                "the cluster {} is {}; repair it with: {} cluster up --name {}",
                found.name,
                found.condition,
                command(),
                found.name
            ))
            .into()),
            None => Err(NoCluster(format!(
                "there is no cluster {}; make one with: {} cluster up --istio 1.24.1 --agent {agent}",
                self.cluster,
                command(),
            ))
            .into()),
        }
    }

    /// The existing cluster that is named, where it may be used.
    pub(crate) async fn existing(&self) -> anyhow::Result<Context> {
        let Some(name) = &self.context else {
            let message = "the tier cluster needs --context NAME; there is no default";
            return Err(BadInput(message.to_owned()).into());
        };
        let list = AllowList::user().map_err(|error| BadInput(error.to_string()))?;
        let is_allowed = self.allow_context.as_deref() == Some(name)
            || list.has(name).map_err(|error| BadInput(error.to_string()))?;
        if !is_allowed {
            return Err(BadInput(format!(
                "the context {name} is not allowed: runs create and remove namespaces there. Add it to {}, as \
                 `contexts: [{name}]`, or say its name again with --allow-context {name}",
                list.path().display()
            ))
            .into());
        }
        Ok(Context::open(name, self.kubeconfig.as_deref()).await?)
    }
}

/// The cluster is not there, or not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoCluster(String);
