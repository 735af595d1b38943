//! The `kind` and `cluster` tiers: namespaces of a cluster with real Istio in it.
//!
//! A run has namespaces of its own, named after it and labelled with it; it creates nothing elsewhere, except policy in the
//! root namespace of a kind cluster, and removes what carries its label. istiod, the injection webhook and the sidecars are
//! the cluster's; the application in every pod is the agent, which also makes the calls.
//!
//! Credentials that a fault changes are mounted into every sidecar of the run, under an authority of its own: the same fault
//! exists on a real sidecar, and no key of the cluster's is read.

mod allow;
mod bundle;
mod instruments;
mod kinds;
mod limits;
mod names;
mod objects;
mod observe;
mod pods;
mod proxy;
mod settings;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::call::{Call, CallKind, Destination, PodName, WorkloadName};
use crate::envoy::binary::Provenance;
use crate::istio::injection::release_of_image;
use crate::istio::policy::Discovery;
use crate::kubernetes::{Container, Cursor, Selection};
use crate::pki::{Authority, Issued, Validity, WorkloadCredentials};
use crate::probe::agent::{Answer, Identity, Offer, Question, Seen};
use crate::probe::evidence::{Application, Caller, Evidence};
use crate::snapshot::to_yaml;

use super::reached::{alpn_of_a_sidecar, candidates, target};
use super::{Capability, Component, Desired, Mesh, MeshError, Settings, Tally, Tier};
pub use allow::{AllowList, AllowListError};
use bundle::{Bundle, folder_of};
pub(super) use limits::{LOAD, beyond};
use names::Names;
use objects::{Key, Maker, Objects, namespaces, redacted};
use observe::End;
use pods::{Pods, Running};
use proxy::Proxy;
pub use settings::{Left, Place, Revision};
use workload::{APPLICATION, RAW, RUN};

/// Real istiod, injection, proxies and capture.
pub(super) const OF_CLUSTER: &[Capability] = &[
    Capability::Interception,
    Capability::ControlPlane,
    Capability::Admission,
    Capability::ReleaseProxy,
];
/// And a root namespace that is ours.
pub(super) const OF_KIND: &[Capability] = &[
    Capability::Interception,
    Capability::ControlPlane,
    Capability::Admission,
    Capability::RootNamespace,
    Capability::ReleaseProxy,
];

/// How long a caller waits for its answer, as on every tier.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// What exec may add to it.
const EXEC: Duration = Duration::from_secs(30);
/// How long an application's line may take from its pod to the API server.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const AGENT: &str = "/meshproof-agent";

/// A mesh in a cluster.
pub struct KubernetesMesh {
    tier: Tier,
    place: Place,
    keep: bool,
    names: Option<Names>,
    applied: Objects,
    filters: Objects,
    /// The number of the present state.
    number: u64,
    authority: Option<Authority>,
    desired: Option<Desired>,
    pods: Pods,
    proxies: BTreeMap<PodName, Proxy>,
    /// How far the logs of applications are read.
    applications: BTreeMap<PodName, Cursor>,
    hidden: BTreeSet<PodName>,
    components: Vec<Component>,
    calls_made: u64,
    /// Where evidence of failed calls went.
    kept: Option<PathBuf>,
}

impl KubernetesMesh {
    /// Prepares an empty mesh. Nothing is created yet.
    ///
    /// # Errors
    /// When the settings name no cluster.
    pub fn new(tier: Tier, settings: &Settings) -> Result<Self, MeshError> {
        let place = settings.place.clone().ok_or(MeshError::NoCluster { tier })?;
        Ok(Self {
            tier,
            place,
            keep: settings.keep,
            names: None,
            applied: Objects::new(),
            filters: Objects::new(),
            number: 0,
            authority: None,
            desired: None,
            pods: Pods::new(),
            proxies: BTreeMap::new(),
            applications: BTreeMap::new(),
            hidden: BTreeSet::new(),
            components: Vec::new(),
            calls_made: 0,
            kept: None,
        })
    }

