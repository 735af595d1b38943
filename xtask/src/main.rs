//! The command line of meshproof. One file per command; what they do lives in the library.

mod bench;
mod chaos;
mod claims;
mod clean;
mod cluster;
mod colour;
mod compare;
mod diagnose;
mod exit;
mod explore;
mod guardrails;
mod interrupt;
mod logs;
mod mesh_input;
mod output;
mod predict;
mod preflight;
mod release;
mod releases;
mod report;
mod scenario;
mod setup;
mod snapshot;
mod suite;
mod trace;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Reproduces, predicts and prevents Istio mTLS failures.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = exit::HELP)]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios, or list, check, and explain them
    Scenario(scenario::Scenario),
    /// Predict what becomes of calls, and which objects decide it
    Predict(predict::Predict),
    /// Say what of a mesh is broken now, and what an upgrade will break
    Preflight(preflight::Preflight),
    /// Say why a call fails, who is responsible, and what helps
    Diagnose(diagnose::Diagnose),
    /// Save a cluster or manifests as one redacted bundle, or one call of them as a scenario
    Snapshot(snapshot::Snapshot),
    /// Run what bears on the claims of two documents, and tell what is so
    Claims(claims::Claims),
    /// Show what differs between two runs
    Compare(compare::Compare),
    /// Merge shards and runs into reports
    Report(report::Report),
    /// Run every scenario as a test
    Suite(suite::Suite),
    /// Hold predictions against real proxies in random small meshes
    Explore(explore::Explore),
    /// Read logs of proxies, and say which mTLS failures they tell of
    Logs(logs::Logs),
    /// List the admission policies that would have prevented what the catalogue shows, or print them for kubectl
    Guardrails(guardrails::Guardrails),
    /// Make clusters of kind with Istio in them, list and remove them
    Cluster(cluster::Cluster),
    /// List the Istio releases, and what each runs on
    Releases(releases::Releases),
    /// Break part of a large mesh, and see how long it takes until an alert says so
    Chaos(chaos::Chaos),
    /// Watch connections from the kernel, and say at which layer those that fail do
    Trace(trace::Trace),
    /// Fetch the pinned Envoy binaries, or take them from a folder
    Setup(setup::Setup),
    /// Measure, against what cannot be avoided
    Bench(bench::Bench),
    /// Remove what killed runs left behind
    Clean(clean::Clean),
}

fn main() -> ExitCode {
    let logs = EnvFilter::try_from_env("MESHPROOF_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(logs)
        .with_writer(std::io::stderr)
        .with_ansi(colour::is_coloured(&std::io::stderr()))
        .init();
    let result = match parse().command {
        Command::Scenario(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Preflight(command) => command.run(),
        Command::Diagnose(command) => command.run(),
        Command::Snapshot(command) => command.run(),
        Command::Claims(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Suite(command) => command.run(),
        Command::Explore(command) => command.run(),
        Command::Logs(command) => command.run(),
        Command::Guardrails(command) => command.run(),
        Command::Cluster(command) => command.run(),
        Command::Releases(command) => command.run(),
        Command::Chaos(command) => command.run(),
        Command::Trace(command) => command.run(),
        Command::Setup(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Clean(command) => command.run(),
    };
    exit::code(result)
}

/// The command line. Usage is told as the program was called: kubectl runs what is named `kubectl-meshproof`.
fn parse() -> Xtask {
    let called = std::env::args_os().next();
    let called = called
        .as_ref()
        .and_then(|it| Path::new(it).file_name())
        .and_then(|it| it.to_str());
    let name = match called {
        Some("kubectl-meshproof") => "kubectl meshproof",
        Some("meshproof") => "meshproof",
        _ => "cargo xtask",
    };
    let mut command = Xtask::command().bin_name(name);
    let matches = command.get_matches_mut();
    Xtask::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}
