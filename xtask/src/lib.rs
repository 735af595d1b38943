//! The command line of meshproof. One file per command; what they do lives in the library.

mod bench;
mod chaos;
mod claims;
mod clean;
mod cluster;
mod colour;
mod compare;
mod diagnose;
mod dist;
mod exit;
mod explore;
mod guardrails;
mod interrupt;
mod logs;
mod manual;
mod matrix;
mod mesh_input;
mod output;
mod predict;
mod preflight;
mod provenance;
mod release;
mod releases;
mod report;
mod root;
mod scenario;
mod setup;
mod snapshot;
mod suite;
mod trace;
mod which_cluster;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use meshproof::invocation;
use tracing_subscriber::EnvFilter;

pub use root::Catalogue;

/// Reproduces, predicts and prevents Istio mTLS failures.
#[derive(Debug, Parser)]
#[command(name = "meshproof", version, after_help = exit::HELP, arg_required_else_help = true)]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios, or list, check, and explain them
    Scenario(Box<scenario::Scenario>),
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
    /// Show what is run where and with which releases, split it, and run parts of it
    Matrix(matrix::Matrix),
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
    /// Build what a release consists of
    Dist(dist::Dist),
    /// Write completions for a shell
    Completions(manual::Completions),
    /// Write manual pages
    Man(manual::Man),
}

/// Runs the command line that this process was called with. `carried` is what the binary brings with it, for use outside
/// of a checkout.
#[must_use]
pub fn main(carried: Option<Catalogue>) -> ExitCode {
    invocation::set_command(called(carried.is_some()));
    if let Some(catalogue) = carried {
        root::carry(catalogue);
    }
    // The Kubernetes client logs the errors that it returns, and every attempt to reach a server that is away.
    let default = || EnvFilter::new("warn,kube_client=off");
    let logs = EnvFilter::try_from_env("MESHPROOF_LOG").unwrap_or_else(|_| default());
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
        Command::Matrix(command) => command.run(),
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
        Command::Dist(command) => command.run(Xtask::command()),
        Command::Completions(command) => command.run(Xtask::command()),
        Command::Man(command) => command.run(Xtask::command()),
    };
    exit::code(result)
}

/// What was typed to call this: kubectl runs what is named `kubectl-meshproof`.
fn called(by_itself: bool) -> &'static str {
    let called = std::env::args_os().next();
    let called = called.as_ref().and_then(|it| Path::new(it).file_name());
    match called.and_then(|it| it.to_str()) {
        Some("kubectl-meshproof") => "kubectl meshproof",
        _ if by_itself => "meshproof",
        _ => "cargo xtask",
    }
}

fn parse() -> Xtask {
    let name = invocation::command();
    let mut command = named(Xtask::command(), name).bin_name(name);
    let matches = command.get_matches_mut();
    Xtask::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// With examples as they are typed here.
fn named(command: clap::Command, name: &str) -> clap::Command {
    let examples = command
        .get_after_help()
        .map(|it| it.to_string().replace("cargo xtask", name));
    let command = match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    };
    command.mut_subcommands(|it| named(it, name))
}
