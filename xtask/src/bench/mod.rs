//! `cargo xtask bench`: what things take, as ratios to what they must take.

mod diagnose;
mod local;
mod logs;
mod pinned;
mod predict;
mod preflight;
mod proxies;
mod report;
mod tiers;
mod visibility;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::output::outln;

/// Measure, against what cannot be avoided.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Diagnose(diagnose::Diagnose),
    Local(local::Local),
    Logs(logs::Logs),
    Predict(predict::Predict),
    Preflight(preflight::Preflight),
    Proxies(proxies::Proxies),
    Report(report::Report),
    Tiers(tiers::Tiers),
    Visibility(visibility::Visibility),
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self.what {
            What::Diagnose(command) => command.run(),
            What::Local(command) => command.run(),
            What::Logs(command) => command.run(),
            What::Predict(command) => command.run(),
            What::Preflight(command) => command.run(),
            What::Proxies(command) => command.run(),
            What::Report(command) => command.run(),
            What::Tiers(command) => command.run(),
            What::Visibility(command) => command.run(),
        }
    }
}

/// How often something is measured: once or more.
fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

/// Prints each goal with whether it is met. A missed one falsifies where goals are checked.
fn judge(goals: &[(String, bool)], check: bool) -> Exit {
    for (goal, is_met) in goals {
        outln!("{} {goal}", if *is_met { "met:   " } else { "missed:" });
    }
    if check && goals.iter().any(|(_, is_met)| !is_met) {
        Exit::Falsified
    } else {
        Exit::Held
    }
}
