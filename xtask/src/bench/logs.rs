//! `cargo xtask bench logs`: how fast logs are read, over what others take to read the same file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use meshproof::bench::peak_of_this;
use meshproof::logs::{Correlation, Counts, Generator, Patterns, Scanner, Tally, scan_file};

use super::judge;
use super::pinned::on_cores;
use crate::exit::{BadInput, Exit};
use crate::output::outln;

/// What ripgrep's throughput is to be exceeded by, on one core and on two.
const OVER_RIPGREP: [(usize, f64); 2] = [(1, 1.0), (2, 1.8)];
/// What that of other baselines, such as the postmortem's parser, is to be exceeded by as `logs` runs by default.
const OVER_OTHERS: f64 = 4.0;
/// How much longer a byte may take in an input of ten times the size.
const GROWTH: f64 = 1.15;
/// How much the peak of memory may grow with it.
const MEGABYTES: u64 = 16;
/// How often the file is read over for the largest input.
const OVER_AND_OVER: u64 = 10;

/// Measure reading logs, against ripgrep counting the lines that match the same patterns
///
/// The log is generated: access log lines in text and JSON, two per cent of them telling of a
/// failure. Ours parses what it finds, joins both ends of connections, and sums up; ripgrep only
/// counts lines. All read the file in turn, in every round, pinned to so many cores (on Linux),
/// from the page cache. Figures are medians.
///
/// Growth is that of the time per byte from a hundredth of the file to ten times the file. Needs
/// optimisation to mean anything:
///
///   cargo run --release -p xtask -- bench logs
///   cargo run --release -p xtask -- bench logs --baseline 'python3 parser.py'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Logs {
    /// Megabytes of log
    #[arg(long, value_name = "MB", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..))]
    size: u64,

    /// What the log is drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// How often to measure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Another program that reads the log, as a shell command: it is on standard input, and its path in $1
    #[arg(long, value_name = "CMD")]
    baseline: Vec<String>,

    /// Exit 1 if a goal is missed
    #[arg(long)]
    check: bool,
}

/// Another program.
struct Baseline {
    name: String,
    command: String,
    /// The least that our throughput is to be over its own, by cores.
    goals: Vec<(usize, f64)>,
}

impl Logs {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if cfg!(debug_assertions) {
            outln!("not optimised: use cargo run --release -p xtask -- bench logs");
        }
        let patterns = Patterns::embedded()?;
        let folder = tempfile::tempdir().context("cannot make a folder for the log (set TMPDIR)")?;
        let path = folder.path().join("access.log");
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let failing = Generator::new(self.seed, patterns)
            .write(file, self.size * 1_000_000)
            .with_context(|| format!("cannot write {} MB to {}", self.size, path.display()))?;
        let bytes = path.metadata()?.len();
        outln!(
            "{} MB, {failing} lines tell of a failure; seed {}",
            bytes / 1_000_000,
            self.seed
        );

