//! `cargo xtask bench preflight`: how fast a large mesh is audited, how that grows, and that nothing is found in it.

use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use meshproof::audit::{Baseline, Input, Severity, audit};
use meshproof::bench::{clean_mesh, peak_of_this};
use meshproof::snapshot::{Mixed, Snapshot};
use semver::Version;

use super::judge;
use crate::exit::Exit;
use crate::output::outln;

/// What a mesh of 10,000 pods may take, from text to report.
const SECONDS: f64 = 2.0;
const MEGABYTES: u64 = 500;
/// What four times the mesh may take, in times.
const GROWTH: f64 = 5.0;
const MONTH: Duration = Duration::from_hours(30 * 24);

/// Measure an audit: a mesh of five pods a workload, a Service each, and policies, in which nothing is wrong.
///
///   read   manifests to objects
///   audit  objects to report
///
/// Before it, a quarter of the mesh: the time must not grow much more than the mesh did. Needs optimisation to mean
/// anything:
///
///   cargo run --release -p xtask -- bench preflight
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Preflight {
    /// How many workloads, each with five pods and a Service
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    workloads: usize,

    /// How many policies, half of them PeerAuthentications and half DestinationRules
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    policies: usize,

    /// Exit 1 if a goal is missed
    #[arg(long)]
    check: bool,
}

impl Preflight {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if cfg!(debug_assertions) {
            outln!("not optimised: use cargo run --release -p xtask -- bench preflight");
        }
        let quarter = Measured::of(self.workloads / 4, self.policies / 4)?;
        outln!("{}", quarter.text());
        let whole = Measured::of(self.workloads, self.policies)?;
        outln!("{}", whole.text());
        let memory = peak_of_this().map(|it| it / 1024 / 1024);
        outln!(
            "  memory  {}",
            memory.map_or_else(|| "unknown here".to_owned(), |it| format!("{it} MB at most"))
        );
        let growth = whole.total() / quarter.total();
        outln!("growth: 4 times the mesh take {growth:.1} times the time");
        let goals = [
            (format!("{SECONDS} s"), whole.total() <= SECONDS),
            (format!("{MEGABYTES} MB"), memory.is_none_or(|it| it <= MEGABYTES)),
            (format!("growth {GROWTH}"), growth <= GROWTH),
            (
                "no finding above info".to_owned(),
                whole.found == 0 && quarter.found == 0,
            ),
        ];
        Ok(judge(&goals, self.check))
    }
}

struct Measured {
    workloads: usize,
    policies: usize,
    read: Duration,
    audit: Duration,
    /// Findings above info.
    found: usize,
}

impl Measured {
    fn of(workloads: usize, policies: usize) -> anyhow::Result<Self> {
        let text = clean_mesh(workloads, policies);
        let current = Version::new(1, 30, 3);
        let mut snapshot = Snapshot::new(current.clone());
        let mut mixed = Mixed::default();
        let started = Instant::now();
        snapshot.add_mixed(&text, "bench", &mut mixed);
        let read = started.elapsed();
        drop(text);
        let mut input = Input {
            snapshot,
            mixed,
            current: Some(current),
            target: Version::new(1, 31, 1),
            kubernetes: None,
            now: Timestamp::now(),
            horizon: MONTH,
            baseline: Baseline::default(),
        };
        let started = Instant::now();
        let report = audit(&mut input)?;
        Ok(Self {
            workloads,
            policies,
            read,
            audit: started.elapsed(),
            found: report
                .findings
                .iter()
                .filter(|it| it.severity > Severity::Info)
                .count(),
        })
    }

    fn total(&self) -> f64 {
        (self.read + self.audit).as_secs_f64()
    }

    fn text(&self) -> String {
        format!(
            "{} pods, {} Services, {} policies\n  read    {:.3} s\n  audit   {:.3} s, {} findings above info",
            self.workloads * 5,
            self.workloads,
            self.policies,
            self.read.as_secs_f64(),
            self.audit.as_secs_f64(),
            self.found
        )
    }
}
