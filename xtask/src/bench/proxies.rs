//! `cargo xtask bench proxies`: proxy versions against each other.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use meshproof::bench::proxies::{Extent, ProxiesError, proxies};
use meshproof::envoy::binary::{Overrides, Pins, TerminalProgress};
use meshproof::mesh::Settings;
use meshproof::report::Provenance;
use semver::Version;

use super::count;
use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::output::outln;

/// Measure proxy versions against each other: what they refuse, and what they cost
///
///   wrong SANs      calls to a server with a valid certificate of another name, refused as that by
///                   the client's proxy
///   start to ready  from spawning the binary until it says that it is live, configuration and
///                   certificates waiting for it
///   memory          resident of the server's proxy after its handshakes
///   handshake       full handshakes with a client certificate against the server's proxy, as their
///                   client sees them
///   per CPU second  the same, by the processor time that the server's proxy spent
///   false alarms    failures found in logs and refusals counted by proxies, in 1,000 healthy
///                   connections
///
/// Every round measures each version in a mesh of its own, one after the other. Figures are medians
/// of rounds, with the least and the greatest; a difference is given only where the rounds of two
/// versions do not overlap. Proxies log what meshproof reads, which costs all of them the same.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  cargo xtask bench proxies
  cargo xtask bench proxies --versions 1.36.4,1.38.3 --rounds 9 --plot proxies.svg
  cargo xtask bench proxies --versions 1.38.3 --proxy 1.24.0=/opt/envoy --output markdown",
    verbatim_doc_comment
)]
pub(super) struct Proxies {
    /// Pinned Envoy versions, the first being what others are compared with [default: all]
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    versions: Vec<Version>,

    /// Measure this binary too, as the proxy of an Istio release, for example 1.24.0=/opt/envoy
    #[arg(long, value_name = "VERSION=PATH")]
    proxy: Vec<String>,

    /// Rounds over all versions
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count())]
    rounds: u32,

    /// Starts in a round
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count())]
    starts: u32,

    /// Handshakes in a round
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = count())]
    handshakes: u32,

    /// Calls to a server of another name in a round
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count())]
    wrong_names: u32,

    /// Healthy connections in a round
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = count())]
    healthy: u32,

    /// Write a plot to this file as well
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

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
    /// A table for a pull request
    Markdown,
    /// The plot
    Svg,
}

impl Proxies {
    #[expect(clippy::print_stderr, reason = "progress, and the command's result")]
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let overrides = Overrides::from_flags(&self.proxy)?;
        let mut releases = self.pinned()?;
        for (release, _) in overrides.iter() {
            if !releases.contains(release) {
                releases.push(release.clone());
            }
        }
        let interruptible = Interruptible::new()?;
        let settings = Settings {
            overrides,
            progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
            ..Settings::default()
        };
        let extent = Extent {
            rounds: usize::try_from(self.rounds)?,
            starts: usize::try_from(self.starts)?,
            handshakes: usize::try_from(self.handshakes)?,
            wrong_names: usize::try_from(self.wrong_names)?,
            healthy: usize::try_from(self.healthy)?,
        };
        if cfg!(debug_assertions) {
            eprintln!(
                "not optimised: handshakes take their client longer; use cargo run --release -p xtask -- bench proxies"
            );
        }
        let is_watched = std::io::stderr().is_terminal();
        let provenance = Provenance::here(&std::env::current_dir()?);
        let work = proxies(&releases, extent, &settings, provenance, |round, release| {
            if is_watched {
                eprintln!(
                    "round {round} of {}: the proxy of Istio {release} is measured",
                    extent.rounds
                );
            }
        });
        let table = match interruptible.run(work)? {
            None => return Ok(Exit::Interrupted),
            Some(Ok(table)) => table,
            Some(Err(broken @ (ProxiesError::NotHealthy { .. } | ProxiesError::Handshake { .. }))) => {
                eprintln!("error: {broken}");
                return Ok(Exit::Falsified);
            }
            Some(Err(error)) => return Err(error.into()),
        };
        if let Some(file) = &self.plot {
            std::fs::write(file, table.svg()?)
                .with_context(|| format!("cannot write the plot to {}", file.display()))?;
        }
        match self.output {
            Output::Text => outln!("{}", table.text()),
            Output::Json => outln!("{}", serde_json::to_string(&table)?),
            Output::Markdown => outln!("{}", table.markdown()),
            Output::Svg => outln!("{}", table.svg()?),
        }
        Ok(Exit::Held)
    }

    /// The releases that the asked versions stand for; with none asked, and no other proxy, those of all pinned ones.
    fn pinned(&self) -> anyhow::Result<Vec<Version>> {
        let pins = Pins::embedded()?;
        let known: Vec<&Version> = pins.versions().collect();
        let asked: Vec<&Version> = match self.versions.is_empty() {
            true => known.clone(),
            false => self.versions.iter().collect(),
        };
        let mut releases = Vec::new();
        for envoy in asked {
            let release = pins.stands_for(envoy).ok_or_else(|| {
                let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                BadInput(format!(
                    "Envoy {envoy} is not pinned: use one of {}, or give a binary with --proxy RELEASE=PATH",
                    known.join(", ")
                ))
            })?;
            if !releases.contains(&release) {
                releases.push(release);
            }
        }
        Ok(releases)
    }
}
