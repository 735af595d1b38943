//! Where the `kind` and `cluster` tiers run, and with what.

use clap::Args;
use meshproof::mesh::Tier;
use meshproof::mesh::kubernetes::{Place, Revision};

use crate::which_cluster::WhichCluster;

/// The agent's image where none is named: the one that its Containerfile says how to build.
pub(crate) const AGENT: &str = "meshproof-agent:dev";

/// The cluster of a run.
#[derive(Args, Clone, Debug)]
pub(super) struct InCluster {
    #[command(flatten)]
    which: WhichCluster,

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
            which: WhichCluster::own(),
            agent: AGENT.to_owned(),
            revision: None,
            dry_run: false,
        }
    }

    /// The place of a tier; `None` for tiers that need none.
    pub(super) async fn place(&self, tier: Tier) -> anyhow::Result<Option<Place>> {
        let (context, nodes, revision) = match tier {
            Tier::Kind => {
                let (context, nodes) = self.which.kind(&self.agent).await?;
                (context, Some(nodes), Revision::OfRelease)
            }
            Tier::Cluster => (self.which.existing().await?, None, Revision::AsWritten),
            Tier::Local | Tier::Netns | Tier::Docker | Tier::Replay => {
                self.which.is_of_no_cluster(tier)?;
                return Ok(None);
            }
        };
        let revision = self.revision.clone().map_or(revision, Revision::Named);
        let place = Place::new(tier, context, self.agent.clone(), revision, None);
        Ok(Some(place.on_nodes(nodes)))
    }
}
