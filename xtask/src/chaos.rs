//! `cargo xtask chaos`: whether anybody would notice.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use meshproof::chaos::{Alert, Event, Options, Report, Ring, Tools, chaos};
use meshproof::envoy::binary::{Overrides, TerminalProgress};
use meshproof::mesh::{Settings, sweep};
use semver::Version;

use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::release::release;
use crate::scenario::Output;

/// Break part of a large mesh, and see how long it takes until an alert says so
///
/// Workloads with a real Envoy each call each other in a ring. Their logs (as manifests/visibility has them) and their
/// statistics are scraped by a real Prometheus with the rules in manifests/alerts, and its alerts reach a webhook through
/// a real Alertmanager with the route there. Once Prometheus has known the healthy mesh for more than a minute, a
/// fraction of the workloads gets a fault. Exit 1 if it is not noticed within the deadline, or something is before.
///
/// A proxy takes about 50 MB.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask chaos                                  one of a hundred workloads, noticed within two minutes
  cargo xtask chaos --workloads 20 --fraction 0.2 --fault foreign-root --output json
  cargo xtask chaos --prometheus /opt/prometheus/prometheus --alertmanager /opt/alertmanager/alertmanager")]
pub(crate) struct Chaos {
    /// How many workloads
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..=1000))]
    workloads: u16,

    /// How large a part of them is broken, at least one
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    fraction: f64,

    /// How long it may take until alerts point to all that is broken
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration)]
    deadline: Duration,

    /// What is wrong with them: a fault that takes nothing but a workload
    #[arg(long, value_name = "FAULT", default_value = "expired-leaf")]
    fault: String,

    /// What the broken ones are drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// How often Prometheus scrapes
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    scrape_interval: Duration,

    /// The release of the proxies
    #[arg(long, value_name = "VERSION", default_value = "1.30.3", value_parser = release)]
    istio: Version,

    /// Prometheus [default: from PATH]
    #[arg(long, value_name = "PATH")]
    prometheus: Option<PathBuf>,

    /// Its Alertmanager [default: from PATH]
    #[arg(long, value_name = "PATH")]
    alertmanager: Option<PathBuf>,

    /// Use this binary for an Istio release, for example 1.30.3=/opt/envoy
    #[arg(long, value_name = "VERSION=PATH")]
    proxy: Vec<String>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Chaos {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let ring = Ring::new(usize::from(self.workloads), self.fraction, &self.fault, self.seed)
            .map_err(|error| BadInput(error.to_string()))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let options = Options {
            ring,
            istio: self.istio,
            deadline: self.deadline,
            interval: self.scrape_interval,
            tools: Tools::find(self.prometheus, self.alertmanager, &path)?,
        };
        let interruptible = Interruptible::new()?;
        let settings = Settings {
            overrides: Overrides::from_flags(&self.proxy)?,
            progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
            ..Settings::default()
        };
        let swept = sweep();
        tracing::info!(directories = swept.len(), "removed what killed runs left behind");
        let output = self.output;
        let progress = move |event: &Event| {
            if output == Output::Text {
                outln!("{}", happening(event));
            }
        };
        let Some(report) = interruptible.run(chaos(&options, &settings, progress))? else {
            return Ok(Exit::Interrupted);
        };
        let report = report?;
        match self.output {
            Output::Text => outln!("{}", text(&report)),
            Output::Json => outln!("{}", json(&report)?),
        }
        Ok(if report.is_held() {
            Exit::Held
        } else {
            Exit::Falsified
        })
    }
}

fn happening(event: &Event) -> String {
    match event {
        Event::Standing { workloads } => {
            format!("{workloads} workloads stand; waiting until Prometheus has known them for a minute")
        }
        Event::Broken { workloads } => format!("broken: {}", workloads.join(", ")),
        Event::Alerted(alert) => alerted(alert),
    }
}

fn alerted(alert: &Alert) -> String {
    let name = alert.labels.get("alertname").map_or("", String::as_str);
    let when = alert
        .seconds
        .map_or_else(|| "before".to_owned(), |seconds| format!("{seconds:.1} s"));
    format!("  {when:>8}  {name}: {}", alert.summary)
}

fn text(report: &Report) -> String {
    let mut lines: Vec<String> = report
        .false_alarms
        .iter()
        .map(|alert| format!("false alarm{}", alerted(alert)))
        .collect();
    for (workload, noticed) in &report.broken {
        lines.push(match noticed {
            Some(seconds) => format!("{workload} ({}) was noticed after {seconds:.1} s", report.fault),
            None => format!("{workload} ({}) was not noticed", report.fault),
        });
    }
    if let Some(seconds) = report.first_failure_seconds {
        lines.push(format!("the first call failed after {seconds:.1} s"));
    }
    let firing: Vec<String> = report
        .firing
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    lines.push(format!("firing in Prometheus: {}", firing.join(", ")));
    let verdict = if report.is_held() { "held" } else { "falsified" };
    lines.push(format!(
        "{verdict:10} {} of {} workloads broken, noticed {} (deadline {:.0} s); {} calls before with {} false alarms, {} after of which {} failed",
        report.broken.len(),
        report.workloads,
        report
            .time_to_detection()
            .map_or_else(|| "too late or never".to_owned(), |it| format!("in {it:.1} s")),
        report.deadline_seconds,
        report.healthy_calls,
        report.false_alarms.len(),
        report.calls,
        report.failed_calls,
    ));
    lines.join("\n")
}

fn json(report: &Report) -> anyhow::Result<String> {
    let mut object = serde_json::to_value(report)?;
    object["timeToDetectionSeconds"] = serde_json::to_value(report.time_to_detection())?;
    object["held"] = report.is_held().into();
    Ok(object.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("a number above 0 and not above 1, for example 0.01".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| format!("{error} (for example 120s or 2m)"))?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be longer than nothing".to_owned()),
    }
}
