//! `cargo xtask logs`: what proxies log when mTLS fails, as outcomes.

mod cluster;
mod follow;
mod reproduce;
mod scrape;
mod self_test;
mod visibility;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use meshproof::logs::{
    Correlation, Counts, File, Finding, Input, Metrics, Names, Patterns, Scanned, Scanner, Summary, Tally,
    scan_file,
};

use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::output::outln;

/// Read logs of Istio's proxies, and say which mTLS failures they tell of
///
/// Takes access logs (text and JSON), Envoy's own log, and those of pilot-agent, istiod and ztunnel, in any mixture,
/// with the prefixes of kubectl and stern, packed with gzip or zstandard or not. Where a client's line leaves open what
/// happened, the line that the server wrote about the same connection decides: give both ends' logs in one run.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kubectl logs -n payments deploy/checkout -c istio-proxy | cargo xtask logs
  cargo xtask logs checkout.log payment.log.gz            both ends of a call
  stern -A . -c istio-proxy | cargo xtask logs - --output json
  cargo xtask logs --follow --listen 127.0.0.1:9464 /var/log/istio/access.log
  cargo xtask logs --context staging --namespace payments --follow
  cargo xtask logs --explain-visibility                   what Istio hides by default
  cargo xtask logs --self-test                            what logs tell of every scenario

Large files: cargo run --release -p xtask -- logs FILE")]
pub(crate) struct Logs {
    /// Files, or `-` for standard input, which is read if none is given
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    cluster: cluster::Cluster,

    /// How to print what is found
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,

    /// What Prometheus metrics are called
    #[arg(long, value_enum, default_value_t = MetricNames::Meshproof, value_name = "NAMES")]
    metric_names: MetricNames,

    /// Upstreams counted one by one; those beyond are summed up
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    max_upstreams: u32,

    /// How many cores read a file that is not packed [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    cores: Option<u16>,

    /// Keep reading as files grow, and print each finding once its other end had time to be read
    #[arg(long)]
    follow: bool,

    /// Answer GET /metrics at this address, for Prometheus, as long as logs are read
    #[arg(long, value_name = "ADDR", requires = "follow")]
    listen: Option<SocketAddr>,

    /// Say which failures Istio shows by default, which not, and how to have it show them
    #[arg(long, conflicts_with_all = ["files", "context", "follow", "output"])]
    explain_visibility: bool,

    /// Run scenarios on the local tier (all, or those named) and hold what their logs tell against what was observed:
    /// exit 1 if anything is missed with manifests/visibility applied, or a healthy call is taken for a failed one
    #[arg(long, value_name = "SCENARIO", num_args = 0.., conflicts_with_all = ["files", "context", "follow", "explain_visibility"])]
    self_test: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One object per finding.
    Json,
    /// Metrics in the exposition format.
    Prometheus,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum MetricNames {
    /// `meshproof_mtls_failures_total` and others.
    Meshproof,
    /// Those of the postmortem: `istio_mtls_error_total`, `istio_log_lines_total`.
    Postmortem,
}

impl Logs {
    pub(crate) fn run(mut self) -> anyhow::Result<Exit> {
        if self.explain_visibility {
            outln!("{}", visibility::explain(Patterns::embedded()?).trim_end());
            return Ok(Exit::Held);
        }
        if let Some(names) = &self.self_test {
            return self_test::run(names, self.output);
        }
        let pods = self.cluster.pods();
        if self.files.is_empty() && pods.is_none() {
            self.files.push("-".into());
        }
        if self.follow {
            return follow::run(&self);
        }
        if let Some(pods) = pods {
            return self.read_cluster(&pods);
        }
        let mut report = Report::new(&self);
        for path in &self.files {
            self.read(path, &mut report)?;
        }
        report.finish(&self)?;
        Ok(Exit::Held)
    }

    fn read(&self, path: &Path, report: &mut Report) -> anyhow::Result<()> {
        let scanner = Scanner::new(Patterns::embedded()?);
        let name = path.display().to_string();
        let mut failed = Ok(());
        let mut take = |finding| {
            if failed.is_ok() {
                failed = report.take(finding);
            }
        };
        let scanned = match open(path)? {
            Input::Plain(file) => scan_file(
                scanner,
                &File {
                    name: name.clone(),
                    file,
                },
                self.cores(),
                &mut take,
            ),
            Input::Stream(stream) => scanner.scan(&name, stream, &mut take),
        };
        failed?;
        report.read(&name, scanned);
        Ok(())
    }

