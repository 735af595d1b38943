//! `cargo xtask bench visibility`: what it costs to have proxies show what Istio hides.

use std::io::IsTerminal as _;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use meshproof::bench::visibility::{Logged, VisibilityBench, visibility};
use meshproof::call::Connections;
use meshproof::envoy::binary::TerminalProgress;
use meshproof::istio::releases::VERIFIED;
use meshproof::mesh::Settings;
use meshproof::report::Provenance;
use semver::Version;

use super::count;
use crate::exit::Exit;
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::release::release;

/// Measure what it costs to have proxies show what Istio hides
///
/// Processor time of both proxies and bytes of log, by healthy request, with manifests/visibility and with
/// meshConfig.accessLogFile against no access logs.
#[derive(Args, Debug)]
pub(super) struct Visibility {
    /// The release of both proxies [default: the one that meshproof is verified against]
    #[arg(long, value_name = "VERSION", value_parser = release)]
    istio: Option<Version>,

    /// Rounds over all settings; below 4 no difference is stated
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count())]
    rounds: u32,

    /// Requests in a round, for each setting and kind of connection
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = count())]
    requests: u32,

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

impl Visibility {
    #[expect(clippy::print_stderr, reason = "progress")]
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let interruptible = Interruptible::new()?;
        let settings = Settings {
            progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
            ..Settings::default()
        };
        let istio = self.istio.unwrap_or(VERIFIED);
        let extent = (usize::try_from(self.rounds)?, usize::try_from(self.requests)?);
        let is_watched = std::io::stderr().is_terminal();
        let provenance = Provenance::here(&std::env::current_dir()?);
        let work = visibility(&istio, extent, &settings, provenance, |round| {
            if is_watched {
                eprintln!("round {round} of {}", extent.0);
            }
        });
        let Some(measured) = interruptible.run(work)? else {
            return Ok(Exit::Interrupted);
        };
        match self.output {
            Output::Text => outln!("{}", text(&measured?)),
            Output::Json => outln!("{}", serde_json::to_string(&measured?)?),
        }
        Ok(Exit::Held)
    }
}

fn text(measured: &VisibilityBench) -> String {
    let head = format!(
        "proxies of Istio {}, {} healthy requests in each of {} rounds; CPU is of both proxies, by request",
        measured.istio, measured.requests, measured.rounds
    );
    let rows = measured.costs.iter().map(|cost| {
        let micros = &cost.processor_micros;
        let connections = match cost.connections {
            Connections::Fresh => "each its own connection",
            Connections::Resume => "each its own, resumed",
            Connections::Reuse => "one shared connection",
        };
        let delta = match cost.delta_percent {
            Some(percent) => format!("{percent:+.0} %"),
            None if cost.logged == Logged::Nothing => String::new(),
            None => "within the noise".to_owned(),
        };
        let range = format!("{:.0} µs ({:.0} to {:.0})", micros.median, micros.min, micros.max);
        format!(
            "{connections:<24} {:<21} {range:<22} {delta:<17} {:>5.0} B of log",
            cost.logged.title(),
            cost.log_bytes
        )
    });
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}
