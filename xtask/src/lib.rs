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

use clap::builder::StyledStr;
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

// Each command says itself what it is: words here would stand in the place of all of its help.
#[derive(Debug, Subcommand)]
enum Command {
    Scenario(Box<scenario::Scenario>),
    Predict(predict::Predict),
    Preflight(preflight::Preflight),
    Diagnose(diagnose::Diagnose),
    Snapshot(snapshot::Snapshot),
    Claims(claims::Claims),
    Compare(compare::Compare),
    Report(report::Report),
    Matrix(matrix::Matrix),
    Suite(suite::Suite),
    Explore(explore::Explore),
    Logs(logs::Logs),
    Guardrails(guardrails::Guardrails),
    Cluster(cluster::Cluster),
    Releases(releases::Releases),
    Chaos(chaos::Chaos),
    Trace(trace::Trace),
    Setup(setup::Setup),
    Bench(bench::Bench),
    Clean(clean::Clean),
    Dist(dist::Dist),
    Completions(manual::Completions),
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

/// With commands as they are typed here.
fn named(mut command: clap::Command, name: &str) -> clap::Command {
    let here = |text: &StyledStr| text.to_string().replace("cargo xtask", name);
    if let Some(examples) = command.get_after_help().map(here) {
        command = command.after_help(examples);
    }
    if let Some(explanation) = command.get_long_about().map(here) {
        command = command.long_about(explanation);
    }
    command.mut_subcommands(|it| named(it, name))
}
