//! Which cluster the `kind` and `cluster` tiers run in, and whether they may.

use std::path::PathBuf;

use clap::Args;
use meshproof::cluster::{Clusters, Condition};
use meshproof::invocation::command;
use meshproof::kubernetes::Context;
use meshproof::mesh::Tier;
use meshproof::mesh::kubernetes::{AllowList, Place, Revision};

use crate::exit::BadInput;

/// The agent's image where none is named: the one that its Containerfile says how to build.
const AGENT: &str = "meshproof-agent:dev";

/// The cluster of a run.
#[derive(Args, Clone, Debug)]
pub(super) struct InCluster {
    /// The kubeconfig context of an existing cluster; never a default. It must be in contexts.yaml of the user's
    /// configuration folder, or allowed by --allow-context
    #[arg(long, value_name = "NAME", help_heading = "Tiers kind and cluster")]
    context: Option<String>,

    /// Allow a context that contexts.yaml does not list; say its name again
    #[arg(long, value_name = "NAME", help_heading = "Tiers kind and cluster")]
    allow_context: Option<String>,

    /// The kubeconfig, in place of kubectl's
    #[arg(long, value_name = "PATH", help_heading = "Tiers kind and cluster")]
    kubeconfig: Option<PathBuf>,

    /// The cluster that `cluster up` made, for the tier kind
    #[arg(long, value_name = "NAME", default_value = crate::cluster::NAME, help_heading = "Tiers kind and cluster")]
    cluster: String,

    /// The image of the agent, as nodes pull it or have it
    #[arg(long, value_name = "IMAGE", default_value = AGENT, help_heading = "Tiers kind and cluster")]
    agent: String,

    /// The revision of istiod that injects, in place of the cluster's default
    #[arg(long, value_name = "NAME", help_heading = "Tiers kind and cluster")]
    revision: Option<String>,

    /// Print every object that would be created, phase by phase, and create nothing
    #[arg(long, help_heading = "Tiers kind and cluster")]
    pub(super) dry_run: bool,
}

impl InCluster {
    /// The cluster of `cluster up`, where no flags say otherwise.
    pub(super) fn own() -> Self {
        Self {
            context: None,
            allow_context: None,
            kubeconfig: None,
            cluster: crate::cluster::NAME.to_owned(),
            agent: AGENT.to_owned(),
            revision: None,
            dry_run: false,
        }
    }

    /// The place of a tier; `None` for tiers that need none.
    pub(super) async fn place(&self, tier: Tier) -> anyhow::Result<Option<Place>> {
        let (context, revision) = match tier {
            Tier::Kind => (self.kind().await?, Revision::OfRelease),
            Tier::Cluster => (self.existing().await?, Revision::AsWritten),
            Tier::Local | Tier::Netns | Tier::Docker | Tier::Replay => {
                self.is_of_no_cluster(tier)?;
                return Ok(None);
            }
        };
        let revision = self.revision.clone().map_or(revision, Revision::Named);
        Ok(Some(Place::new(
            tier,
            context,
            self.agent.clone(),
            revision,
            None,
        )))
    }

    /// What names an existing cluster is refused where none is used, so that nobody believes it was.
    fn is_of_no_cluster(&self, tier: Tier) -> Result<(), BadInput> {
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

    async fn kind(&self) -> anyhow::Result<Context> {
        self.is_of_no_cluster(Tier::Kind)?;
        let clusters = Clusters::user()?.list().await?;
        let found = clusters.into_iter().find(|it| it.name == self.cluster);
        match found {
            Some(found) if found.condition == Condition::Ready => {
                let context = format!("kind-{}", found.name);
                Ok(Context::open(&context, Some(&found.kubeconfig)).await?)
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
                "there is no cluster {}; make one with: {} cluster up --istio 1.24.1 --agent {}",
                self.cluster,
                command(),
                self.agent
            ))
            .into()),
        }
    }

    async fn existing(&self) -> anyhow::Result<Context> {
        let Some(name) = &self.context else {
            let message = "the tier cluster needs --context NAME; there is no default";
            return Err(BadInput(message.to_owned()).into());
        };
        let list = AllowList::user().map_err(|error| BadInput(error.to_string()))?;
        let is_allowed = self.allow_context.as_deref() == Some(name)
            || list.has(name).map_err(|error| BadInput(error.to_string()))?;
        if !is_allowed {
            return Err(BadInput(format!(
                "the context {name} is not allowed: a run creates namespaces there. Add it to {}, as `contexts: [{name}]`, or \
                 say its name again with --allow-context {name}",
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
