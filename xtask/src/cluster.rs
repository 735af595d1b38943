//! `cargo xtask cluster`: clusters of kind with Istio in them.

use clap::{Args, Subcommand};
use meshproof::cluster::{Clusters, Plan};
use meshproof::invocation::command;
use semver::Version;

use crate::exit::Exit;
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::release::release;
use crate::scenario::Output;

pub(crate) const NAME: &str = "meshproof";

/// Make clusters of kind with Istio in them, list and remove them
///
/// Needs Docker, kind, and an istioctl of each release.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask cluster up --istio 1.24.0 --istio 1.24.1
  cargo xtask cluster up --istio 1.24.1 --agent meshproof-agent:dev
  cargo xtask cluster up --istio 1.30.3 --kubernetes 1.33 --name newer
  cargo xtask cluster list
  cargo xtask cluster down newer")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a cluster, or add releases to it. What cannot be made to the end is removed
    Up(Up),
    /// Remove a cluster that was made here
    Down(Down),
    /// List the clusters that were made here
    List(List),
}

#[derive(Args, Debug)]
struct Up {
    /// A release of Istio; each becomes a revision of its own, all under one certificate authority
    #[arg(long = "istio", value_name = "RELEASE", required = true, value_parser = release)]
    istio: Vec<Version>,
    /// The minor of Kubernetes, as 1.31 [default: the newest that all of the releases support]
    #[arg(long, value_name = "MINOR")]
    kubernetes: Option<String>,
    /// What the cluster is called
    #[arg(long, default_value = NAME)]
    name: String,
    /// Also load this image of the agent into the nodes; manifests/agent/Containerfile says how to build it
    #[arg(long, value_name = "IMAGE")]
    agent: Option<String>,
    /// Leave what was made where something fails; the next `up` goes on from there
    #[arg(long)]
    keep: bool,
}

#[derive(Args, Debug)]
struct Down {
    /// What the cluster is called
    #[arg(default_value = NAME)]
    name: String,
}

#[derive(Args, Debug)]
struct List {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Cluster {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let clusters = Clusters::user()?;
        let interruptible = Interruptible::new()?;
        match self.action {
            Action::Up(up) => up.run(&clusters, &interruptible),
            Action::Down(down) => match interruptible.run(clusters.down(&down.name))? {
                None => Ok(Exit::Interrupted),
                Some(removed) => {
                    removed?;
                    outln!("removed {}", down.name);
                    Ok(Exit::Held)
                }
            },
            Action::List(list) => list.run(&clusters, &interruptible),
        }
    }
}

impl Up {
    fn run(self, clusters: &Clusters, interruptible: &Interruptible) -> anyhow::Result<Exit> {
        let plan = Plan::new(&self.istio, self.kubernetes.as_deref())?.with_agent(self.agent.clone());
        let Some(made) = interruptible.run(clusters.up(&self.name, &plan, self.keep))? else {
            if !self.keep
                && let Some(cleared) = interruptible.run(clusters.clear_interrupted(&self.name))?
            {
                cleared?;
            }
            return Ok(Exit::Interrupted);
        };
        let cluster = made?;
        outln!(
            "{} is ready: Kubernetes {}, Istio {}",
            cluster.name,
            cluster.kubernetes,
            joined(&cluster.istio)
        );
        outln!(
            "kubectl --kubeconfig {} --context {} get pods -A",
            cluster.kubeconfig.display(),
            cluster.context
        );
        Ok(Exit::Held)
    }
}

impl List {
    fn run(self, clusters: &Clusters, interruptible: &Interruptible) -> anyhow::Result<Exit> {
        let Some(found) = interruptible.run(clusters.list())? else {
            return Ok(Exit::Interrupted);
        };
        let found = found?;
        match self.output {
            Output::Json => outln!("{}", serde_json::to_string(&found)?),
            Output::Text if found.is_empty() => {
                outln!(
                    "no clusters; make one with: {} cluster up --istio 1.24.1",
                    command()
                );
            }
            Output::Text => {
                for cluster in found {
                    outln!(
                        "{}  {}  Kubernetes {}  Istio {}  {}",
                        cluster.name,
                        cluster.condition,
                        cluster.kubernetes,
                        joined(&cluster.istio),
                        cluster.kubeconfig.display()
                    );
                }
            }
        }
        Ok(Exit::Held)
    }
}

fn joined(releases: &[Version]) -> String {
    let releases: Vec<String> = releases.iter().map(Version::to_string).collect();
    releases.join(", ")
}