    /// Everything that would be created for a state, as manifests in their order, without the values of Secrets.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn would_create(&mut self, desired: &Desired) -> Result<Vec<String>, MeshError> {
        let names = self.names(desired);
        let credentials = self.credentials(&names, desired)?;
        let maker = Maker {
            names: &names,
            agent: &self.place.agent,
            revision: &self.place.revision,
        };
        let objects = maker.objects(desired, &credentials)?;
        let filters = maker.instruments(desired, self.number + 1);
        let all = objects.iter().chain(&filters);
        all.map(|(key, object)| to_yaml(&redacted(key, object)).map_err(MeshError::Internal))
            .collect()
    }

    fn names(&mut self, desired: &Desired) -> Names {
        let root = &desired.snapshot.mesh.root_namespace;
        self.names.get_or_insert_with(|| Names::new(root)).clone()
    }

    /// The credentials that are mounted: none until some are not as istiod issues them, or a raw caller needs one.
    fn credentials(
        &mut self,
        names: &Names,
        desired: &Desired,
    ) -> Result<BTreeMap<WorkloadName, Issued>, MeshError> {
        let credentials = &desired.conditions.credentials;
        let is_healthy = |(workload, held): (&WorkloadName, &WorkloadCredentials)| {
            let identity = desired.topology.identity(workload);
            identity.is_none_or(|it| *held == WorkloadCredentials::healthy(it))
        };
        let is_plain = credentials.workloads.iter().all(is_healthy)
            && credentials.roots.values().all(|it| *it == Validity::Current)
            && !desired.calls.iter().any(|it| it.kind == CallKind::RawMtls);
        if is_plain && self.authority.is_none() {
            return Ok(BTreeMap::new());
        }
        let own = namespaces(desired);
        let mut credentials = credentials.clone();
        for held in credentials.workloads.values_mut() {
            held.identity = names.identity(&own, &held.identity);
        }
        let authority = self
            .authority
            .get_or_insert_with(|| Authority::new(&desired.topology.mesh.trust_domain));
        let mut issued = BTreeMap::new();
        for workload in desired.topology.workloads.keys() {
            if credentials.workloads.contains_key(workload) {
                issued.insert(workload.clone(), authority.issue(&credentials, workload)?);
            }
        }
        Ok(issued)
    }

    /// Nothing of another run may be called like what this one creates.
    async fn is_free(&self, names: &Names, objects: &Objects) -> Result<(), MeshError> {
        for (key, object) in objects.iter().filter(|(key, _)| is_shared(names, key)) {
            let selection = Selection {
                resource: &key.resource,
                namespace: key.namespace.as_deref(),
                name: Some(&key.name),
            };
            let mut is_foreign = false;
            let run = &object["metadata"]["labels"][RUN];
            self.place
                .context
                .list(&selection, |found| {
                    is_foreign |= found["metadata"]["labels"][RUN] != *run
                })
                .await?;
            if is_foreign {
                return Err(MeshError::Taken {
                    object: key.to_string(),
                });
            }
        }
        Ok(())
    }

    async fn bring(&mut self, names: &Names, objects: Objects) -> Result<(), MeshError> {
        let context = self.place.context.clone();
        let gone: Vec<Key> = self
            .applied
            .keys()
            .filter(|key| !objects.contains_key(*key))
            .cloned()
            .collect();
        for key in gone.into_iter().rev() {
            context
                .delete(&key.resource, key.namespace.as_deref(), &key.name)
                .await?;
            self.applied.remove(&key);
        }
        let new: Objects = objects
            .into_iter()
            .filter(|(key, object)| self.applied.get(key) != Some(object))
            .collect();
        let unknown = new.iter().filter(|(key, _)| !self.applied.contains_key(*key));
        self.is_free(
            names,
            &unknown
                .map(|(key, object)| (key.clone(), object.clone()))
                .collect(),
        )
        .await?;
        for (key, object) in new {
            if self.applied.contains_key(&key) && matches!(key.resource.kind, "Pod" | "Job") {
                // What runs cannot be changed.
                context
                    .delete(&key.resource, key.namespace.as_deref(), &key.name)
                    .await?;
                self.gone(&key).await?;
            }
            context.apply(&key.resource, &object).await?;
            self.applied.insert(key, object);
        }
        Ok(())
    }

    async fn gone(&self, key: &Key) -> Result<(), MeshError> {
        let selection = Selection {
            resource: &key.resource,
            namespace: key.namespace.as_deref(),
            name: Some(&key.name),
        };
        let deadline = Instant::now() + SEEN_WITHIN * 6;
        loop {
            let mut is_there = false;
            self.place.context.list(&selection, |_| is_there = true).await?;
            if !is_there {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(MeshError::NotReady {
                    what: format!("{key} to go"),
                    within: SEEN_WITHIN * 6,
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Puts every sidecar into the next state, and waits until it is in force.
    ///
    /// Twice: istiod watches each kind apart, so that of two objects the later may reach it first. What was applied before
    /// the first number reaches it before the second does.
    async fn settle(&mut self, names: &Names, desired: &Desired) -> Result<(), MeshError> {
        for _ in 0..2 {
            self.number += 1;
            let maker = Maker {
                names,
                agent: &self.place.agent,
                revision: &self.place.revision,
            };
            self.filters = maker.instruments(desired, self.number);
            for (key, filter) in &self.filters {
                self.place.context.apply(&key.resource, filter).await?;
            }
            for proxy in self.proxies.values() {
                proxy.in_force(self.number).await?;
            }
        }
        Ok(())
    }

    async fn look_up_components(&mut self) -> Result<(), MeshError> {
        let mut found = BTreeSet::new();
        for (name, pod) in &self.pods {
            let (Some((image, id)), Some(proxy)) = (&pod.proxy, self.proxies.get(name)) else {
                continue;
            };
            let (Some(istio), Some(envoy)) = (release_of_image(image), proxy.release().await?) else {
                continue;
            };
            found.insert(Component {
                workload: name.workload.to_string(),
                istio,
                envoy,
                provenance: Provenance::Istio,
                sha256: id.rsplit_once("sha256:").map_or("", |(_, it)| it).to_owned(),
            });
        }
        self.components = found.into_iter().collect();
        Ok(())
    }

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

    async fn observe(
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

#[async_trait]
impl Mesh for KubernetesMesh {
    fn tier(&self) -> Tier {
        self.tier
    }

    async fn apply(&mut self, desired: Desired) -> Result<(), MeshError> {
        let names = self.names(&desired);
        self.place.began(names.run());
        let credentials = self.credentials(&names, &desired)?;
        let maker = Maker {
            names: &names,
            agent: &self.place.agent,
            revision: &self.place.revision,
        };
        let objects = maker.objects(&desired, &credentials)?;
        self.bring(&names, objects).await?;
        let context = self.place.context.clone();
        self.pods = pods::ready(&context, &names, &desired.topology, &self.applied).await?;
        self.applications.clear();
        self.hidden.clear();
        pods::show(&context, &self.pods, &self.hidden, None).await?;
        let proxies = self.pods.iter();
        self.proxies = proxies
            .filter_map(|(name, pod)| Some((name.clone(), Proxy::of(&context, pod)?)))
            .collect();
        self.settle(&names, &desired).await?;
        self.look_up_components().await?;
        self.desired = Some(desired);
        Ok(())
    }

    async fn call(&mut self, call: &Call) -> Result<Evidence, MeshError> {
        let (Some(desired), Some(names)) = (self.desired.take(), self.names.clone()) else {
            return Err(MeshError::NotPlanned {
                call: Box::new(call.clone()),
                missing: "a desired state".to_owned(),
            });
        };
        let evidence = self.observe(&names, &desired, call).await;
        self.desired = Some(desired);
        evidence
    }

    async fn apply_under_load(&mut self, _: Vec<Desired>, _: &[Call]) -> Result<Vec<Vec<Tally>>, MeshError> {
        Err(MeshError::Internal(format!(
            "this tier was asked for what it cannot show: {LOAD}"
        )))
    }

    async fn keep_evidence(&mut self, call: &Call) -> Result<Option<PathBuf>, MeshError> {
        let (Some(desired), Some(names)) = (&self.desired, &self.names) else {
            return Ok(None);
        };
        let bundles = self.place.bundles.clone();
        let folder = folder_of(&bundles, names.run(), self.calls_made, &call.to_string());
        let mut bundle = Bundle::create(&self.place.context, folder)?;
        let mut namespaces = BTreeSet::new();
        let server = target(&desired.topology, call).map(|(pod, _)| pod);
        for (which, name) in [("client", Some(call.from.pod(0))), ("server", server)] {
            if let Some(pod) = name.and_then(|it| self.pods.get(&it)) {
                bundle.end(which, pod).await?;
                namespaces.insert(pod.namespace.clone());
            }
        }
        for namespace in namespaces {
            bundle.events(&namespace).await?;
        }
        bundle
            .control_plane(&desired.snapshot.mesh.root_namespace)
            .await?;
        let folder = bundle.close()?;
        self.kept = folder.parent().map(Path::to_owned);
        Ok(Some(folder))
    }

    fn components(&self) -> Vec<Component> {
        self.components.clone()
    }

    fn directory(&self) -> Option<&Path> {
        self.kept.as_deref()
    }

    async fn down(&mut self) {
        let Some(names) = &self.names else { return };
        if self.keep {
            self.place.ended(names.run());
            return;
        }
        // Whoever holds the place tries again, and says what is left.
        if let Err(error) = self.place.remove(names.run()).await {
            tracing::debug!(run = names.run(), %error, "not removed yet");
        }
    }
}

/// Whether others than this run may have an object of this name.
fn is_shared(names: &Names, key: &Key) -> bool {
    key.namespace.as_deref().is_none_or(|it| !names.is_own(it))
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
