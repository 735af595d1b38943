//! `cargo xtask bench report`: a report of many calls.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use meshproof::report::board::{Board, page};
use meshproof::report::{Run, read, write};
use meshproof::scenario::verdict::ScenarioResult;
use semver::Version;

use super::judge;
use crate::exit::{BadInput, Exit};
use crate::output::outln;

const PAGE: usize = 5_000_000;
const MERGE: Duration = Duration::from_secs(2);
const OPEN: Duration = Duration::from_secs(1);
/// The least of so many counts: whatever else the machine does only adds.
const ROUNDS: usize = 5;

/// Measure a report of ten thousand calls
///
/// The results of a real run, repeated as by other releases until they hold enough calls, are merged into one page, which
/// Chromium opens. What Chromium takes for an empty page is taken off.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  cargo xtask scenario --all --report results
  cargo run --release -p xtask --bin xtask -- bench report results")]
pub(super) struct Report {
    /// A folder written by `scenario --report`
    #[arg(value_name = "DIR")]
    from: PathBuf,

    /// How many calls
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    calls: usize,

    /// Exit 1 where a goal is missed
    #[arg(long)]
    check: bool,
}

impl Report {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let run = read(&self.from).map_err(|error| BadInput(error.to_string()))?;
        let folder = tempfile::tempdir()?;
        let shards = self.shards(&run)?;
        let mut places = Vec::new();
        for (number, shard) in shards.iter().enumerate() {
            let place = folder.path().join(format!("shard-{number}"));
            write(&place, shard)?;
            places.push(place);
        }
        let calls: usize = shards.iter().map(|shard| calls(&shard.results)).sum();
        let mut merged = Duration::MAX;
        let mut text = String::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let runs: Vec<Run> = places.iter().map(|place| read(place)).collect::<Result<_, _>>()?;
            text = page(&Board::of(&runs), None)?;
            merged = merged.min(start.elapsed());
        }
        outln!(
            "{calls} calls in {} shards: merged in {:.2} s, a page of {:.2} MB",
            places.len(),
            merged.as_secs_f64(),
            text.len() as f64 / 1e6
        );
        let mut goals = vec![
            (format!("page below {} MB", PAGE / 1_000_000), text.len() < PAGE),
            (format!("merged below {} s", MERGE.as_secs()), merged < MERGE),
        ];
        match opened(folder.path(), &text)? {
            Some((page, empty)) => {
                let net = page.saturating_sub(empty);
                outln!(
                    "opened in {:.2} s: {:.2} s with Chromium's start, {:.2} s for an empty page",
                    net.as_secs_f64(),
                    page.as_secs_f64(),
                    empty.as_secs_f64()
                );
                goals.push((format!("opened below {} s", OPEN.as_secs()), net < OPEN));
            }
            None => outln!("not opened: there is no chromium in PATH"),
        }
        Ok(judge(&goals, self.check))
    }

    /// The run as it is, and as by so many other releases that there are enough calls.
    fn shards(&self, run: &Run) -> anyhow::Result<Vec<Run>> {
        let each = calls(&run.results);
        if each == 0 {
            let message = format!("{}: no call was made in this run", self.from.display());
            return Err(BadInput(message).into());
        }
        let shard = |number: usize| {
            let mut run = run.clone();
            for result in &mut run.results {
                result.releases.client = Some(Version::new(1, 31, number as u64));
            }
            run
        };
        Ok((0..self.calls.div_ceil(each)).map(shard).collect())
    }
}

fn calls(results: &[ScenarioResult]) -> usize {
    let phases = results.iter().flat_map(|result| &result.phases);
    phases.map(|phase| phase.calls.len()).sum()
}

/// What Chromium takes from its start until the scripts of the page have run, and until those of an empty page have.
fn opened(folder: &Path, page: &str) -> anyhow::Result<Option<(Duration, Duration)>> {
    if Command::new("chromium").arg("--version").output().is_err() {
        return Ok(None);
    }
    let full = folder.join("full.html");
    let empty = folder.join("empty.html");
    std::fs::write(&full, page)?;
    std::fs::write(&empty, "<!doctype html><title>empty</title>")?;
    let (mut of_full, mut of_empty) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        of_empty = of_empty.min(open(folder, &empty)?);
        of_full = of_full.min(open(folder, &full)?);
    }
    Ok(Some((of_full, of_empty)))
}

fn open(folder: &Path, page: &Path) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let status = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        // Drawn, and not only read.
        .arg(format!("--screenshot={}", folder.join("page.png").display()))
        .arg(page)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run chromium")?;
    anyhow::ensure!(status.success(), "chromium failed ({status})");
    Ok(start.elapsed())
}
