//! `cargo xtask scenario`: run scenarios, or list, check, and explain them.

mod inspect;
mod place;
mod printer;
mod progress;
mod run;
mod runner;
mod witness;

pub(crate) use place::AGENT;
pub(crate) use runner::{printing, silently};
pub(crate) use witness::Witness;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use meshproof::invocation::command;
use meshproof::mesh::Tier;
use meshproof::scenario::{Catalogue, load};
use semver::Version;

use crate::colour::is_coloured;
use crate::exit::{BadInput, Exit};
use crate::release::release;
use crate::root::root;

/// Run scenarios, or list, check, and explain them.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  cargo xtask scenario skew-1.24.0                    run one
  cargo xtask scenario --all                          run all, in parallel
  cargo xtask scenario skew-1.24.0 --without-faults   must be falsified: nothing is broken
  cargo xtask scenario --all --on kind                in the cluster of cargo xtask cluster up
  cargo xtask scenario skew-1.24.0 --on cluster --context staging --dry-run   what would be created there
  cargo xtask scenario --explain skew-1.24.0          what happens and why
  cargo xtask scenario --list                         what there is
  cargo xtask scenario new my-incident                write one to begin with",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Scenario {
    #[command(subcommand)]
    creation: Option<Creation>,

    /// Names of scenarios
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// A scenario file outside the catalogue
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,

    /// Every scenario of the catalogue
    #[arg(long)]
    all: bool,

    /// List the catalogue
    #[arg(long, group = "inspection")]
    list: bool,

    /// Check scenario files for mistakes without running them
    #[arg(long, group = "inspection")]
    lint: bool,

    /// Explain a scenario: what happens, what is expected, and why
    #[arg(long, value_name = "NAME", group = "inspection")]
    explain: Option<String>,

    /// Hold expectations against predictions without running anything
    #[arg(long, group = "inspection")]
    predict_only: bool,

    /// Where to run: a tier, or replay=DIR to judge anew what an earlier run reported into DIR
    #[arg(long, visible_alias = "tier", value_name = "TIER", default_value = "local", value_parser = place)]
    on: Place,

    #[command(flatten)]
    in_cluster: place::InCluster,

    /// Make only the call with this id
    #[arg(long, value_name = "ID")]
    only: Option<String>,

    /// Run this many times; every result must be the same
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// Give up on a scenario after this many seconds [default: 120, where pods have to come 1200]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,

    /// Leave logs and configuration behind, and say where
    #[arg(long)]
    keep: bool,

    /// Leave out what the scenario breaks: it must then be falsified
    #[arg(long)]
    without_faults: bool,

    /// Add to the evidence of calls what this sees of them; scenarios then run one after the other
    #[arg(long, value_enum, value_name = "WITNESS")]
    witness: Vec<Witness>,

    /// How to print results
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,

    /// Also write results into this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    /// Exit 3 if a scenario cannot be run on this tier
    #[arg(long, value_name = "TIER", value_parser = tier)]
    require: Option<Tier>,

    /// Use this binary for an Istio release, for example 1.24.0=/opt/envoy
    #[arg(long, value_name = "VERSION=PATH")]
    proxy: Vec<String>,

    /// On the docker tier, use this image for every Istio release, or for one; of the release's own istio/proxyv2 otherwise
    #[arg(long, value_name = "[VERSION=]IMAGE")]
    proxy_image: Vec<String>,

    /// Control plane release, in place of the scenario's
    #[arg(long, value_name = "VERSION", value_parser = release)]
    istio: Option<Version>,

    /// Release of the sidecars of workloads that mostly call, whatever their pods pin
    #[arg(long, value_name = "VERSION", value_parser = release)]
    client: Option<Version>,

    /// Release of the sidecars of workloads that are mostly called, whatever their pods pin
    #[arg(long, value_name = "VERSION", value_parser = release)]
    server: Option<Version>,
}

