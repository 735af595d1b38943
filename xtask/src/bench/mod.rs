//! `cargo xtask bench`: what things take, as ratios to what they must take.

mod local;
mod predict;
mod preflight;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// Measure, against what cannot be avoided.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Scenarios on the local tier, against their floor
    Local(local::Local),
    /// Predictions of all calls of a large mesh
    Predict(predict::Predict),
    /// An audit of a large mesh in which nothing is wrong
    Preflight(preflight::Preflight),
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self.what {
            What::Local(command) => command.run(),
            What::Predict(command) => command.run(),
            What::Preflight(command) => command.run(),
        }
    }
}
