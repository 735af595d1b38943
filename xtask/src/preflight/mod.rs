//! `cargo xtask preflight`: what of a mesh is broken now, and what an upgrade will break.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use meshproof::audit::{AuditError, Baseline, Input, Report, Severity, audit};
use meshproof::envoy::binary::TerminalProgress;
use meshproof::istio::releases;
use meshproof::mesh::{Settings, sweep};
use meshproof::preflight::{ReplayError, replay};
use meshproof::report::audit as forms;
use semver::Version;

use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::mesh_input::MeshInput;

const DAY: Duration = Duration::from_hours(24);
/// Each takes a fraction of a second at each release.
const MOST_REPLAYED: usize = 20;

/// Say what of a mesh is broken now, what an upgrade will break, and why
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask preflight -f manifests/ --to 1.31.1                    a folder of manifests, Helm values, kustomizations
  kubectl get -A all,ns,pa,dr,vs,cm,mutatingwebhookconfigurations,nodes -o yaml | cargo xtask preflight -f - --to 1.31.1
  cargo xtask preflight --context staging --to 1.31.1                a cluster, read-only (manifests/rbac/preflight.yaml)
  cargo xtask preflight --bundle mesh.bundle --to 1.31.1             what `cargo xtask snapshot` saved
  cargo xtask preflight -f manifests/ --to 1.31.1 --fail-on medium --baseline accepted.yaml
  cargo xtask preflight -f manifests/ --to 1.31.1 --output sarif     for code scanning
  cargo xtask preflight -f manifests/ --to 1.31.1 --replay           make the risky calls on real Envoys

A baseline accepts findings by id, by code and object (a finding's first line), or by code:
  accept:
    - {finding: \"policy.duplicate@PeerAuthentication/shop/b\", reason: \"gone with #123\", until: 2027-01-31}

Exit code 1: findings at or above --fail-on. 3: not everything could be read, without --allow-incomplete.")]
pub(crate) struct Preflight {
    #[command(flatten)]
    mesh: MeshInput,

    /// The release to go to
    #[arg(long, value_name = "VERSION", value_parser = crate::release::release)]
    to: Version,

    /// The release the mesh is at [default: what the input says, else the minor before]
    #[arg(long, value_name = "VERSION", value_parser = crate::release::release)]
    istio: Option<Version>,

    /// The cluster's Kubernetes version, where the input has no nodes: 1.33 or 1.33.1
    #[arg(long, value_name = "VERSION", value_parser = releases::parse)]
    kubernetes: Option<Version>,

    /// Certificates that expire within so many days are findings
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    expires_within: u32,

    /// The least severity that ends with exit code 1
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = FailOn::High)]
    fail_on: FailOn,

    /// A file of accepted findings
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Do not end with exit code 3 where something could not be read
    #[arg(long)]
    allow_incomplete: bool,

    /// Make the risky calls on real Envoys of both releases
    #[arg(long)]
    replay: bool,

    /// Where scenarios of replayed calls are written [default: target/preflight in the current folder]
    #[arg(long, value_name = "DIR", requires = "replay")]
    scenarios: Option<PathBuf>,

    /// How to print the report
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FailOn {
    High,
    Medium,
    Low,
    Info,
}

/// How the report is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// For code scanning
    Sarif,
    /// For test reports
    Junit,
    /// For a pull request
    Markdown,
    /// For metrics
    Prometheus,
}

impl Preflight {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Some(mut input) = self.input()? else {
            return Ok(Exit::Interrupted);
        };
        let mut report = audit(&mut input).map_err(|error| match error {
            AuditError::NoSuchRelease { .. } => bad(error),
            AuditError::Data(_) => error.into(),
        })?;
        if self.replay && !self.replay(&input, &mut report)? {
            return Ok(Exit::Interrupted);
        }
        match self.print(&report) {
            // The reader has seen enough: `| head`.
            Err(error)
                if error
                    .downcast_ref()
                    .is_some_and(|it: &std::io::Error| it.kind() == ErrorKind::BrokenPipe) => {}
            printed => printed?,
        }
        Ok(self.exit(&report))
    }

    /// `None`: interrupted.
    fn input(&self) -> anyhow::Result<Option<Input>> {
        let Some((snapshot, mixed)) = self.mesh.read(&self.to)? else {
            return Ok(None);
        };
        let baseline = match &self.baseline {
            None => Baseline::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| bad(format!("cannot read {}: {error}", path.display())))?;
                Baseline::from_yaml(&text, &path.display().to_string())
                    .map_err(|error| bad(format!("the baseline cannot be read\n\n{error}")))?
            }
        };
        Ok(Some(Input {
            snapshot,
            mixed,
            current: self.istio.clone(),
            target: self.to.clone(),
            kubernetes: self.kubernetes.clone(),
            now: Timestamp::now(),
            horizon: DAY * self.expires_within,
            baseline,
        }))
    }

    /// Whether it came to its end.
    fn replay(&self, input: &Input, report: &mut Report) -> anyhow::Result<bool> {
        let interruptible = Interruptible::new()?;
        let settings = Settings {
            progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
            ..Settings::default()
        };
        let swept = sweep();
        tracing::info!(directories = swept.len(), "removed what killed runs left behind");
        let folder = self
            .scenarios
            .clone()
            .unwrap_or_else(|| PathBuf::from("target/preflight"));
        let replayed = replay(report, &input.snapshot, &settings, &folder, MOST_REPLAYED);
        match interruptible.run(replayed)? {
            None => Ok(false),
            Some(Err(ReplayError::Mesh(error))) => Err(error.into()),
            Some(replayed) => Ok(replayed.map(|()| true)?),
        }
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Text => forms::text(report),
            Output::Json => serde_json::to_string_pretty(&forms::json(report)?)?,
            Output::Sarif => serde_json::to_string_pretty(&forms::sarif(report))?,
            Output::Junit => forms::junit(report, self.fail_on.severity())?,
            Output::Markdown => forms::markdown(report),
            Output::Prometheus => forms::prometheus(report),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", text.trim_end())?;
        Ok(out.flush()?)
    }

    fn exit(&self, report: &Report) -> Exit {
        if report.worst() >= Some(self.fail_on.severity()) {
            Exit::Falsified
        } else if !report.incomplete.is_empty() && !self.allow_incomplete {
            Exit::CannotRun
        } else {
            Exit::Held
        }
    }
}

impl FailOn {
    const fn severity(self) -> Severity {
        match self {
            Self::High => Severity::High,
            Self::Medium => Severity::Medium,
            Self::Low => Severity::Low,
            Self::Info => Severity::Info,
        }
    }
}

fn bad(message: impl ToString) -> anyhow::Error {
    BadInput(message.to_string()).into()
}
