//! A sidecar of a pod, asked through its agent: `pilot-agent request` passes on what Envoy's admin interface answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use semver::Version;
use serde_json::Value;
use tokio::time::Instant;

use super::instruments::MARK;
use crate::envoy::answers;
use crate::istio::injection::PROXY;
use crate::kubernetes::{Container, Context, Cursor};
use crate::mesh::MeshError;
use crate::probe::evidence::CertificateInUse;

use super::pods::Running;

/// How long an answer may take. Over exec one takes some 100 ms.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a state may take from istiod to a sidecar: istiod waits for more up to ten seconds (`PILOT_DEBOUNCE_MAX`).
const IN_FORCE_WITHIN: Duration = Duration::from_secs(90);
/// How often what no proxy announces is looked at, over exec.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A sidecar.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    context: Context,
    container: Container,
    log: Cursor,
}

impl Proxy {
    /// The sidecar of a pod, if it has one.
    pub(super) fn of(context: &Context, pod: &Running) -> Option<Self> {
        pod.proxy.as_ref()?;
        Some(Self {
            context: context.clone(),
            container: pod.container(PROXY),
            log: Cursor::default(),
        })
    }

    pub(super) const fn container(&self) -> &Container {
        &self.container
    }

    /// What it has logged since it was last read.
    pub(super) async fn log(&mut self) -> Result<Vec<String>, MeshError> {
        Ok(self.context.log(&self.container, &mut self.log).await?)
    }

    pub(super) async fn stats_of_calls(&self) -> Result<BTreeMap<String, i64>, MeshError> {
        Ok(answers::stats(&self.get(&answers::stats_of_calls()).await?))
    }

    pub(super) async fn certificates(&self) -> Result<Vec<CertificateInUse>, MeshError> {
        let path = "/certs";
        answers::certificates(&self.get(path).await?).map_err(|error| self.unreadable(path, &error))
    }

    /// The secrets that it waits for.
    pub(super) async fn missing_secrets(&self) -> Result<Vec<String>, MeshError> {
        let path = answers::secrets("dynamic_warming_secrets");
        let found = answers::secret_versions(&self.get(&path).await?);
        Ok(found
            .map_err(|error| self.unreadable(&path, &error))?
            .into_keys()
            .collect())
    }

    /// The release of its Envoy.
    pub(super) async fn release(&self) -> Result<Option<Version>, MeshError> {
        Ok(answers::release(&self.get("/server_info").await?))
    }

    /// The trust domains whose clients its inbound listener accepts.
    pub(super) async fn accepted_trust_domains(&self) -> Result<Vec<String>, MeshError> {
        let mut found = BTreeSet::new();
        trust_domains(&self.listeners().await?, &mut found);
        Ok(found.into_iter().collect())
    }

    /// Waits until listeners and clusters of state `number` are in force, and none of any state is being made ready.
    pub(super) async fn in_force(&self, number: u64) -> Result<(), MeshError> {
        self.until(|| async {
            let (listeners, clusters) = tokio::try_join!(self.listeners(), self.clusters())?;
            Ok(waits_for(&listeners, &clusters, &number.to_string()))
        })
        .await
    }

    /// Waits until a cluster leads to these addresses and no others.
    pub(super) async fn leads_to(
        &self,
        cluster: &str,
        addresses: &BTreeSet<String>,
    ) -> Result<(), MeshError> {
        self.until(|| async {
            let path = "/clusters?format=json";
            let all = self.json(path).await?;
            let found = endpoints(&all, cluster);
            Ok(
                (found != *addresses)
                    .then(|| format!("{cluster} to lead to {addresses:?} and not {found:?}")),
            )
        })
        .await
    }

    /// Everything that is in force, for people to look at.
    pub(super) async fn dump(&self, path: &str) -> Result<String, MeshError> {
        self.get(path).await
    }