        let baselines = self.baselines(patterns, folder.path())?;
        let mut ours = [Vec::new(), Vec::new()];
        let mut theirs: Vec<Vec<Duration>> = vec![Vec::new(); baselines.len()];
        for _ in 0..self.rounds {
            for (cores, times) in [1, 2].into_iter().zip(&mut ours) {
                let (counts, time) = on_cores(cores, || read(&path, cores))?;
                if counts.failures != failing {
                    bail!("{} failures were found of {failing}", counts.failures);
                }
                times.push(time);
            }
            for (baseline, times) in baselines.iter().zip(&mut theirs) {
                times.push(on_cores(1, || baseline.run(&path))?);
            }
        }
        let ours = ours.map(median);
        for (cores, time) in [1, 2].into_iter().zip(ours) {
            outln!(
                "  {:28} {}",
                format!("meshproof, {cores} core{}", if cores == 1 { "" } else { "s" }),
                speed(bytes, time)
            );
        }
        let mut goals = Vec::new();
        for (baseline, times) in baselines.iter().zip(theirs) {
            let time = median(times);
            outln!("  {:28} {}", baseline.name, speed(bytes, time));
            for &(cores, goal) in &baseline.goals {
                let ratio = time.as_secs_f64() / ours[cores - 1].as_secs_f64();
                goals.push((
                    format!(
                        "{goal} x {} with {cores} core{}: {ratio:.2} x",
                        baseline.name,
                        if cores == 1 { "" } else { "s" }
                    ),
                    ratio >= goal,
                ));
            }
        }
        goals.extend(on_cores(1, || self.growth(patterns, &path, bytes))?);
        Ok(judge(&goals, self.check))
    }

    /// Reads a hundredth of the file, a tenth, the file, and ten times the file, as streams.
    fn growth(
        &self,
        patterns: &'static Patterns,
        path: &Path,
        bytes: u64,
    ) -> anyhow::Result<Vec<(String, bool)>> {
        let mut measured = Vec::new();
        for (size, count) in [
            (bytes / 100, 1),
            (bytes / 10, 1),
            (bytes, 1),
            (bytes, OVER_AND_OVER),
        ] {
            let mut times = Vec::new();
            for _ in 0..self.rounds {
                let stream = Repeated::new(path, size, count)?;
                let started = Instant::now();
                let mut summed = Summed::new();
                summed.counts = Scanner::new(patterns)
                    .scan("-", stream, &mut |finding| summed.findings.add(finding))
                    .counts;
                summed.findings.finish();
                times.push(started.elapsed());
            }
            let (time, peak) = (median(times), peak_of_this());
            let total = size * count;
            outln!(
                "  {:>6} MB as a stream        {}, {}",
                total / 1_000_000,
                speed(total, time),
                peak.map_or_else(
                    || "memory unknown here".to_owned(),
                    |it| format!("at most {} MB of memory so far", it / 1_000_000)
                )
            );
            measured.push((as_f64(time.as_nanos()) / as_f64(u128::from(total)), peak));
        }
        let mut goals = Vec::new();
        for pair in measured.windows(2) {
            let growth = pair[1].0 / pair[0].0;
            goals.push((
                format!("ten times the log: {growth:.2} x the time per byte"),
                growth <= GROWTH,
            ));
        }
        if let [Some(first), .., Some(last)] = measured.iter().map(|it| it.1).collect::<Vec<_>>()[..] {
            let more = (last - first) / 1_000_000;
            goals.push((
                format!("a thousand times the log: {more} MB more memory"),
                more <= MEGABYTES,
            ));
        }
        Ok(goals)
    }

    fn baselines(&self, patterns: &Patterns, folder: &Path) -> anyhow::Result<Vec<Baseline>> {
        let mut baselines = Vec::new();
        if is_installed("rg") {
            let file = folder.join("patterns");
            let expressions: Vec<&str> = patterns.all().iter().map(|it| it.expression.as_str()).collect();
            std::fs::write(&file, expressions.join("\n"))?;
            baselines.push(Baseline {
                name: "rg -c -f".to_owned(),
                // Without Unicode classes, as ours.
                command: format!("rg --no-config --no-unicode -c -f '{}' \"$1\"", file.display()),
                goals: OVER_RIPGREP.to_vec(),
            });
        } else {
            outln!("ripgrep is not installed (apt-get install ripgrep), so nothing is compared with it");
        }
        baselines.extend(self.baseline.iter().map(|command| Baseline {
            name: command.clone(),
            command: command.clone(),
            goals: vec![(2, OVER_OTHERS)],
        }));
        Ok(baselines)
    }
}

impl Baseline {
    fn run(&self, path: &Path) -> anyhow::Result<Duration> {
        let input = File::open(path)?;
        let started = Instant::now();
        let status = Command::new("sh")
            .args(["-c", &self.command, "sh"])
            .arg(path)
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .status()
            .context("cannot run sh")?;
        let time = started.elapsed();
        if !status.success() {
            let message = format!("the baseline `{}` failed ({status})", self.command);
            return Err(BadInput(message).into());
        }
        Ok(time)
    }
}

/// What the command does with findings.
struct Summed {
    counts: Counts,
    findings: Findings,
}

struct Findings {
    correlation: Correlation,
    tally: Tally,
}

impl Summed {
    fn new() -> Self {
        Self {
            counts: Counts::default(),
            findings: Findings {
                correlation: Correlation::default(),
                tally: Tally::new(1_000),
            },
        }
    }
}

impl Findings {
    fn add(&mut self, finding: meshproof::logs::Finding) {
        let tally = &mut self.tally;
        self.correlation.add(finding, &mut |it| tally.add(it));
    }

    fn finish(&mut self) {
        let tally = &mut self.tally;
        self.correlation.finish(&mut |it| tally.add(it));
    }
}

/// Reads the file as the command does.
fn read(path: &PathBuf, cores: usize) -> anyhow::Result<(Counts, Duration)> {
    let scanner = Scanner::new(Patterns::embedded()?);
    let started = Instant::now();
    let file = meshproof::logs::File {
        name: "access.log".to_owned(),
        file: File::open(path)?,
    };
    let mut summed = Summed::new();
    summed.counts = scan_file(scanner, &file, cores, &mut |finding| summed.findings.add(finding)).counts;
    summed.findings.finish();
    Ok((summed.counts, started.elapsed()))
}

/// The beginning of a file, over and over.
struct Repeated {
    file: std::io::Take<File>,
    size: u64,
    left: u64,
}

impl Repeated {
    fn new(path: &Path, size: u64, count: u64) -> std::io::Result<Self> {
        Ok(Self {
            file: File::open(path)?.take(size),
            size,
            left: count - 1,
        })
    }
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let read = self.file.read(buffer)?;
            if read > 0 || self.left == 0 {
                return Ok(read);
            }
            self.left -= 1;
            self.file.get_mut().seek(SeekFrom::Start(0))?;
            self.file.set_limit(self.size);
        }
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn speed(bytes: u64, time: Duration) -> String {
    let megabytes = as_f64(u128::from(bytes)) / 1e6;
    format!(
        "{:6.2} s, {:5.0} MB/s",
        time.as_secs_f64(),
        megabytes / time.as_secs_f64()
    )
}

#[expect(clippy::cast_precision_loss, reason = "sizes and times far below 2^52")]
const fn as_f64(number: u128) -> f64 {
    number as f64
}
