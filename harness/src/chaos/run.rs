//! The run: a healthy mesh that is watched, a fault, and the wait for somebody to say so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior};

use super::error::ChaosError;
use super::http::{Notified, Served, Server};
use super::monitoring::{Monitoring, MonitoringError, Targets};
use super::reader::Reader;
use super::report::{Alert, Report};
use super::ring::Ring;
use super::tools::Tools;
use crate::call::{Call, Connections, PodName};
use crate::envoy::admin::Admin;
use crate::logs::Patterns;
use crate::mesh::local::LocalMesh;
use crate::mesh::{Mesh, Settings};
use crate::outcome::OutcomeId;
use crate::probe::classify;
use crate::scenario::State;
use crate::visibility::{AccessLogs, Visibility};

/// Pause between calls: 20 requests a second over the whole mesh, as little as is still noticed in time.
const PACE: Duration = Duration::from_millis(50);
/// What the rules compare with: before the logs' metrics are known this long, nothing is news (rules.yaml).
const KNOWN_SINCE: &str = "count(meshproof_log_lines_total offset 1m)";
/// How long monitoring may take to know the mesh, beside the minute of the rules and two scrapes.
const KNOWN_DEADLINE: Duration = Duration::from_secs(180);

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The mesh, and what of it is broken.
    pub ring: Ring,
    /// The release of its proxies.
    pub istio: Version,
    /// How long it may take until alerts point to everything that is broken.
    pub deadline: Duration,
    /// How often Prometheus scrapes.
    pub interval: Duration,
    /// Prometheus and its Alertmanager.
    pub tools: Tools,
}

/// What is going on.
#[derive(Clone, Debug)]
pub enum Event {
    /// All proxies run, and so does monitoring.
    Standing {
        /// How many workloads.
        workloads: usize,
    },
    /// Monitoring knows the mesh, nothing failed, and this is broken now.
    Broken {
        /// Workloads.
        workloads: Vec<String>,
    },
    /// An alert came.
    Alerted(Alert),
}

/// Runs it. `progress` is told what is going on.
///
/// # Errors
/// When the mesh or its monitoring cannot be run, or something fails before it is broken. That nobody notices is no error.
pub async fn chaos(
    options: &Options,
    settings: &Settings,
    mut progress: impl FnMut(&Event) + Send,
) -> Result<Report, ChaosError> {
    let started = Instant::now();
    let visibility = Visibility::embedded()?;
    let settings = Settings {
        access_logs: AccessLogs::OursAndIstio(visibility),
        ..settings.clone()
    };
    // Dropped last: monitoring writes into its directory.
    let mut mesh = LocalMesh::new(settings)?;
    let state = options.ring.state(options.istio.clone())?;
    let calls = options.ring.calls();
    mesh.apply(state.desired(calls.clone(), Connections::Fresh))
        .await?;

    let (sender, alerts) = unbounded_channel();
    let reader = Arc::new(Reader::new(Patterns::embedded()?));
    let sockets = mesh.admin_sockets();
    let path = |pod: &PodName| format!("/pods/{pod}");
    let served = Served {
        reader: Arc::clone(&reader),
        proxies: sockets
            .iter()
            .map(|(pod, socket)| (path(pod), Admin::new(socket)))
            .collect(),
        statistics: visibility.statistics.patterns().join("|"),
        alerts: sender,
    };
    let folder = mesh.folder().join("monitoring");
    let server = Server::start(served)
        .await
        .map_err(|source| MonitoringError::SetUp {
            folder: folder.clone(),
            source,
        })?;
    let targets = Targets {
        address: server.address,
        proxies: sockets
            .iter()
            .map(|(pod, _)| {
                let name = format!("{}-{}", pod.workload.name, pod.ordinal);
                (path(pod), pod.workload.namespace.clone(), name)
            })
            .collect(),
        interval: options.interval,
    };
    let monitoring = Monitoring::start(&options.tools, &folder, &targets).await?;
    progress(&Event::Standing {
        workloads: options.ring.size,
    });
    let mut watch = Watch {
        mesh: &mut mesh,
        reader,
        calls: calls.clone(),
        next: 0,
        alerts,
        monitoring,
    };
    let healthy_calls = watch.until_known(targets.proxies.len()).await?;
    let setup_seconds = started.elapsed().as_secs_f64();
    let false_alarms: Vec<Alert> = watch.received(None);
    let mut report = Report {
        workloads: options.ring.size,
        broken: options
            .ring
            .broken()
            .map(|(workload, _)| (workload.to_string(), None))
            .collect(),
        fault: options.ring.fault().to_owned(),
        deadline_seconds: options.deadline.as_secs_f64(),
        first_failure_seconds: None,
        healthy_calls,
        calls: 0,
        failed_calls: 0,
        setup_seconds,
        false_alarms,
        alerts: Vec::new(),
        firing: BTreeMap::new(),
    };
    progress(&Event::Broken {
        workloads: report.broken.keys().cloned().collect(),
    });
    watch
        .until_noticed(options, state, &mut report, &mut progress)
        .await?;
    report.firing = watch.monitoring.firing().await?;
    drop(watch);
    mesh.down().await;
    Ok(report)
}

