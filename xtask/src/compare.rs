//! `cargo xtask compare`: two runs side by side.

use std::path::PathBuf;

use clap::Args;
use meshproof::report::board::{Board, page};
use meshproof::report::{Agreement, compare, read};

use crate::exit::{BadInput, Exit};
use crate::output::outln;
use crate::report::write;
use crate::scenario::Output;

/// Show what differs between two runs
///
/// Of two tiers, of two releases, before and after a change. Calls are matched by their id. Those whose outcome differs
/// come first, then those that only one run made. Exits 1 if any outcome differs.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask scenario --all --report before
  cargo xtask scenario --all --istio 1.31.1 --report after
  cargo xtask compare before after")]
pub(crate) struct Compare {
    /// A folder written by `scenario --report`, or its results.jsonl
    #[arg(value_name = "A")]
    left: PathBuf,

    /// Another
    #[arg(value_name = "B")]
    right: PathBuf,

    /// Also write it as one page, with both runs
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// How to print the comparison
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Compare {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let read = |path: &PathBuf| read(path).map_err(|error| BadInput(error.to_string()));
        let (left, right) = (read(&self.left)?, read(&self.right)?);
        let comparison = compare(&left.results, &right.results);
        match self.output {
            Output::Text => outln!("{comparison}"),
            Output::Json => outln!("{}", serde_json::to_string(&comparison)?),
        }
        if let Some(file) = &self.html {
            let board = Board::sided([(Some("left"), &left), (Some("right"), &right)]);
            write(file, &page(&board, Some(&comparison))?)?;
        }
        Ok(match comparison.count(Agreement::Different) {
            0 => Exit::Held,
            _ => Exit::Falsified,
        })
    }
}