    /// What the pods of a cluster have logged so far.
    fn read_cluster(&self, pods: &cluster::Pods) -> anyhow::Result<Exit> {
        let scanner = Scanner::new(Patterns::embedded()?);
        let (name, mut report) = (pods.name(), Report::new(self));
        let (sender, lines) = pods.lines();
        let work = async {
            let scanning = tokio::task::spawn_blocking(move || {
                let mut failed = Ok(());
                let scanned = scanner.scan(&name, lines, &mut |finding| {
                    if failed.is_ok() {
                        failed = report.take(finding);
                    }
                });
                report.read(&name, scanned);
                failed.map(|()| report)
            });
            let unread = pods.send(sender).await?;
            anyhow::Ok((unread, scanning.await??))
        };
        let Some(read) = Interruptible::new()?.run(work)? else {
            return Ok(Exit::Interrupted);
        };
        let (unread, mut report) = read?;
        report.finish(self)?;
        for error in &unread {
            Report::warn(&format!("{error}; what was read of it counts"));
        }
        Ok(if unread.is_empty() {
            Exit::Held
        } else {
            Exit::CannotRun
        })
    }

    fn cores(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.cores.map_or_else(all, usize::from)
    }
}

fn open(path: &Path) -> Result<Input, BadInput> {
    if path == Path::new("-") {
        return Input::stream(std::io::stdin())
            .map_err(|error| BadInput(format!("cannot read standard input: {error}")));
    }
    Input::open(path).map_err(|error| BadInput(error.to_string()))
}

/// What was found so far.
struct Report {
    correlation: Correlation,
    tally: Tally,
    counts: Counts,
    output: Output,
    names: Names,
    /// Whether findings are printed one by one in text, too.
    is_live: bool,
}

impl Report {
    fn new(command: &Logs) -> Self {
        Self {
            correlation: Correlation::default(),
            tally: Tally::new(usize::try_from(command.max_upstreams).unwrap_or(usize::MAX)),
            counts: Counts::default(),
            output: command.output,
            names: match command.metric_names {
                MetricNames::Meshproof => Names::Ours,
                MetricNames::Postmortem => Names::Postmortem,
            },
            is_live: command.follow,
        }
    }

    fn take(&mut self, finding: Finding) -> anyhow::Result<()> {
        self.settle(|correlation, settled| correlation.add(finding, settled))
    }

    /// Lets the correlation settle what it will, counts that, and prints it where findings are printed.
    fn settle(&mut self, work: impl FnOnce(&mut Correlation, &mut dyn FnMut(Finding))) -> anyhow::Result<()> {
        let mut settled = Vec::new();
        work(&mut self.correlation, &mut |finding| settled.push(finding));
        for finding in settled {
            match self.output {
                Output::Json => outln!("{}", serde_json::to_string(&finding)?),
                Output::Text if self.is_live => {
                    outln!("{}", one_line(&finding));
                }
                _ => {}
            }
            self.tally.add(finding);
        }
        Ok(())
    }

    fn read(&mut self, name: &str, scanned: Scanned) {
        self.counts += scanned.counts;
        Self::warn_of(name, scanned.broken);
    }

    fn warn_of(name: &str, broken: Option<std::io::Error>) {
        if let Some(error) = broken {
            Self::warn(&format!(
                "{name} ends before its end: {error}; what came before counts"
            ));
        }
    }

    #[expect(clippy::print_stderr, reason = "standard output holds findings only")]
    fn warn(text: &str) {
        eprintln!("warning: {text}");
    }

    /// Nothing more will be read.
    fn finish(&mut self, command: &Logs) -> anyhow::Result<()> {
        self.settle(Correlation::finish)?;
        let (early, repeated) = (self.correlation.early, self.correlation.repeated);
        match self.output {
            Output::Text => {
                let scenarios = reproduce::scenarios();
                let summary = Summary {
                    tally: &self.tally,
                    counts: &self.counts,
                    scenarios: &scenarios,
                };
                outln!("{}", summary.render());
                if repeated > 0 {
                    outln!(
                        "{repeated} lines are of requests that other lines tell of; each request counts once"
                    );
                }
            }
            Output::Prometheus => outln!("{}", self.metrics().trim_end()),
            Output::Json => {}
        }
        if early > 0 && command.output != Output::Prometheus {
            Self::warn(&format!(
                "{early} findings were counted before all was read, because too many waited for the line of their other end"
            ));
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        Metrics {
            tally: &self.tally,
            counts: &self.counts,
            names: self.names,
        }
        .render()
    }
}

fn one_line(finding: &Finding) -> String {
    let by = finding
        .side
        .map_or_else(String::new, |side| format!(" by {side}"));
    let time = finding.time.as_deref().unwrap_or("-");
    let upstream = finding.upstream.as_deref().unwrap_or("-");
    let from = finding.workload.as_deref().unwrap_or("-");
    format!(
        "{time} {}{by} {from} -> {upstream} ({})",
        finding.outcome, finding.pattern
    )
}
