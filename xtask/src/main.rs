//! The command line of meshproof. One file per command; what they do lives in the library.

mod bench;
mod clean;
mod colour;
mod exit;
mod explore;
mod interrupt;
mod logs;
mod output;
mod predict;
mod release;
mod scenario;
mod setup;
mod suite;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
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
    /// Run every scenario as a test
    Suite(suite::Suite),
    /// Hold predictions against real proxies in random small meshes
    Explore(explore::Explore),
    /// Read logs of proxies, and say which mTLS failures they tell of
    Logs(logs::Logs),
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
    let result = match Xtask::parse().command {
        Command::Scenario(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Suite(command) => command.run(),
        Command::Explore(command) => command.run(),
        Command::Logs(command) => command.run(),
        Command::Setup(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Clean(command) => command.run(),
    };
    exit::code(result)
}
