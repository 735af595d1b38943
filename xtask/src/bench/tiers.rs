//! `cargo xtask bench tiers`: the netns and docker tiers against local, what witnesses cost, and what runs leave behind.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use meshproof::bench::BenchError;
use meshproof::bench::tiers::{Extent, NAMESPACES, TiersBench, TiersError, tiers};
use meshproof::envoy::binary::TerminalProgress;
use meshproof::mesh::{ProxyImages, Settings};
use meshproof::network_namespace::become_root_of_own;
use meshproof::report::Provenance;
use meshproof::scenario::Catalogue;

use super::judge;
use crate::exit::Exit;
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::root::root;
use crate::scenario::find;

/// A scenario on netns may take so many times as long as on local.
const RATIO: f64 = 2.0;
/// Ten namespaces may take so long, in milliseconds.
const NAMESPACES_MILLIS: f64 = 300.0;

/// Measure the netns and docker tiers against local, what witnesses cost, what runs leave behind
///
///   scenario     from setting up the mesh until it is torn down, on each tier in turn
///   namespaces   ten of them, joined by a bridge, each with Istio's rules
///   witnesses    requests by second and processor time of both proxies, each request on an mTLS
///                connection of its own, over those with nobody watching; the witness's own
///                processor time shows in the requests by second
///   left behind  processes, network namespaces, interfaces and directories of this process, and
///                labelled containers, networks and volumes of Docker, after all of its runs
///
/// Figures are medians of rounds, with the least and the greatest. What this machine does not allow
/// is listed, and so is docker where an image is missing.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  cargo xtask bench tiers
  cargo xtask bench tiers --runs 100 --check
  cargo xtask bench tiers --proxy-image envoyproxy/envoy:v1.38.3",
    verbatim_doc_comment
)]
pub(super) struct Tiers {
    /// The scenario
    #[arg(value_name = "NAME", default_value = "skew-1.24.0")]
    name: String,

    /// Rounds over all that is compared
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Requests in a round, for each witness
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,

    /// Further runs on netns and docker, before it is looked what they left
    #[arg(long, value_name = "N", default_value_t = 0)]
    runs: u32,

    /// On docker, use this image for every Istio release, or for one; of the release's own istio/proxyv2 otherwise
    #[arg(long, value_name = "[VERSION=]IMAGE")]
    proxy_image: Vec<String>,

    /// Exit 1 where a goal is missed
    #[arg(long)]
    check: bool,

    /// How to print results
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How to print results.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For a terminal
    Text,
    /// One object
    Json,
}

impl Tiers {
    #[expect(clippy::print_stderr, reason = "progress, and the command's result")]
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        // Before there is a second thread. Where it is not allowed, the tier is measured and says so.
        let _ = become_root_of_own();
        let root = root()?;
        let catalogue = Catalogue::load(&root)
            .with_context(|| format!("cannot read {}", root.join("scenarios").display()))?;
        let scenario = find(&catalogue, &self.name)?;
        let interruptible = Interruptible::new()?;
        let settings = Settings {
            progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
            images: ProxyImages::from_flags(&self.proxy_image)?,
            ..Settings::default()
        };
        let extent = Extent {
            rounds: usize::try_from(self.rounds)?,
            requests: usize::try_from(self.requests)?,
            runs: usize::try_from(self.runs)?,
        };
        let is_watched = std::io::stderr().is_terminal();
        let provenance = Provenance::here(&std::env::current_dir()?);
        let work = tiers(scenario, extent, &settings, provenance, |next| {
            if is_watched {
                eprintln!("{next}");
            }
        });
        let measured = match interruptible.run(work)? {
            None => return Ok(Exit::Interrupted),
            Some(Ok(measured)) => measured,
            Some(Err(TiersError::Bench(not_held @ BenchError::NotHeld { .. }))) => {
                eprintln!("error: {not_held}");
                return Ok(Exit::Falsified);
            }
            Some(Err(TiersError::Bench(BenchError::Run(error)))) => return Err(error.into()),
            // Its exit code goes by its type.
            Some(Err(TiersError::Mesh(error))) => return Err(error.into()),
            Some(Err(error)) => return Err(error.into()),
        };
        match self.output {
            Output::Text => outln!("{}", text(&measured)),
            Output::Json => outln!("{}", serde_json::to_string(&measured)?),
        }
        Ok(judge(&goals(&measured), self.check))
    }
}

fn goals(measured: &TiersBench) -> Vec<(String, bool)> {
    let TiersBench {
        ratio,
        namespaces_millis,
        left_behind,
        ..
    } = measured;
    vec![
        (
            format!("netns takes {ratio:.2} times as long as local, at most {RATIO}"),
            *ratio <= RATIO,
        ),
        (
            format!(
                "{NAMESPACES} namespaces are up in {:.0} ms, at most {NAMESPACES_MILLIS}",
                namespaces_millis.median
            ),
            namespaces_millis.median <= NAMESPACES_MILLIS,
        ),
        (
            match left_behind.as_slice() {
                [] => "nothing is left behind".to_owned(),
                left => format!("nothing is left behind but {}", left.join(", ")),
            },
            left_behind.is_empty(),
        ),
    ]
}

fn text(measured: &TiersBench) -> String {
    let TiersBench {
        extent,
        scenario,
        local_millis,
        netns_millis,
        namespaces_millis,
        witnesses,
        docker,
        ..
    } = measured;
    let runs = extent.rounds + extent.runs + 1;
    let mut lines = vec![format!(
        "{scenario}: medians of {} rounds; {runs} runs on netns",
        extent.rounds
    )];
    for (name, spread) in [
        ("local", local_millis),
        ("netns", netns_millis),
        ("namespaces", namespaces_millis),
    ] {
        lines.push(format!(
            "  {name:<11} {:>6.0} ms ({:.0} to {:.0})",
            spread.median, spread.min, spread.max
        ));
    }
    let told = match (&docker.missing, &docker.millis, docker.ratio) {
        (None, Some(spread), Some(ratio)) => format!(
            "{:>6.0} ms ({:.0} to {:.0}), {ratio:.2} times as long as local",
            spread.median, spread.min, spread.max
        ),
        (missing, ..) => format!("not measured: {}", missing.as_deref().unwrap_or("no round")),
    };
    lines.push(format!("  {:<11} {told}", "docker"));
    for cost in witnesses {
        let told = match (&cost.missing, cost.throughput_ratio, cost.processor_ratio) {
            (None, Some(throughput), Some(processor)) => format!(
                "{throughput:.2} of the requests by second, {processor:.2} of the proxies' processor time"
            ),
            (missing, ..) => format!("not measured: {}", missing.as_deref().unwrap_or("no round")),
        };
        lines.push(format!("  {:<11} {told}", cost.watching));
    }
    lines.join("\n")
}
