//! `cargo xtask bench preflight`: how fast a bundle of a large mesh is audited, how that grows, that nothing is found in it,
//! and how fast risky calls are made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use meshproof::audit::{Baseline, Finding, Input, Severity, audit};
use meshproof::bench::{clean_mesh, peak_of_this};
use meshproof::envoy::binary::TerminalProgress;
use meshproof::mesh::Settings;
use meshproof::preflight::replay;
use meshproof::snapshot::{Mixed, Names, Snapshot};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::judge;
use crate::exit::Exit;
use crate::interrupt::Interruptible;
use crate::output::outln;

/// What a bundle of 10,000 pods may take, from file to report.
const SECONDS: f64 = 2.0;
const MEGABYTES: u64 = 500;
/// What four times the mesh may take, in times.
const GROWTH: f64 = 5.0;
/// What ten risky calls may take, at both releases.
const REPLAY_SECONDS: f64 = 10.0;
const REPLAYED: usize = 10;
const MONTH: Duration = Duration::from_hours(30 * 24);

/// Measure an audit of a large mesh in which nothing is wrong, and ten replays
///
/// A bundle of five pods a workload, a Service each, and policies; and ten risky calls made on real
/// proxies.
///
///   yaml    the same mesh, manifests to objects (for comparison)
///   read    bundle to objects
///   audit   objects to report
///   replay  ten calls of ten findings, at two releases
///
/// Read and audit run in a process of their own, whose memory is measured. Before it, a quarter of
/// the mesh: the time must not grow much more than the mesh did. Needs optimisation to mean
/// anything:
///
///   cargo run --release -p xtask -- bench preflight
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Preflight {
    /// How many workloads, each with five pods and a Service
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    workloads: usize,

    /// How many policies, half of them PeerAuthentications and half DestinationRules
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    policies: usize,

    /// Exit 1 if a goal is missed
    #[arg(long)]
    check: bool,

    /// Audit this bundle and print what it took, as the process of its own does
    #[arg(long, value_name = "FILE", hide = true)]
    bundle: Option<PathBuf>,
}

impl Preflight {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if let Some(bundle) = &self.bundle {
            outln!("{}", serde_json::to_string(&Audited::of(bundle)?)?);
            return Ok(Exit::Held);
        }
        if cfg!(debug_assertions) {
            outln!("not optimised: use cargo run --release -p xtask -- bench preflight");
        }
        let quarter = Measured::of(self.workloads / 4, self.policies / 4)?;
        outln!("{}", quarter.text());
        let whole = Measured::of(self.workloads, self.policies)?;
        outln!("{}", whole.text());
        let growth = whole.audited.total() / quarter.audited.total();
        outln!("growth: 4 times the mesh take {growth:.1} times the time");
        let Some(replay) = replay_seconds()? else {
            return Ok(Exit::Interrupted);
        };
        outln!("{REPLAYED} risky calls\n  replay  {replay:.1} s");
        let memory = whole.audited.megabytes;
        let goals = [
            (format!("{SECONDS} s"), whole.audited.total() <= SECONDS),
            (format!("{MEGABYTES} MB"), memory.is_none_or(|it| it <= MEGABYTES)),
            (format!("growth {GROWTH}"), growth <= GROWTH),
            (
                "no finding above info".to_owned(),
                whole.audited.found == 0 && quarter.audited.found == 0,
            ),
            (format!("replay {REPLAY_SECONDS} s"), replay <= REPLAY_SECONDS),
        ];
        Ok(judge(&goals, self.check))
    }
}

/// What a bundle took.
#[derive(Deserialize, Serialize)]
struct Audited {
    read: f64,
    audit: f64,
    /// At most; unknown on some systems.
    megabytes: Option<u64>,
    /// Findings above info.
    found: usize,
}

impl Audited {
    fn of(bundle: &Path) -> anyhow::Result<Self> {
        let mut snapshot = Snapshot::new(CURRENT);
        let mut mixed = Mixed::default();
        let started = Instant::now();
        snapshot.load_bundle(bundle, &mut mixed)?;
        let read = started.elapsed();
        let started = Instant::now();
        let report = audit(&mut input(snapshot, mixed))?;
        let is_above = |it: &&Finding| it.severity > Severity::Info;
        Ok(Self {
            read: read.as_secs_f64(),
            audit: started.elapsed().as_secs_f64(),
            megabytes: peak_of_this().map(|it| it / 1024 / 1024),
            found: report.findings.iter().filter(is_above).count(),
        })
    }