    async fn until<F>(&self, mut waits_for: impl FnMut() -> F) -> Result<(), MeshError>
    where
        F: Future<Output = Result<Option<String>, MeshError>>,
    {
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        loop {
            let Some(waiting_for) = waits_for().await? else {
                return Ok(());
            };
            if Instant::now() > deadline {
                return Err(MeshError::NotInForce {
                    node: self.container.to_string(),
                    within: IN_FORCE_WITHIN,
                    waiting_for,
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn listeners(&self) -> Result<Value, MeshError> {
        self.json("/config_dump?resource=dynamic_listeners").await
    }

    async fn clusters(&self) -> Result<Value, MeshError> {
        let active = self.json("/config_dump?resource=dynamic_active_clusters").await?;
        let warming = self
            .json("/config_dump?resource=dynamic_warming_clusters")
            .await?;
        Ok(serde_json::json!({"active": active["configs"], "warming": warming["configs"]}))
    }

    async fn json(&self, path: &str) -> Result<Value, MeshError> {
        let text = self.get(path).await?;
        serde_json::from_str(&text).map_err(|error| self.unreadable(path, &error))
    }

    async fn get(&self, path: &str) -> Result<String, MeshError> {
        let command = ["pilot-agent", "request", "GET", path.trim_start_matches('/')];
        let executed = self.context.exec(&self.container, &command, None, ANSWER).await?;
        match executed.failure {
            None => Ok(executed.output),
            Some(failure) => Err(MeshError::ProgramFailed {
                program: command.join(" "),
                container: self.container.to_string(),
                message: format!("{failure} {}", executed.errors).trim().to_owned(),
            }),
        }
    }

    fn unreadable(&self, path: &str, error: &serde_json::Error) -> MeshError {
        MeshError::ProgramFailed {
            program: format!("pilot-agent request GET {path}"),
            container: self.container.to_string(),
            message: format!("its answer cannot be read: {error}"),
        }
    }
}

/// What of a state is not in force yet.
fn waits_for(listeners: &Value, clusters: &Value, number: &str) -> Option<String> {
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let marked = |object: &Value| object["metadata"]["filter_metadata"][MARK]["number"] == number;
    let listeners = all(&listeners["configs"]);
    let inbound = listeners.iter().find(|it| it["name"] == "virtualInbound");
    if !inbound.is_some_and(|it| marked(&it["active_state"]["listener"])) {
        return Some(format!("its inbound listener to be of state {number}"));
    }
    if let Some(warming) = listeners.iter().find(|it| !it["warming_state"].is_null()) {
        return Some(format!("listener {} to warm", warming["name"]));
    }
    let active = all(&clusters["active"]);
    let outbound = |it: &&Value| {
        it["cluster"]["name"]
            .as_str()
            .is_some_and(|it| it.starts_with("outbound|"))
    };
    if let Some(old) = active.iter().filter(outbound).find(|it| !marked(&it["cluster"])) {
        return Some(format!(
            "cluster {} to be of state {number}",
            old["cluster"]["name"]
        ));
    }
    let warming = all(&clusters["warming"]);
    let first = warming.first()?;
    Some(format!("cluster {} to warm", first["cluster"]["name"]))
}

/// Addresses of the endpoints of a cluster, as `/clusters?format=json` shows them.
fn endpoints(all: &Value, cluster: &str) -> BTreeSet<String> {
    let clusters = all["cluster_statuses"].as_array().into_iter().flatten();
    let hosts = clusters
        .filter(|it| it["name"] == cluster)
        .flat_map(|it| it["host_statuses"].as_array().into_iter().flatten());
    hosts
        .filter_map(|host| host["address"]["socket_address"]["address"].as_str())
        .map(str::to_owned)
        .collect()
}

/// The trust domains in the prefixes `spiffe://…/` of SAN matchers.
fn trust_domains(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let prefix = fields.get("prefix").and_then(Value::as_str);
            if let Some(domain) = prefix.and_then(|it| it.strip_prefix("spiffe://")) {
                found.insert(domain.trim_end_matches('/').to_owned());
            }
            fields.values().for_each(|it| trust_domains(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| trust_domains(it, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_state_is_in_force_when_everything_of_it_is_and_nothing_warms() {
        let marked = |number: &str| json!({"metadata": {"filter_metadata": {MARK: {"number": number}}}, "name": "outbound|80||a"});
        let listener = |number: &str| json!({"configs": [{"name": "virtualInbound", "active_state": {"listener": marked(number)}}]});
        let clusters = |number: &str, warming: Value| json!({"active": [{"cluster": marked(number)}, {"cluster": {"name": "xds-grpc"}}], "warming": warming});
        let none = json!([]);
        assert_eq!(waits_for(&listener("2"), &clusters("2", none.clone()), "2"), None);
        for (listeners, clusters) in [
            (listener("1"), clusters("2", none.clone())),
            (listener("2"), clusters("1", none)),
            (listener("2"), clusters("2", json!([{"cluster": {"name": "b"}}]))),
            (json!({}), json!({})),
        ] {
            assert!(
                waits_for(&listeners, &clusters, "2").is_some(),
                "{listeners} {clusters}"
            );
        }
    }

    #[test]
    fn trust_domains_are_read_from_what_the_listener_accepts() {
        let listener = json!({"validation": {"match_typed_subject_alt_names": [
            {"san_type": "URI", "matcher": {"prefix": "spiffe://old.example/"}},
            {"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}},
        ]}, "other": {"prefix": "/"}});
        let mut found = BTreeSet::new();
        trust_domains(&listener, &mut found);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["cluster.local", "old.example"]
        );
    }
}