/// A mesh under traffic, and those who watch it.
struct Watch<'a> {
    mesh: &'a mut LocalMesh,
    reader: Arc<Reader>,
    calls: Vec<Call>,
    next: usize,
    alerts: UnboundedReceiver<Notified>,
    monitoring: Monitoring,
}

impl Watch<'_> {
    /// Makes the next call, and has its logs read.
    async fn call(&mut self) -> Result<(String, OutcomeId), ChaosError> {
        let call = &self.calls[self.next % self.calls.len()];
        self.next += 1;
        let evidence = self.mesh.call(call).await?;
        self.reader.read(&self.mesh.logs_of_call());
        Ok((call.to_string(), classify(&evidence).id))
    }

    /// Keeps calling until Prometheus has scraped every target and has known the logs' metrics for long enough.
    async fn until_known(&mut self, proxies: usize) -> Result<u64, ChaosError> {
        let deadline = Instant::now() + KNOWN_DEADLINE;
        let mut pace = pace();
        let mut made = 0;
        loop {
            pace.tick().await;
            let (call, outcome) = self.call().await?;
            made += 1;
            if !outcome.is_delivered() {
                return Err(ChaosError::NotHealthy { call, outcome });
            }
            // A query now and then: a scrape changes nothing between two.
            if made % 20 != 0 {
                continue;
            }
            let up = self.monitoring.value("count(up == 1)").await?.unwrap_or_default();
            let is_known = self.monitoring.value(KNOWN_SINCE).await?.is_some();
            if is_known && up > f64::from(u32::try_from(proxies).unwrap_or(u32::MAX)) {
                return Ok(made);
            }
            if Instant::now() > deadline {
                return Err(ChaosError::Unknown {
                    targets: proxies + 1,
                    up,
                    within: KNOWN_DEADLINE,
                });
            }
        }
    }

    /// Breaks what is to be broken, and keeps calling until alerts point to all of it, or time is up.
    async fn until_noticed(
        &mut self,
        options: &Options,
        mut state: State,
        report: &mut Report,
        progress: &mut (impl FnMut(&Event) + Send),
    ) -> Result<(), ChaosError> {
        options.ring.break_it(&mut state)?;
        let broken_at = Instant::now();
        self.mesh
            .apply(state.desired(self.calls.clone(), Connections::Fresh))
            .await?;
        let mut pace = pace();
        while broken_at.elapsed() <= options.deadline && report.broken.values().any(Option::is_none) {
            pace.tick().await;
            let (_, outcome) = self.call().await?;
            report.calls += 1;
            if !outcome.is_delivered() {
                report.failed_calls += 1;
                let elapsed = || broken_at.elapsed().as_secs_f64();
                report.first_failure_seconds.get_or_insert_with(elapsed);
            }
            for alert in self.received(Some(broken_at)) {
                progress(&Event::Alerted(alert.clone()));
                for (workload, upstreams) in options.ring.broken() {
                    if alert
                        .labels
                        .get("upstream")
                        .is_some_and(|it| upstreams.contains(it))
                        && let Some(noticed) = report.broken.get_mut(&workload.to_string())
                    {
                        *noticed = noticed.or(alert.seconds);
                    }
                }
                report.alerts.push(alert);
            }
        }
        Ok(())
    }

    /// The alerts that came since the last look.
    fn received(&mut self, broken_at: Option<Instant>) -> Vec<Alert> {
        let mut received = Vec::new();
        while let Ok(notified) = self.alerts.try_recv() {
            let Notified {
                labels,
                mut annotations,
                ..
            } = notified;
            received.push(Alert {
                labels,
                summary: annotations.remove("summary").unwrap_or_default(),
                seconds: broken_at.map(|it| it.elapsed().as_secs_f64()),
            });
        }
        received
    }
}

fn pace() -> tokio::time::Interval {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