    fn total(&self) -> f64 {
        self.read + self.audit
    }
}

struct Measured {
    workloads: usize,
    policies: usize,
    yaml: Duration,
    kilobytes: u64,
    audited: Audited,
}

impl Measured {
    fn of(workloads: usize, policies: usize) -> anyhow::Result<Self> {
        let text = clean_mesh(workloads, policies);
        let mut snapshot = Snapshot::new(CURRENT);
        let mut mixed = Mixed::default();
        let started = Instant::now();
        snapshot.add_mixed(&text, "bench", &mut mixed);
        let yaml = started.elapsed();
        let mut file = tempfile::NamedTempFile::new()?;
        snapshot.write_bundle(&mixed, Names::Kept, Timestamp::now(), &mut file)?;
        let this = std::env::current_exe()?;
        let child = Command::new(this)
            .args(["bench", "preflight", "--bundle"])
            .arg(file.path())
            .output()?;
        anyhow::ensure!(
            child.status.success(),
            "the audit of a bundle failed: {}",
            String::from_utf8_lossy(&child.stderr)
        );
        Ok(Self {
            workloads,
            policies,
            yaml,
            kilobytes: file.as_file().metadata()?.len() / 1024,
            audited: serde_json::from_slice(&child.stdout)?,
        })
    }

    fn text(&self) -> String {
        let memory = match self.audited.megabytes {
            None => "unknown here".to_owned(),
            Some(megabytes) => format!("{megabytes} MB at most"),
        };
        format!(
            "{} pods, {} Services, {} policies, a bundle of {} kB\n  yaml    {:.3} s\n  read    {:.3} s\n  audit   {:.3} s, {} \
             findings above info\n  memory  {memory}",
            self.workloads * 5,
            self.workloads,
            self.policies,
            self.kilobytes,
            self.yaml.as_secs_f64(),
            self.audited.read,
            self.audited.audit,
            self.audited.found
        )
    }
}

const CURRENT: Version = Version::new(1, 30, 3);

fn input(snapshot: Snapshot, mixed: Mixed) -> Input {
    Input {
        snapshot,
        mixed,
        current: Some(CURRENT),
        target: Version::new(1, 31, 1),
        kubernetes: None,
        now: Timestamp::now(),
        horizon: MONTH,
        baseline: Baseline::default(),
    }
}

/// How long ten calls take that ten findings are about; `None`: interrupted.
fn replay_seconds() -> anyhow::Result<Option<f64>> {
    let mut snapshot = Snapshot::new(CURRENT);
    let mut mixed = Mixed::default();
    snapshot.add_mixed(&broken_mesh(REPLAYED), "bench", &mut mixed);
    let mut input = input(snapshot, mixed);
    let mut report = audit(&mut input)?;
    let interruptible = Interruptible::new()?;
    let settings = Settings {
        progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
        ..Settings::default()
    };
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let replayed = replay(&mut report, &input.snapshot, &settings, folder.path(), REPLAYED);
    let Some(replayed) = interruptible.run(replayed)? else {
        return Ok(None);
    };
    replayed?;
    let confirmed = report.replayed.iter().filter(|it| it.confirmed).count();
    anyhow::ensure!(
        confirmed == REPLAYED,
        "{confirmed} of {REPLAYED} calls were confirmed"
    );
    Ok(Some(started.elapsed().as_secs_f64()))
}

/// So many namespaces, in each of which a rule sends plaintext to a STRICT server.
fn broken_mesh(namespaces: usize) -> String {
    (0..namespaces)
        .map(|n| {
            let workload = |name: &str| {
                format!(
                    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: ns{n}}}\nspec: {{template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: app, ports: [{{containerPort: 8080}}]}}]}}}}}}\n---\n"
                )
            };
            format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: ns{n}, labels: {{istio-injection: enabled}}}}\n---\n{}{}\
                 apiVersion: v1\nkind: Service\nmetadata: {{name: server, namespace: ns{n}}}\nspec: {{selector: {{app: server}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n---\n\
                 apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: plain, namespace: ns{n}}}\nspec: {{host: server, exportTo: ['.'], trafficPolicy: {{tls: {{mode: DISABLE}}}}}}\n---\n\
                 apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: strict, namespace: ns{n}}}\nspec: {{mtls: {{mode: STRICT}}}}\n---\n",
                workload("client"),
                workload("server")
            )
        })
        .collect()
}
