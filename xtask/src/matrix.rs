//! `cargo xtask matrix`: what is run where, with which releases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use meshproof::invocation::command;
use meshproof::matrix::{
    COSTS_FILE, Cell, Costs, IndexedJob, Matrix as Rows, MatrixTable, Platform, Shard, github, load,
};
use meshproof::mesh::Tier;
use meshproof::report::board::Board;
use meshproof::report::{self, Run};
use meshproof::scenario::verdict::{ReleaseOverrides, ScenarioResult, Verdict};
use meshproof::scenario::{Catalogue, Options};
use semver::Version;

use crate::exit::{BadInput, Exit};
use crate::output::{board_text, outln};
use crate::provenance::provenance;
use crate::release::release;
use crate::report::write;
use crate::root::root;
use crate::scenario::{mistakes, printing};

/// Show what is run where and with which releases, split it, and run parts of it
///
/// `matrix.yaml` says what. Shards are of equal cost.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask matrix                                      the table, and what is left out and why
  cargo xtask matrix --shard 1/4                          the cells of a shard
  cargo xtask matrix --run --shard 1/4 --report shard-1   run them
  cargo xtask report shard-* --html report.html           and look at all shards together
  cargo xtask matrix --output github >> \"$GITHUB_OUTPUT\"  matrix={...}, a job for each shard
  cargo xtask matrix --output kubernetes --shards 8 --image registry.example/meshproof:0.1.0 | kubectl apply -f -")]
pub(crate) struct Matrix {
    /// Only this row
    #[arg(long, value_name = "NAME")]
    row: Option<String>,

    /// Only what has a control plane of this release
    #[arg(long, value_name = "RELEASE", value_parser = release)]
    istio: Option<Version>,

    /// Only what runs on this minor release of Kubernetes
    #[arg(long, value_name = "MINOR")]
    kubernetes: Option<String>,

    /// Only what runs on this system (default with --shard and --run: this one)
    #[arg(long, value_name = "linux|macos", value_parser = platform)]
    platform: Option<Platform>,

    /// Only this part, as 2/5; or index/5 in a pod of an indexed Job
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,

    /// Run what is shown
    #[arg(long)]
    run: bool,

    /// Write results into this folder
    #[arg(long, value_name = "DIR", requires = "run")]
    report: Option<PathBuf>,

    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text, conflicts_with = "run")]
    output: Output,

    /// With --output kubernetes: the image, with meshproof as its entry point
    #[arg(long, value_name = "IMAGE", required_if_eq("output", "kubernetes"))]
    image: Option<String>,

    /// With --output kubernetes: how many pods
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = shards)]
    shards: usize,

    /// With --output kubernetes: the claim of the volume for results, a folder for each index
    #[arg(long, value_name = "CLAIM", default_value = "meshproof-results")]
    claim: String,

    /// Write what scenarios took in a run into the table that shards are made by
    #[arg(long, value_name = "DIR", conflicts_with_all = ["run", "output", "shard"])]
    record_costs: Option<PathBuf>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// A table for people.
    Text,
    /// Everything, for programs.
    Json,
    /// A job for each shard, for a GitHub workflow.
    Github,
    /// An indexed Job, a shard for each index.
    Kubernetes,
}

