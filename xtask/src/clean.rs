//! `cargo xtask clean`: removes what killed runs left behind.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use meshproof::envoy::binary::Store;
use meshproof::mesh::kubernetes::{Place, Revision, RunThere};
use meshproof::mesh::{Tier, sweep};

use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::scenario::AGENT;
use crate::which_cluster::WhichCluster;

/// Remove what killed runs left behind
///
/// Their proxies and directories, and half-made downloads. Runs that live are left alone.
///
/// With --on, what runs left in a cluster: namespaces and policies with their label, and on kind the injection webhook
/// that a run took away. A cluster does not tell whether a run still lives, and others may be running theirs: without --run
/// this only says which runs are there, and removes nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask clean
  cargo xtask clean --on cluster --context staging
  cargo xtask clean --on cluster --context staging --run mp1f0c7a42
  cargo xtask clean --on kind --run mp1f0c7a42")]
pub(crate) struct Clean {
    /// Look into a cluster, and not at this machine
    #[arg(long, value_enum, value_name = "TIER")]
    on: Option<On>,

    /// Remove what this run left in the cluster; may be given several times
    #[arg(long, value_name = "RUN", requires = "on")]
    run: Vec<String>,

    #[command(flatten)]
    which: WhichCluster,
}

/// The tiers whose runs leave something in a cluster.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum On {
    /// A cluster that `cluster up` made
    Kind,
    /// An existing cluster
    Cluster,
}

impl Clean {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Some(on) = self.on else {
            self.which.is_of_no_cluster(Tier::Local)?;
            return machine();
        };
        let interruptible = Interruptible::new()?;
        let done = interruptible.run(self.cluster(on))?;
        done.unwrap_or(Ok(Exit::Interrupted))
    }

    async fn cluster(&self, on: On) -> anyhow::Result<Exit> {
        let (tier, context) = match on {
            On::Kind => (Tier::Kind, self.which.kind(AGENT).await?.0),
            On::Cluster => (Tier::Cluster, self.which.existing().await?),
        };
        let name = context.name().to_owned();
        let place = Place::new(tier, context, AGENT.to_owned(), Revision::AsWritten, None);
        let there = place.runs_there().await?;
        if let Some(unknown) = self.run.iter().find(|run| !there.contains_key(*run)) {
            let known: Vec<&str> = there.keys().map(String::as_str).collect();
            let hint = match known.as_slice() {
                [] => "there is nothing of any run".to_owned(),
                known => format!("there is something of {}", known.join(", ")),
            };
            return Err(BadInput(format!("nothing of a run {unknown} is in context {name}: {hint}")).into());
        }
        if self.run.is_empty() {
            list(&name, &place, &there);
            return Ok(Exit::Held);
        }
        for run in &self.run {
            let removed = place.remove_run(run).await;
            let removed = removed.with_context(|| format!("not all of run {run} could be removed"))?;
            for namespace in removed {
                outln!("removed namespace {namespace}");
            }
            if let Some(RunThere {
                policies,
                holds_webhook,
                ..
            }) = there.get(run)
            {
                for policy in policies {
                    outln!("removed {policy} from the root namespace");
                }
                if *holds_webhook {
                    outln!("put the injection webhook back");
                }
            }
        }
        Ok(Exit::Held)
    }
}

/// What is on this machine.
fn machine() -> anyhow::Result<Exit> {
    let mut removed = sweep();
    removed.extend(Store::user()?.sweep()?);
    for path in &removed {
        outln!("removed {}", path.display());
    }
    if removed.is_empty() {
        outln!("nothing was left behind");
    }
    Ok(Exit::Held)
}

/// Says which runs are there, and how each is removed.
fn list(context: &str, place: &Place, runs: &BTreeMap<String, RunThere>) {
    if runs.is_empty() {
        outln!("nothing of any run is in context {context}");
        return;
    }
    for (run, there) in runs {
        let since = there.since.as_deref();
        outln!("{run}  since {}", since.unwrap_or("a time that nothing tells"));
        for namespace in &there.namespaces {
            outln!("  namespace {namespace}");
        }
        for policy in &there.policies {
            outln!("  {policy} in the root namespace");
        }
        if there.holds_webhook {
            outln!("  has taken the injection webhook away");
        }
        outln!("  if it does not live any more: {}", place.removal(run));
    }
}