/// Making scenarios.
#[derive(Clone, Debug, Subcommand)]
enum Creation {
    /// Write a scenario to begin with: it lints, it holds, and its comments say what to change
    New {
        /// Its name, and that of its file
        name: String,
    },
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Scenario {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let root = root()?;
        if let Some(Creation::New { name }) = &self.creation {
            return inspect::create(&root, name);
        }
        let catalogue = Catalogue::load(&root)
            .with_context(|| format!("cannot read {}", root.join("scenarios").display()))?;
        if self.list {
            return inspect::list(&catalogue, self.output);
        }
        if let Some(name) = &self.explain {
            return inspect::explain(find(&catalogue, name)?);
        }
        let scenarios = self.chosen(&catalogue, &root)?;
        if self.lint {
            return inspect::lint(&scenarios, self.output);
        }
        run::run(&self, &root, &scenarios)
    }

    /// The scenarios the command line names. Mistakes anywhere in what was chosen end the command.
    fn chosen(
        &self,
        catalogue: &Catalogue,
        root: &std::path::Path,
    ) -> anyhow::Result<Vec<meshproof::scenario::Scenario>> {
        let mut chosen = Vec::new();
        if self.all || (self.lint && self.names.is_empty() && self.file.is_empty()) {
            if !catalogue.mistakes.is_empty() {
                return Err(mistakes(&catalogue.mistakes).into());
            }
            chosen.extend(catalogue.scenarios.iter().cloned());
        }
        for name in &self.names {
            chosen.push(find(catalogue, name)?.clone());
        }
        for file in &self.file {
            chosen.push(load(file, root).map_err(|found| mistakes(&found))?);
        }
        if chosen.is_empty() {
            let usage = "name a scenario, or use --all, --file PATH, or --list to see what there is";
            return Err(BadInput(usage.to_owned()).into());
        }
        Ok(chosen)
    }
}

/// The scenarios of these names; all of the catalogue where there are none.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<meshproof::scenario::Scenario>> {
    let root = root()?;
    let catalogue = Catalogue::load(&root)
        .with_context(|| format!("cannot read {}", root.join("scenarios").display()))?;
    if names.is_empty() {
        if !catalogue.mistakes.is_empty() {
            return Err(mistakes(&catalogue.mistakes).into());
        }
        return Ok(catalogue.scenarios);
    }
    let found: Result<Vec<_>, BadInput> = names.iter().map(|name| find(&catalogue, name).cloned()).collect();
    Ok(found?)
}

pub(crate) fn find<'a>(
    catalogue: &'a Catalogue,
    name: &str,
) -> Result<&'a meshproof::scenario::Scenario, BadInput> {
    if let Some(scenario) = catalogue.get(name) {
        return Ok(scenario);
    }
    let broken: Vec<_> = catalogue
        .mistakes
        .iter()
        .filter(|mistake| mistake.source.name == format!("scenarios/{name}.yaml"))
        .cloned()
        .collect();
    if !broken.is_empty() {
        return Err(mistakes(&broken));
    }
    let hint = catalogue.similar(name).map_or_else(
        || format!("see {} scenario --list", command()),
        |similar| format!("did you mean {similar}?"),
    );
    Err(BadInput(format!("there is no scenario {name} ({hint})")))
}

pub(crate) fn mistakes(found: &[meshproof::scenario::Diagnostic]) -> BadInput {
    let colour = is_coloured(&std::io::stderr());
    let rendered: Vec<String> = found.iter().map(|mistake| mistake.render(colour)).collect();
    let count = match found.len() {
        1 => "1 mistake".to_owned(),
        many => format!("{many} mistakes"),
    };
    BadInput(format!("{count}\n\n{}", rendered.join("\n\n")))
}

/// A tier, and for `replay` the folder with the results of an earlier run.
#[derive(Clone, Debug)]
struct Place {
    tier: Tier,
    replay: Option<PathBuf>,
}

fn place(text: &str) -> Result<Place, String> {
    match text.split_once('=') {
        Some(("replay", folder)) if !folder.is_empty() => Ok(Place {
            tier: Tier::Replay,
            replay: Some(folder.into()),
        }),
        _ => match tier(text)? {
            Tier::Replay => Err("say what to replay: replay=DIR, written by --report DIR".to_owned()),
            tier => Ok(Place { tier, replay: None }),
        },
    }
}

pub(crate) fn tier(text: &str) -> Result<Tier, String> {
    text.parse().map_err(|_| {
        let known: Vec<&str> = Tier::ALL.iter().map(|tier| tier.as_str()).collect();
        format!("known tiers are {}", known.join(", "))
    })
}
