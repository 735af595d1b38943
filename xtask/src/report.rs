//! `cargo xtask report`: shards and runs merged into reports.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use meshproof::report::board::{Board, annotations, junit, page, step_summary};
use meshproof::report::{Run, read};
use meshproof::scenario::verdict::Verdict;

use crate::exit::{BadInput, Exit};
use crate::output::{board_text, outln};

/// Merge shards and runs into reports
///
/// On the terminal, as a page, as JUnit, on GitHub. A scenario that was run several times in the same setting counts as
/// its worst run. Exits 1 if anything was falsified.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask scenario --all --report results
  cargo xtask report results --html report.html
  cargo xtask report shard-* --junit report.xml --github")]
pub(crate) struct Report {
    /// Folders written by `scenario --report`, or their results.jsonl
    #[arg(value_name = "DIR", required = true)]
    places: Vec<PathBuf>,

    /// Write one page that needs nothing beside it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// In a GitHub workflow: annotate the lines of scenarios, and add to the summary of the step
    #[arg(long)]
    github: bool,
}

impl Report {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let runs = self.places.iter().map(|place| read(place));
        let runs: Vec<Run> = runs
            .collect::<Result<_, _>>()
            .map_err(|error| BadInput(error.to_string()))?;
        let board = Board::of(&runs);
        outln!("{}", board_text(&board));
        if let Some(file) = &self.html {
            write(file, &page(&board, None)?)?;
        }
        if let Some(file) = &self.junit {
            write(file, &junit(&board)?)?;
        }
        if self.github {
            for line in annotations(&board) {
                outln!("{line}");
            }
            add_to_summary(&step_summary(&board)?)?;
        }
        Ok(match board.count(Verdict::Falsified) {
            0 => Exit::Held,
            _ => Exit::Falsified,
        })
    }
}

/// Writes a report where the command line says.
pub(crate) fn write(file: &Path, content: &str) -> anyhow::Result<()> {
    std::fs::write(file, content)
        .map_err(|error| BadInput(format!("cannot write {}: {error}", file.display())).into())
}

fn add_to_summary(text: &str) -> anyhow::Result<()> {
    let file = std::env::var_os("GITHUB_STEP_SUMMARY").ok_or_else(|| {
        BadInput("--github needs GITHUB_STEP_SUMMARY, which a GitHub workflow sets to a file".to_owned())
    })?;
    let context = || {
        format!(
            "cannot write the step's summary to {}",
            Path::new(&file).display()
        )
    };
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(context)
}
