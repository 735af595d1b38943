//! `cargo xtask explore`: random small meshes in which predictions are held against real proxies.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use meshproof::envoy::binary::TerminalProgress;
use meshproof::explore::{Exploration, Options, explore};
use meshproof::mesh::{Settings, sweep};

use crate::exit::Exit;
use crate::interrupt::Interruptible;
use crate::root::root;

/// Hold predictions against real proxies in random small meshes
///
/// The same seed gives the same meshes. What prediction and observation disagree about is shrunk and written down as
/// a scenario; the command then ends with exit code 1.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask explore --cases 1000 --seed 7           a thousand meshes
  cargo xtask explore --seed 7 --first 42 --cases 1   mesh 42 of them once more")]
pub(crate) struct Explore {
    /// How many meshes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,

    /// What the meshes are drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// The number of the first mesh
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    first: u32,

    /// How many meshes at a time [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Where scenarios of disagreements are written [default: target/explore in the workspace]
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

impl Explore {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let root = root()?;
        let folder = self
            .report
            .clone()
            .unwrap_or_else(|| root.join("target").join("explore"));
        let interruptible = Interruptible::new()?;
        let settings = Settings {
            progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
            ..Settings::default()
        };
        let swept = sweep();
        tracing::info!(directories = swept.len(), "removed what killed runs left behind");
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let options = Options {
            seed: self.seed,
            first: self.first,
            cases: self.cases,
            jobs: self.jobs.map_or(processors, usize::from),
        };
        let Some(explored) = interruptible.run(explore(&options, &settings, show_progress))? else {
            return Ok(Exit::Interrupted);
        };
        let explored = explored?;
        for found in &explored.disagreements {
            found.reproduction.write(&folder)?;
        }
        self.show(&explored, &folder)?;
        Ok(match explored.disagreements.is_empty() {
            true => Exit::Held,
            false => Exit::Falsified,
        })
    }

    #[expect(clippy::print_stdout, reason = "the command's result")]
    fn show(&self, explored: &Exploration, folder: &std::path::Path) -> anyhow::Result<()> {
        if self.output == Output::Json {
            println!("{}", serde_json::to_string(explored)?);
            return Ok(());
        }
        let minutes = explored.millis / 60_000.0;
        println!(
            "{} meshes of seed {} in {:.1} s ({:.0} a minute): {} calls, {} of them ({:.1} %) without prediction",
            explored.cases,
            explored.seed,
            explored.millis / 1000.0,
            f64::from(explored.cases) / minutes,
            explored.calls,
            explored.unpredicted,
            explored.unpredicted_share() * 100.0,
        );
        for (outcome, count) in &explored.outcomes {
            println!("  {count:>6}  {outcome}");
        }
        for found in &explored.disagreements {
            println!(
                "falsified  case {}: predicted {}, observed {} ({} calls)",
                found.case, found.predicted, found.observed, found.calls
            );
            println!("  {}", found.call);
            if let Some(reason) = &found.observed.reason {
                println!("  {reason}");
            }
            for step in &found.because {
                println!(
                    "  because {} {}",
                    step.rule,
                    step.object.as_deref().unwrap_or_default()
                );
            }
            let file = folder.join(format!("{}.yaml", found.reproduction.name));
            println!(
                "  reproduce: {} scenario --file {}",
                meshproof::invocation::command(),
                file.display()
            );
        }
        if explored.disagreements.is_empty() {
            println!("held       predictions and observations agree");
        }
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "progress, for people only")]
fn show_progress(done: u32, of: u32) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{done} of {of} meshes ");
        if done >= of {
            eprintln!();
        }
    }
}