impl Matrix {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let root = root()?;
        if let Some(folder) = &self.record_costs {
            return record(&root, folder);
        }
        let catalogue = Catalogue::load(&root)?;
        if !catalogue.mistakes.is_empty() {
            return Err(mistakes(&catalogue.mistakes).into());
        }
        let today = jiff::Zoned::now().date();
        let mut matrix = load(&root, &catalogue, today).map_err(|found| mistakes(&found))?;
        if let Some(name) = &self.row {
            if matrix.row(name).is_none() {
                let known: Vec<&str> = matrix.rows.iter().map(|row| row.name.as_str()).collect();
                let known = known.join(", ");
                return Err(BadInput(format!("the matrix has no row {name} (it has {known})")).into());
            }
            matrix.rows.retain(|row| row.name == *name);
        }
        if self.row.is_none() && (self.run || self.shard.is_some() || self.output == Output::Github) {
            // Whoever has a cluster names the row that is for it.
            matrix.rows.retain(|row| !row.tier.needs_cluster());
        }
        for row in &mut matrix.rows {
            row.cells.retain(|cell| self.is_chosen(cell));
        }
        if self.run && matrix.rows.iter().all(|row| row.cells.is_empty()) {
            let message = format!(
                "nothing of the matrix is chosen; look at it: {} matrix",
                command()
            );
            return Err(BadInput(message).into());
        }
        if let Some(platform) = self.platform {
            for row in &mut matrix.rows {
                row.runners.retain(|(it, _)| *it == platform);
                row.cells.retain(|cell| cell.platform == platform);
            }
        }
        if self.run {
            return self.run_cells(&root, &catalogue, &matrix);
        }
        self.show(&matrix)
    }

    fn is_chosen(&self, cell: &Cell) -> bool {
        (self.istio.is_none() || self.istio == cell.releases.istio)
            && (self.kubernetes.is_none() || self.kubernetes == cell.kubernetes_minor())
    }

    fn show(&self, matrix: &Rows) -> anyhow::Result<Exit> {
        match (self.output, self.shard) {
            (Output::Text, None) => {
                let costs = Costs::embedded()?;
                outln!("{}", MatrixTable { matrix, costs });
            }
            (Output::Text, Some(_)) => {
                for (tier, cell) in self.cells(matrix)? {
                    outln!("{}", line(tier, cell));
                }
            }
            (Output::Json, None) => outln!("{}", serde_json::to_string(matrix)?),
            (Output::Json, Some(_)) => {
                let cells: Vec<&Cell> = self.cells(matrix)?.into_iter().map(|(_, cell)| cell).collect();
                outln!("{}", serde_json::to_string(&cells)?);
            }
            (Output::Github, _) => outln!("matrix={}", github(matrix)),
            (Output::Kubernetes, _) => {
                let job = IndexedJob {
                    image: self.image.clone().unwrap_or_default(),
                    shards: self.shards,
                    claim: self.claim.clone(),
                };
                outln!("{}", job.manifest()?.trim_end());
            }
        }
        Ok(Exit::Held)
    }

    /// What the command line chooses.
    fn cells<'a>(&self, matrix: &'a Rows) -> anyhow::Result<Vec<(Tier, &'a Cell)>> {
        let platform = self.platform.unwrap_or(HERE);
        let shard = self.shard.unwrap_or(Shard::WHOLE);
        Ok(shard.of(matrix.on(platform), Costs::embedded()?))
    }

    fn run_cells(&self, root: &Path, catalogue: &Catalogue, matrix: &Rows) -> anyhow::Result<Exit> {
        let mut settings: BTreeMap<(Tier, &ReleaseOverrides), Vec<_>> = BTreeMap::new();
        for (tier, cell) in self.cells(matrix)? {
            let scenario = catalogue.get(&cell.scenario).cloned();
            settings
                .entry((tier, &cell.releases))
                .or_default()
                .extend(scenario);
        }
        let mut results: Vec<ScenarioResult> = Vec::new();
        for ((tier, releases), scenarios) in settings {
            let options = Options {
                releases: releases.clone(),
                ..Options::on(tier)
            };
            match printing(&scenarios, options)? {
                Some(more) => results.extend(more),
                None => return Ok(Exit::Interrupted),
            }
        }
        let run = Run {
            results,
            provenance: None,
        };
        let board = Board::of([&run]);
        outln!("\n{}", board_text(&board));
        let falsified = board.count(Verdict::Falsified) > 0;
        if let Some(folder) = &self.report {
            let run = Run {
                provenance: Some(provenance(root)?),
                ..run
            };
            outln!("results are in {}", report::write(folder, &run)?.display());
        }
        Ok(if falsified { Exit::Falsified } else { Exit::Held })
    }
}

/// The system that this was built for.
const HERE: Platform = if cfg!(target_os = "macos") {
    Platform::Macos
} else {
    Platform::Linux
};

fn line(tier: Tier, cell: &Cell) -> String {
    let mut line = format!("{} scenario {} --on {tier}", command(), cell.scenario);
    for (flag, release) in cell.releases.named() {
        if let Some(release) = release {
            line.push_str(&format!(" --{flag} {release}"));
        }
    }
    line
}

fn record(root: &Path, folder: &Path) -> anyhow::Result<Exit> {
    let run = report::read(folder).map_err(|error| BadInput(error.to_string()))?;
    let costs = Costs::measured(&run.results);
    write(&root.join(COSTS_FILE), &costs.to_yaml()?)?;
    outln!("{COSTS_FILE} is written: {} scenarios", costs.names().count());
    Ok(Exit::Held)
}

fn platform(text: &str) -> Result<Platform, String> {
    text.parse()
        .map_err(|_| "known platforms are linux and macos".to_owned())
}

fn shard(text: &str) -> Result<Shard, String> {
    let index = std::env::var("JOB_COMPLETION_INDEX").ok();
    Shard::parse(text, index.as_deref()).map_err(|error| error.to_string())
}

fn shards(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => Err("1 to 1000 pods".to_owned()),
    }
}
