//! Making a call: the agent dials in its pod, and both ends are read before and after.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::call::{Call, CallKind, Destination, PodName};
use crate::istio::policy::Discovery;
use crate::kubernetes::Container;
use crate::mesh::reached::{alpn_of_a_sidecar, candidates, target};
use crate::mesh::{Desired, MeshError};
use crate::probe::agent::{Answer, Identity, Offer, Question, Seen};
use crate::probe::evidence::{Application, Caller, Evidence};

use super::names::Names;
use super::objects::namespaces;
use super::observe::{self, End};
use super::pods::{self, Running};
use super::workload::{APPLICATION, RAW};
use super::{KubernetesMesh, LOOK_AGAIN, SEEN_WITHIN};

/// How long a caller waits for its answer, as on every tier.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// What exec may add to it.
const EXEC: Duration = Duration::from_secs(30);
const AGENT: &str = "/meshproof-agent";

impl KubernetesMesh {
    /// Hides the other endpoints of a call that is about one of several, and waits until its client's sidecar knows.
    async fn pin(&mut self, names: &Names, desired: &Desired, call: &Call) -> Result<(), MeshError> {
        let all = candidates(&desired.topology, call);
        let hidden: BTreeSet<PodName> = match &call.endpoint {
            Some(endpoint) if all.len() > 1 && call.kind.is_of_application() => {
                let others = all.iter().map(|(pod, _)| pod).filter(|pod| *pod != endpoint);
                others.cloned().collect()
            }
            _ => BTreeSet::new(),
        };
        if hidden == self.hidden {
            return Ok(());
        }
        pods::show(&self.place.context, &self.pods, &hidden, Some(&self.hidden)).await?;
        self.hidden = hidden;
        let Some((namespace, name, port)) = call.to.service() else {
            return Ok(());
        };
        let outbound = desired
            .topology
            .outbound(&call.from, namespace, name, port, call.subset.as_deref());
        let outbound = outbound.filter(|it| it.discovery == Discovery::Eds);
        if let (Some(outbound), Some(proxy)) = (outbound, self.proxies.get(&call.from.pod(0))) {
            let shown = all.iter().filter(|(pod, _)| !self.hidden.contains(pod));
            let shown = shown.filter_map(|(pod, _)| self.pods.get(pod));
            let addresses = shown.map(|pod| pod.address.clone()).collect();
            let own = namespaces(desired);
            let cluster = outbound.cluster_name();
            let cluster = match cluster.rsplit_once('|') {
                Some((front, host)) => format!("{front}|{}", names.host(&own, host)),
                None => cluster,
            };
            proxy.leads_to(&cluster, &addresses).await?;
        }
        Ok(())
    }

    fn question(
        &mut self,
        names: &Names,
        desired: &Desired,
        call: &Call,
        nonce: &str,
    ) -> Result<Question, MeshError> {
        let own = namespaces(desired);
        let server = target(&desired.topology, call);
        let address = server
            .as_ref()
            .and_then(|(pod, port)| Some((self.pods.get(pod)?, *port)));
        let authority = match &call.to {
            Destination::Pod { port, .. } => address.map_or_else(
                || format!("127.0.0.1:{port}"),
                |(pod, port)| format!("{}:{port}", pod.address),
            ),
            to => names.host(&own, &to.authority(&desired.topology.mesh.cluster_domain)),
        };
        let is_headless = call
            .to
            .service()
            .and_then(|(namespace, name, _)| desired.topology.service(namespace, name))
            .is_some_and(|it| it.headless);
        let through_sidecar = call.kind.is_of_application() && desired.topology.has_sidecar(&call.from);
        let dials_pod = !through_sidecar || is_headless || matches!(call.to, Destination::Pod { .. });
        let (host, port) = match address.filter(|_| dials_pod) {
            Some((pod, port)) => (pod.address.clone(), port),
            None => {
                let host = authority
                    .rsplit_once(':')
                    .map_or(authority.as_str(), |(host, _)| host);
                (host.to_owned(), call.to.port())
            }
        };
        let tls = match call.kind {
            CallKind::App | CallKind::Mirrored | CallKind::RawPlaintext => None,
            CallKind::RawTls => Some(Offer {
                alpn: call.alpn.clone(),
                identity: None,
            }),
            CallKind::RawMtls => {
                let issued = self.credentials(names, desired)?.remove(&call.from);
                Some(Offer {
                    alpn: alpn_of_a_sidecar(call),
                    identity: issued.map(|it| Identity {
                        certificate_chain: it.certificate_chain,
                        private_key: it.private_key,
                    }),
                })
            }
        };
        Ok(Question {
            host,
            port,
            authority,
            nonce: nonce.to_owned(),
            payload: call.payload,
            timeout_millis: u64::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            tls,
        })
    }

