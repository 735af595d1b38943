//! A call made now, by an agent in an ephemeral container beside the application that calls: in the pod's own network, as its
//! user, so that the sidecar takes it for the application's.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use super::beneath::{beneath, is_open_beneath, narrowed};
use super::witnessed::{Logged, Witnessed, witnesses};
use super::{Inspection, Pod};
use crate::call::{Call, CallKind, Payload};
use crate::diagnose::{Carried, Observed, Probed, Shown, Subject};
use crate::envoy::answers;
use crate::istio::injection::PROXY;
use crate::istio::{Topology, workload_of};
use crate::kubernetes::{Beside, Container, Cursor, KubernetesError};
use crate::logs::Entry;
use crate::outcome::Outcome;
use crate::probe::agent::{Answer, Offer, Question};
use crate::probe::classify;
use crate::probe::dial::request_id;
use crate::probe::evidence::{Caller, Evidence};
use crate::snapshot::Object;

/// As whom the agent calls: nobody in particular, whom the sidecar captures.
const APPLICATION: u32 = 10_001;
/// As whom it calls past the sidecar: `runAsUser` of istio-proxy, which its iptables rules leave alone.
const PAST_SIDECAR: u32 = 1337;
/// How long the caller waits for its answer. Istio gives a connection ten seconds to come up (`connectTimeout`).
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the container may take besides: a node may have to pull its image.
const STARTED_WITHIN: Duration = Duration::from_secs(90);
/// How long lines may take: a proxy writes them out every ten seconds (Envoy's `--file-flush-interval-msec`).
const LOGGED_WITHIN: Duration = Duration::from_secs(12);
/// How long ago the call was begun at most, and how far the clock of a node may be off.
const SKEW: SignedDuration = SignedDuration::from_secs(180);
/// How often logs are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A call that was made.
struct Asked {
    caller: Caller,
    request: String,
    /// Connections that the caller's sidecar had opened before, and after, by cluster; empty where it does not tell.
    opened: [BTreeMap<String, u64>; 2],
}

