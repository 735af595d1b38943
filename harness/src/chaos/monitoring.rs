//! A real Prometheus and a real Alertmanager, with the rules and the route of `manifests/alerts`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use super::http::get;
use super::tools::Tools;
use crate::child::{Leashed, spawn};
use crate::network_namespace::NetworkNamespace;

/// The rules.
const RULES: &str = include_str!("../../../manifests/alerts/rules.yaml");
/// The route.
const ROUTE: &str = include_str!("../../../manifests/alerts/alertmanager.yaml");

/// How long they may take to be ready. Measured: below a second.
const READY_DEADLINE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why they could not be run.
#[derive(Debug, thiserror::Error)]
pub enum MonitoringError {
    /// A file could not be written, or nothing could be listened on.
    #[error("cannot set monitoring up in {folder}: {source}")]
    SetUp {
        /// Where.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The embedded route is not what it should be.
    #[error("manifests/alerts/alertmanager.yaml: {0}")]
    Route(String),
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program ended, or never got ready.
    #[error("{program} {what}; its last words:\n{last_words}")]
    NotReady {
        /// The program.
        program: PathBuf,
        /// What it did.
        what: String,
        /// The end of its log.
        last_words: String,
    },
    /// Prometheus does not answer a query.
    #[error("prometheus does not answer {query}: {reason}")]
    Query {
        /// The query.
        query: String,
        /// Why.
        reason: String,
    },
}

/// What is scraped.
pub(super) struct Targets {
    /// Where everything is served.
    pub(super) address: SocketAddr,
    /// Path, namespace and pod of every proxy.
    pub(super) proxies: Vec<(String, String, String)>,
    /// How often.
    pub(super) interval: Duration,
}

/// Both programs. Dropping this kills them and waits until they are gone.
pub(super) struct Monitoring {
    prometheus: Program,
    alertmanager: Program,
}

impl Monitoring {
    /// Starts both in `folder`, and waits until they are ready.
    pub(super) async fn start(
        tools: &Tools,
        folder: &Path,
        targets: &Targets,
    ) -> Result<Self, MonitoringError> {
        let set_up = |source| MonitoringError::SetUp {
            folder: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(set_up)?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).map(|()| path).map_err(set_up)
        };
        let (at_alertmanager, at_prometheus) = (free().map_err(set_up)?, free().map_err(set_up)?);
        let route = write("alertmanager.json", &route(targets.address)?.to_string())?;
        write("rules.yaml", RULES)?;
        let config = write("prometheus.json", &scraping(targets, at_alertmanager).to_string())?;

        let mut command = Command::new(&tools.alertmanager);
        command
            .arg(flag("config.file", &route))
            .arg(flag("storage.path", &folder.join("alertmanager")))
            .arg(format!("--web.listen-address={at_alertmanager}"))
            // Nobody to gossip with.
            .arg("--cluster.listen-address=");
        let alertmanager = Program::start(command, at_alertmanager, &folder.join("alertmanager.log")).await?;
        let mut command = Command::new(&tools.prometheus);
        command
            .arg(flag("config.file", &config))
            .arg(flag("storage.tsdb.path", &folder.join("prometheus")))
            .arg(format!("--web.listen-address={at_prometheus}"));
        let prometheus = Program::start(command, at_prometheus, &folder.join("prometheus.log")).await?;
        let mut monitoring = Self {
            prometheus,
            alertmanager,
        };
        monitoring.alertmanager.ready().await?;
        monitoring.prometheus.ready().await?;
        Ok(monitoring)
    }

    /// The value of a query that has one; `None` where nothing matches.
    pub(super) async fn value(&mut self, query: &str) -> Result<Option<f64>, MonitoringError> {
        let answer = self.query(query).await?;
        Ok(answer.pointer("/0").and_then(value_of))
    }

    /// The alerts that are firing, how many of each name, whether somebody is told of them or not.
    pub(super) async fn firing(&mut self) -> Result<BTreeMap<String, f64>, MonitoringError> {
        let answer = self
            .query("count by (alertname) (ALERTS{alertstate=\"firing\"})")
            .await?;
        let of_name = |it: &Value| {
            Some((
                it.pointer("/metric/alertname")?.as_str()?.to_owned(),
                value_of(it)?,
            ))
        };
        Ok(answer
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(of_name)
            .collect())
    }

