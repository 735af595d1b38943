//! The command line of meshproof.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod setup;

/// Reproduces, predicts and prevents Istio mTLS failures.
#[derive(Parser)]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch the pinned Envoy binaries, or take them from a folder
    Setup(setup::Setup),
}

#[allow(clippy::print_stderr, reason = "the command's error")]
fn main() -> ExitCode {
    match Xtask::parse().command {
        Command::Setup(setup) => match setup.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(3)
            }
        },
    }
}