    async fn ask(&self, container: &Container, question: &Question) -> Result<Caller, MeshError> {
        let failed = |message: String| MeshError::ProgramFailed {
            program: format!("{AGENT} call"),
            container: container.to_string(),
            message,
        };
        let mut input = serde_json::to_string(question).map_err(|error| failed(error.to_string()))?;
        input.push('\n');
        let within = CALL_TIMEOUT + EXEC;
        let executed = self
            .place
            .context
            .exec(container, &[AGENT, "call"], Some(&input), within)
            .await?;
        if let Some(failure) = executed.failure {
            return Err(failed(format!("{failure} {}", executed.errors).trim().to_owned()));
        }
        match serde_json::from_str(executed.output.trim()) {
            Ok(Answer::Seen(caller)) => Ok(*caller),
            Ok(Answer::Failed(why)) => Err(failed(why)),
            Err(error) => Err(failed(format!("its answer cannot be read: {error}"))),
        }
    }

    /// What the application of a pod saw since it was last asked that is of this call.
    async fn seen(
        &mut self,
        name: &PodName,
        pod: &Running,
        nonce: &str,
        is_owed: bool,
    ) -> Result<Option<Application>, MeshError> {
        let container = pod.container(APPLICATION);
        let deadline = Instant::now() + SEEN_WITHIN;
        let mut found: Option<Application> = None;
        loop {
            let cursor = self.applications.entry(name.clone()).or_default();
            for line in self.place.context.log(&container, cursor).await? {
                let Ok(seen) = serde_json::from_str::<Seen>(&line) else {
                    continue;
                };
                // Bytes that no application understood carry no nonce; calls are made one at a time.
                if seen.nonce.as_deref().is_none_or(|it| it == nonce) {
                    match &mut found {
                        Some(found) => found.requests += seen.application.requests,
                        None => found = Some(seen.application),
                    }
                }
            }
            if found.is_some() || !is_owed || Instant::now() > deadline {
                return Ok(found);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(super) async fn observe(
        &mut self,
        names: &Names,
        desired: &Desired,
        call: &Call,
    ) -> Result<Evidence, MeshError> {
        self.pin(names, desired, call).await?;
        self.calls_made += 1;
        let nonce = format!("{}x{}", names.run(), self.calls_made);
        let caller_pod = self.pods.get(&call.from.pod(0)).cloned();
        let caller_pod = caller_pod.ok_or_else(|| MeshError::UnknownWorkload {
            workload: call.from.clone(),
        })?;
        let client_name = call.kind.is_of_application().then(|| call.from.pod(0));
        let server_name = target(&desired.topology, call).map(|(pod, _)| pod);
        let server_pod = server_name.as_ref().and_then(|it| self.pods.get(it)).cloned();
        let mut client = self.mark(client_name.as_ref()).await?;
        let mut server = self.mark(server_name.as_ref()).await?;
        if let (Some(name), Some(pod)) = (&server_name, &server_pod) {
            self.seen(name, pod, "", false).await?;
        }
        let question = self.question(names, desired, call, &nonce)?;
        let container = if call.kind.is_of_application() {
            APPLICATION
        } else {
            RAW
        };
        let caller = self.ask(&caller_pod.container(container), &question).await?;
        let incomplete = observe::gather(&caller, call.payload, &nonce, &mut client, &mut server).await?;
        let is_answered = observe::is_answered(&caller);
        let mut evidence = Evidence {
            kind: call.kind,
            payload: call.payload,
            caller,
            incomplete,
            ..Evidence::default()
        };
        if let Some(end) = client {
            evidence.client_proxy = Some(end.evidence(is_answered).await?);
        }
        if let Some(end) = server {
            evidence.server_proxy = Some(end.evidence(is_answered).await?);
        }
        if let (Some(name), Some(pod)) = (&server_name, &server_pod) {
            evidence.application = self.seen(name, pod, &nonce, is_answered).await?;
        }
        evidence.instruments = instruments_of(&evidence);
        as_written(names, &evidence)
    }

    async fn mark(&self, pod: Option<&PodName>) -> Result<Option<End>, MeshError> {
        match pod.and_then(|it| self.proxies.get(it)) {
            Some(proxy) => Ok(Some(End::mark(proxy.clone()).await?)),
            None => Ok(None),
        }
    }
}

fn instruments_of(evidence: &Evidence) -> Vec<String> {
    let proxies = || {
        [&evidence.client_proxy, &evidence.server_proxy]
            .into_iter()
            .flatten()
    };
    let named = [
        (
            proxies().any(|it| !it.listener_log.is_empty()),
            "listener log, unfiltered",
        ),
        (
            proxies().any(|it| !it.debug_log.is_empty()),
            "connection debug log",
        ),
    ];
    let shown = named.into_iter().filter(|(shown, _)| *shown);
    shown.map(|(_, name)| name.to_owned()).collect()
}

/// Evidence in the scenario's own names.
fn as_written(names: &Names, evidence: &Evidence) -> Result<Evidence, MeshError> {
    let unreadable = |error: serde_json::Error| MeshError::Internal(error.to_string());
    let text = serde_json::to_string(evidence).map_err(unreadable)?;
    serde_json::from_str(&names.written(&text)).map_err(unreadable)
}