    /// The instant vector that a query gives.
    async fn query(&mut self, query: &str) -> Result<Value, MonitoringError> {
        self.alertmanager.check_alive()?;
        self.prometheus.check_alive()?;
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let failed = |reason: String| MonitoringError::Query {
            query: query.to_owned(),
            reason,
        };
        let path = format!("/api/v1/query?query={encoded}");
        let answer = get(self.prometheus.address, &path).await.map_err(failed)?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| failed(error.to_string()))?;
        Ok(answer
            .pointer_mut("/data/result")
            .map(Value::take)
            .unwrap_or_default())
    }
}

fn value_of(sample: &Value) -> Option<f64> {
    sample.pointer("/value/1")?.as_str()?.parse().ok()
}

/// One program and where it listens.
struct Program {
    path: PathBuf,
    address: SocketAddr,
    log: PathBuf,
    child: Leashed,
}

impl Program {
    async fn start(mut command: Command, address: SocketAddr, log: &Path) -> Result<Self, MonitoringError> {
        let path = PathBuf::from(command.as_std().get_program());
        let failed = |source| MonitoringError::Start {
            program: path.clone(),
            source,
        };
        let out = std::fs::File::create(log).map_err(failed)?;
        command
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(failed)?)
            .stderr(out)
            // Out of the terminal's process group: Ctrl-C is for the harness, which ends it in order.
            .process_group(0)
            .kill_on_drop(true);
        Ok(Self {
            child: spawn(NetworkNamespace::own(), command).await.map_err(failed)?,
            path: path.clone(),
            address,
            log: log.to_owned(),
        })
    }

    async fn ready(&mut self) -> Result<(), MonitoringError> {
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            let Err(reason) = get(self.address, "/-/ready").await else {
                return Ok(());
            };
            self.check_alive()?;
            if Instant::now() > deadline {
                let what = format!("was not ready within {READY_DEADLINE:?} ({reason})");
                return Err(self.not_ready(what));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn check_alive(&mut self) -> Result<(), MonitoringError> {
        match self.child.ended() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.not_ready(format!("ended ({status})"))),
            Err(error) => Err(self.not_ready(error.to_string())),
        }
    }

    fn not_ready(&self, what: String) -> MonitoringError {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        MonitoringError::NotReady {
            program: self.path.clone(),
            what,
            last_words: lines[lines.len().saturating_sub(5)..].join("\n"),
        }
    }
}

fn flag(name: &str, path: &Path) -> std::ffi::OsString {
    let mut flag = std::ffi::OsString::from(format!("--{name}="));
    flag.push(path);
    flag
}

/// An address that nobody listens at. Both programs want to be told theirs.
fn free() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The route, with every webhook at `address`. JSON is YAML.
fn route(address: SocketAddr) -> Result<Value, MonitoringError> {
    let mut route: Value =
        serde_saphyr::from_str(ROUTE).map_err(|error| MonitoringError::Route(error.to_string()))?;
    let receivers = route["receivers"].as_array_mut().into_iter().flatten();
    let webhooks = receivers
        .filter_map(|it| it["webhook_configs"].as_array_mut())
        .flatten();
    let mut count = 0;
    for webhook in webhooks {
        webhook["url"] = json!(format!("http://{address}/alerts"));
        count += 1;
    }
    if count == 0 {
        return Err(MonitoringError::Route("no receiver has a webhook".to_owned()));
    }
    Ok(route)
}

fn scraping(targets: &Targets, alertmanager: SocketAddr) -> Value {
    let at = targets.address.to_string();
    let proxies: Vec<Value> = targets
        .proxies
        .iter()
        .map(|(path, namespace, pod)| {
            json!({"targets": [at], "labels": {"__metrics_path__": path, "namespace": namespace, "pod": pod}})
        })
        .collect();
    let interval = format!("{}ms", targets.interval.as_millis());
    json!({
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.to_string()]}]}]},
        "scrape_configs": [
            {"job_name": "meshproof", "static_configs": [{"targets": [at]}]},
            {"job_name": "envoy-stats", "static_configs": proxies},
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_go_where_this_run_listens() {
        let route = route(SocketAddr::from((Ipv4Addr::LOCALHOST, 7))).unwrap();
        assert_eq!(
            route["receivers"][0]["webhook_configs"][0]["url"],
            "http://127.0.0.1:7/alerts"
        );
    }
}
