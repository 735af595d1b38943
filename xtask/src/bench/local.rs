//! `cargo xtask bench local`: scenarios against their floor.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use meshproof::bench::{self, BenchError, LocalBench, PeakMemory, RATIO_GOAL};
use meshproof::envoy::binary::{Overrides, TerminalProgress};
use meshproof::mesh::Settings;
use meshproof::scenario::Catalogue;

use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::root::root;
use crate::scenario::{Output, find};

/// Measure scenarios on the local tier against their floor
///
/// The floor of a scenario is what no harness could do without:
///
///   start  the same proxies from the same binaries, started at once where the scenario starts them
///          at once, with the configuration and certificates of that moment waiting for them, until
///          each says that it is live; beside it the same number of proxies with an admin socket
///          and nothing to do (bare)
///   end    all of them, killed at once, until they are gone
///   keys   making the keys and certificates that they hold, where they are new; a key of RSA takes
///          some tenths of a second
///   calls  from dialling to the caller's result, of the scenario's own calls: a proxy waits for a
///          random time before it tries again, so that others would take other times
///
/// The scenario's time runs from setting up the mesh until it is torn down. Both are measured in
/// every round, the floor right after the scenario, after one round that is not counted. Figures
/// are medians; the ratio is that of the two medians. Memory is the kernel's high-water mark
/// (VmHWM) of the harness and of the proxies that run at the end.
///
/// Without --release this measures the harness as `cargo xtask` builds it.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  cargo xtask bench local
  cargo xtask bench local baseline-strict expired-ca --rounds 20 --output json
  cargo xtask bench local --all --rounds 3 --check",
    verbatim_doc_comment
)]
pub(super) struct Local {
    /// Names of scenarios
    #[arg(value_name = "NAME", default_value = "skew-1.24.0")]
    names: Vec<String>,

    /// All scenarios that the tier can show and that hold no load, then how they spread
    #[arg(long, conflicts_with = "names")]
    all: bool,

    /// Exit 1 where a scenario takes more than 1.5 times its floor
    #[arg(long)]
    check: bool,

    /// How often to measure
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Use this binary for an Istio release, for example 1.24.0=/opt/envoy
    #[arg(long, value_name = "VERSION=PATH")]
    proxy: Vec<String>,

    /// How to print results
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Local {
    #[expect(clippy::print_stderr, reason = "the command's result")]
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let root = root()?;
        let catalogue = Catalogue::load(&root)
            .with_context(|| format!("cannot read {}", root.join("scenarios").display()))?;
        let mut scenarios = Vec::new();
        if self.all {
            scenarios.extend(&catalogue.scenarios);
        } else {
            for name in &self.names {
                scenarios.push(find(&catalogue, name)?);
            }
        }
        let interruptible = Interruptible::new()?;
        let settings = Settings {
            overrides: Overrides::from_flags(&self.proxy)?,
            progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
            ..Settings::default()
        };
        let mut ratios = Vec::new();
        for scenario in scenarios {
            let rounds = usize::try_from(self.rounds)?;
            let work = bench::local(scenario, &settings, rounds, |round| {
                tracing::info!(scenario = scenario.name(), round, "measured");
            });
            let measured = match interruptible.run(work)? {
                None => return Ok(Exit::Interrupted),
                Some(Ok(measured)) => measured,
                Some(Err(BenchError::Run(error))) => return Err(error.into()),
                Some(Err(not_measured @ BenchError::NotMeasured { .. })) if self.all => {
                    eprintln!("{not_measured}");
                    continue;
                }
                Some(Err(not_measured @ BenchError::NotMeasured { .. })) => {
                    return Err(BadInput(not_measured.to_string()).into());
                }
                Some(Err(not_held @ BenchError::NotHeld { .. })) => {
                    eprintln!("error: {not_held}");
                    return Ok(Exit::Falsified);
                }
            };
            match self.output {
                Output::Text => outln!("{}", text(&measured)),
                Output::Json => outln!("{}", serde_json::to_string(&measured)?),
            }
            ratios.push((measured.ratio, measured.scenario));
        }
        ratios.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        let above = ratios.iter().filter(|(ratio, _)| *ratio > RATIO_GOAL).count();
        if self.all && self.output == Output::Text {
            outln!("{}", spread(&ratios, above));
        }
        Ok(if self.check && above > 0 {
            Exit::Falsified
        } else {
            Exit::Held
        })
    }
}

/// Ratios from the highest on.
fn spread(ratios: &[(f64, String)], above: usize) -> String {
    let mut lines = vec![format!(
        "{} scenarios, {above} of them above {RATIO_GOAL} floors; the highest:",
        ratios.len()
    )];
    let highest = ratios.iter().take(above.max(5));
    lines.extend(highest.map(|(ratio, name)| format!("  {ratio:.2}  {name}")));
    if let Some((middle, _)) = ratios.get(ratios.len() / 2) {
        lines.push(format!("  {middle:.2}  in the middle"));
    }
    lines.join("\n")
}

/// A table of phases, the ratio below it.
fn text(measured: &LocalBench) -> String {
    let LocalBench {
        scenario,
        rounds,
        millis,
        floor_millis,
        ratio,
        ratio_over_bare,
        phases,
        around_millis,
        end_millis,
        peak_memory,
    } = measured;
    let names = phases.iter().map(|phase| phase.name.len());
    let width = names
        .chain(["setup and teardown".len()])
        .max()
        .unwrap_or_default();
    let mut lines = vec![
        format!("{scenario} on local: medians of {rounds} rounds, in milliseconds"),
        format!(
            "  {:width$}  {:>8}  {:>17}  {:>8}  {:>6}  {:>17}",
            "", "scenario", "floor: start", "(bare)", "keys", "floor: calls"
        ),
    ];
    for phase in phases {
        let start = format!("{:.0} ({} proxies)", phase.start_millis, phase.proxies);
        let calls = format!("{:.0} ({} calls)", phase.calls_millis, phase.calls);
        lines.push(format!(
            "  {:width$}  {:>8.0}  {start:>17}  {:>8.0}  {:>6.0}  {calls:>17}",
            phase.name, phase.millis, phase.bare_start_millis, phase.certificates_millis
        ));
    }
    lines.push(format!(
        "  {:width$}  {around_millis:>8.0}  {:>17}",
        "setup and teardown",
        format!("end: {end_millis:.0}")
    ));
    lines.push(format!(
        "  {:width$}  {millis:>8.0}  floor {floor_millis:.0}, ratio {ratio:.2} (over bare proxies {ratio_over_bare:.2})",
        "all"
    ));
    lines.push(match peak_memory {
        Some(PeakMemory {
            harness,
            proxies,
            largest_proxy,
        }) => format!(
            "  peak memory: harness {} MiB, proxies {} MiB together, {} MiB the largest",
            mebibytes(*harness),
            mebibytes(*proxies),
            mebibytes(*largest_proxy)
        ),
        None => "  peak memory: not measured, this system does not tell".to_owned(),
    });
    lines.join("\n")
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes / (1 << 20)
}