impl Inspection<'_> {
    /// As [`Inspection::observe`], and makes the call besides: adds an ephemeral container of this image to a pod of the caller,
    /// which ends by itself and stays listed there until the pod is gone. Two, where the first leaves open whether TCP came up.
    pub async fn observe_and_probe(&self, subject: &Subject, agent: &str) -> Observed {
        let topology = Topology::new(self.snapshot, None);
        let asked = match subject {
            Subject::Call(call) => self.ask(&topology, call, agent).await.map(|asked| (call, asked)),
            _ => Err("no call was named".to_owned()),
        };
        let mut observed = self.observe(subject).await;
        observed.probe = match asked {
            Err(why) => Shown::Missing(why),
            Ok((call, asked)) => self.judged(&topology, call, agent, &asked, &observed).await,
        };
        observed
    }

    async fn judged(
        &self,
        topology: &Topology,
        call: &Call,
        agent: &str,
        asked: &Asked,
        observed: &Observed,
    ) -> Shown<Probed> {
        let witnessed = Witnessed {
            call,
            caller: &asked.caller,
            logged: Logged::Among(&asked.request),
            servers: &witnesses(topology, call),
            has_sidecar: topology.has_sidecar(&call.from),
            observed,
        };
        let evidence = witnessed.evidence();
        let mut outcome = classify(&evidence);
        if is_open_beneath(&outcome) {
            match self.outcome_beneath(topology, call, agent).await {
                Ok(beneath) => outcome = narrowed(outcome, &beneath),
                Err(why) => tracing::warn!(%why, "no call past the sidecar decides what failed below TLS"),
            }
        }
        Shown::Seen(Probed {
            call: call.clone(),
            agent: format!("an agent ({agent}) beside {}", call.from),
            outcome,
            carried: carried(&clusters(&evidence), &asked.opened),
        })
    }

    /// What becomes of a call past the caller's sidecar.
    async fn outcome_beneath(
        &self,
        topology: &Topology,
        call: &Call,
        agent: &str,
    ) -> Result<Outcome, String> {
        let call = beneath(call);
        let pod = self.caller(topology, &call)?;
        let question = self.question(topology, &call)?;
        let caller = self.run(&pod, agent, &question, PAST_SIDECAR).await?;
        Ok(classify(&Evidence {
            kind: call.kind,
            payload: call.payload,
            foreign_application: true,
            caller,
            ..Evidence::default()
        }))
    }

    async fn ask(&self, topology: &Topology, call: &Call, agent: &str) -> Result<Asked, String> {
        if call.payload != Payload::Http {
            return Err(
                "a probe is an HTTP request: it is known by its id in the logs of both ends".to_owned(),
            );
        }
        let pod = self.caller(topology, call)?;
        let question = self.question(topology, call)?;
        let request = request_id(&question.nonce);
        let has_sidecar = topology.has_sidecar(&call.from);
        let before = self.opened(&pod, has_sidecar).await;
        let caller = self.run(&pod, agent, &question, APPLICATION).await?;
        let after = self.opened(&pod, has_sidecar).await;
        let servers = self.pods_of(topology, &witnesses(topology, call));
        self.logged(Some(&pod).filter(|_| has_sidecar), &servers, &request)
            .await;
        Ok(Asked {
            caller,
            request,
            opened: [before, after],
        })
    }

    /// Waits until every end has logged the call, or would have: the caller's sidecar by its id, a server's by that or by the
    /// connection.
    async fn logged(&self, own: Option<&Pod>, servers: &[Pod], request: &str) {
        let deadline = Instant::now() + LOGGED_WITHIN;
        let mut calls: Vec<Entry> = Vec::new();
        if let Some(own) = own {
            let is_of = |it: &Entry| it.is_of_request(request);
            let logged = self.awaited(std::slice::from_ref(own), is_of, deadline).await;
            calls.extend(logged);
        }
        let is_of =
            |it: &Entry| it.is_of_request(request) || calls.iter().any(|call| call.shares_connection(it));
        self.awaited(servers, is_of, deadline).await;
    }

    /// The first line that one of these sidecars logs and that is wanted; none where none comes before `deadline`.
    async fn awaited(
        &self,
        pods: &[Pod],
        is_wanted: impl Fn(&Entry) -> bool,
        deadline: Instant,
    ) -> Option<Entry> {
        let since = Cursor::since(Timestamp::now() - SKEW);
        let mut logs: Vec<(Container, Cursor)> = pods
            .iter()
            .map(|it| (it.container(PROXY), since.clone()))
            .collect();
        while !logs.is_empty() {
            let mut readable = Vec::new();
            for (container, mut cursor) in logs {
                // Who may not read a log waits for nothing in it; that it is missing is said where logs are.
                let Ok(lines) = self.context.log(&container, &mut cursor).await else {
                    continue;
                };
                let mut entries = lines.iter().filter_map(|it| Entry::read(it));
                if let Some(found) = entries.find(&is_wanted) {
                    return Some(found);
                }
                readable.push((container, cursor));
            }
            logs = readable;
            if Instant::now() > deadline {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
        None
    }

    /// The first pod of the caller that runs.
    fn caller(&self, topology: &Topology, call: &Call) -> Result<Pod, String> {
        let found = self.snapshot.objects().find_map(|(name, stored)| {
            let Object::Pod(pod) = &stored.object else {
                return None;
            };
            let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
            let runs = phase == Some("Running") && pod.metadata.deletion_timestamp.is_none();
            let is_of = runs && workload_of(pod, topology).as_ref() == Some(&call.from);
            is_of.then(|| Pod {
                name: call.from.pod(0),
                namespace: call.from.namespace.clone(),
                own_name: name.name.clone(),
            })
        });
        found.ok_or_else(|| format!("no pod of {} runs that an agent could be beside", call.from))
    }

    fn question(&self, topology: &Topology, call: &Call) -> Result<Question, String> {
        let authority = call.to.authority(&topology.mesh.cluster_domain);
        let (host, _) = authority
            .rsplit_once(':')
            .filter(|_| call.to.service().is_some())
            .ok_or_else(|| {
                "a probe calls a Service: only Services have names that pods resolve".to_owned()
            })?;
        Ok(Question {
            host: host.to_owned(),
            port: call.to.port(),
            nonce: format!("probe{:016x}", RandomState::new().hash_one(&authority)),
            payload: call.payload,
            timeout_millis: u64::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            tls: (call.kind == CallKind::RawTls).then(Offer::default),
            authority,
        })
    }

    async fn run(&self, pod: &Pod, agent: &str, question: &Question, user: u32) -> Result<Caller, String> {
        let asked = serde_json::to_string(question).map_err(|error| error.to_string())?;
        let container = pod.container(&format!("meshproof-{}", question.nonce));
        let program = Beside {
            container: &container,
            image: agent,
            arguments: &["call".to_owned(), asked],
            user,
        };
        let within = CALL_TIMEOUT + STARTED_WITHIN;
        let ran = self.context.run_beside(&program, within).await;
        let lines = ran.map_err(|error| match error {
            KubernetesError::Forbidden { .. } => {
                format!("{error}: manifests/rbac/probe.yaml grants what a probe needs")
            }
            error => error.to_string(),
        })?;
        let answer = lines.last().map(|it| serde_json::from_str(it));
        match answer {
            Some(Ok(Answer::Seen(caller))) => Ok(*caller),
            Some(Ok(Answer::Failed(why))) => Err(format!("the agent could not call: {why}")),
            Some(Err(error)) => Err(format!("{agent} is no agent of this version: {error}")),
            None => Err(format!("{agent} is no agent: it printed nothing")),
        }
    }

    /// The connections that a sidecar has opened so far; nothing where it does not say.
    async fn opened(&self, pod: &Pod, has_sidecar: bool) -> BTreeMap<String, u64> {
        if !has_sidecar {
            return BTreeMap::new();
        }
        let shown = self.admin(pod, "clusters?format=json").await;
        shown
            .ok()
            .and_then(|it| answers::connections(&it).ok())
            .unwrap_or_default()
    }
}

/// The clusters of the caller's sidecar that the call went to.
fn clusters(evidence: &Evidence) -> Vec<String> {
    let logged = evidence.client_proxy.iter().flat_map(|it| &it.access_log);
    let mut found: Vec<String> = logged.filter_map(|it| it.up_cluster.clone()).collect();
    found.dedup();
    found
}

/// Whether the call's cluster opened a connection while it was made.
fn carried(clusters: &[String], opened: &[BTreeMap<String, u64>; 2]) -> Carried {
    let [before, after] = opened.each_ref().map(|it| {
        let counts = clusters.iter().map(|cluster| it.get(cluster));
        counts.sum::<Option<u64>>()
    });
    match (before, after) {
        _ if clusters.is_empty() => Carried::Unknown,
        (Some(before), Some(after)) if after > before => Carried::OpenedMeanwhile,
        (Some(_), Some(_)) => Carried::OpenBefore,
        _ => Carried::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_nobody_opened_was_open_before() {
        let cluster = "outbound|8080||payment.payments.svc.cluster.local".to_owned();
        let opened = |count| BTreeMap::from([(cluster.clone(), count)]);
        let clusters = std::slice::from_ref(&cluster);
        for (before, after, expected) in [
            (opened(3), opened(3), Carried::OpenBefore),
            (opened(3), opened(4), Carried::OpenedMeanwhile),
            (BTreeMap::new(), opened(4), Carried::Unknown),
        ] {
            assert_eq!(carried(clusters, &[before, after]), expected);
        }
        assert_eq!(carried(&[], &[opened(3), opened(4)]), Carried::Unknown);
    }
}
