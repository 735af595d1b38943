//! The `local` tier: one real Envoy per sidecar on loopback ports, applications and control plane in-process.
//!
//! Needs no root, no Docker, no cluster. What it lacks is interception: in its place every destination a call names
//! has a front of its own (see `envoy::config`), carrying the address that interception would have told.

mod alone;
mod application;
mod expiry;
mod floor;
mod load;
mod observe;
mod obstacles;
mod places;
mod pods;
mod ports;
mod quiet;
#[cfg(test)]
mod recorded;
mod resources;
mod routing;
mod sidecar;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::call::{Call, CallKind, Connections, Destination, PodName};
use crate::envoy::logs::Marked;
use crate::envoy::xds::ControlPlane;
use crate::istio::Topology;
use crate::istio::policy::Discovery;
use crate::pki::Authority;
use crate::probe::agent::Seen;
use crate::probe::dial::{self, TlsOffer};
use crate::probe::evidence::{Caller, Connect, Evidence};
use crate::snapshot::OutboundTrafficPolicy;

use super::reached::{alpn_of_a_sidecar, candidates, target};
use super::{
    Capability, Component, Desired, Mesh, MeshError, ProxyLogs, RunDirectory, Settings, Tally, Tier,
};
pub use application::{ApplicationError, ApplicationServer, Speaks};
pub use floor::{Floor, PhaseFloor, floor};
use load::{Load, Way};
use obstacles::Obstacles;
use places::{Places, front_name};
use pods::Pods;
use quiet::Owed;
use resources::Pin;

/// How long a caller waits for its answer. Refusals come within milliseconds; only silence takes this long.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The control plane's socket in the run directory.
const CONTROL_SOCKET: &str = "xds";

/// Policy in the root namespace is ours to change, and that is all: no interception, no istiod, no webhook.
pub(super) const CAPABILITIES: &[Capability] = &[Capability::RootNamespace];

/// A mesh of real Envoys on this machine.
///
/// Fields are dropped in their order: a proxy that still runs while its directory is removed may leave a file behind.
pub struct LocalMesh {
    pods: Pods,
    control: ControlPlane,
    run: RunDirectory,
    authority: Option<Authority>,
    desired: Option<Desired>,
    places: Places,
    obstacles: Obstacles,
    calls_made: u64,
    /// Of the last call.
    logs: Vec<ProxyLogs>,
}

impl LocalMesh {
    /// Prepares an empty mesh. Nothing runs yet but its control plane.
    ///
    /// # Errors
    /// When the run directory or the control-plane socket cannot be made.
    pub fn new(settings: Settings) -> Result<Self, MeshError> {
        let run = RunDirectory::create(settings.keep)?;
        let socket = run.path().join(CONTROL_SOCKET);
        let control = ControlPlane::start(&socket)?;
        Ok(Self {
            pods: Pods::new(settings, run.path(), &socket),
            control,
            authority: None,
            run,
            desired: None,
            places: Places::default(),
            obstacles: Obstacles::default(),
            calls_made: 0,
            logs: Vec::new(),
        })
    }

    /// The operating system's ids of the proxies running now.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.pods.process_ids()
    }

    /// Where everything of this run is.
    pub(crate) fn folder(&self) -> &Path {
        self.run.path()
    }

    /// The admin sockets of the proxies running now.
    pub(crate) fn admin_sockets(&self) -> Vec<(PodName, PathBuf)> {
        self.pods.admin_sockets()
    }

    /// How long a call takes its caller when nobody gathers evidence.
    async fn time_of(&mut self, call: &Call) -> Result<Duration, MeshError> {
        let desired = self.desired.take().ok_or_else(|| unplanned(call))?;
        let spent = async {
            self.pin(&desired, call);
            self.pods.in_force(&self.control).await?;
            let nonce = self.next_nonce();
            let started = Instant::now();
            self.dial(&desired, call, &nonce).await?;
            Ok(started.elapsed())
        }
        .await;
        self.desired = Some(desired);
        spent
    }

    fn next_nonce(&mut self) -> String {
        self.calls_made += 1;
        format!("{:08x}", self.calls_made)
    }

    /// Shows the caller's sidecar only the endpoint the call is about, where there are several.
    fn pin(&mut self, desired: &Desired, call: &Call) {
        if !call.kind.is_of_application() {
            return;
        }
        let client = call.from.pod(0);
        let pin = pin_of(&desired.topology, call);
        if !self.pods.is_pinned(&client, pin.as_ref()) {
            self.pods.pin(&self.control, desired, &self.places, &client, pin);
        }
    }

    /// Where a call goes; `None` where what it names has no address.
    fn way(&self, desired: &Desired, call: &Call) -> Result<Option<Way>, MeshError> {
        let server = target(&desired.topology, call);
        let direct = server
            .as_ref()
            .and_then(|(pod, port)| self.places.reach(&desired.topology, pod, *port));
        let client =
            desired
                .topology
                .workloads
                .get(&call.from)
                .ok_or_else(|| MeshError::UnknownWorkload {
                    workload: call.from.clone(),
                })?;
        let through_sidecar = call.kind.is_of_application() && client.has_sidecar();
        if !resolves(&desired.topology, call, through_sidecar) {
            return Ok(None);
        }
        let address = if through_sidecar {
            let front = self.places.front(&call.from, &front_name(call));
            front.ok_or_else(|| not_planned(call, "the client's front"))?
        } else {
            direct.unwrap_or_else(|| places::NOWHERE.into())
        };
        let authority = match &call.to {
            Destination::Pod { port, .. } => {
                direct.map_or_else(|| format!("127.0.0.1:{port}"), |it| it.to_string())
            }
            other => other.authority(&desired.topology.mesh.cluster_domain),
        };
        Ok(Some(Way { address, authority }))
    }

    /// Where the requests of a load go; to no listener where what the call names has no address.
    fn way_of_load(&self, call: &Call) -> Result<Way, MeshError> {
        let desired = self.desired.as_ref().ok_or_else(|| unplanned(call))?;
        Ok(self.way(desired, call)?.unwrap_or_else(|| Way {
            address: places::NOWHERE.into(),
            authority: call.to.authority(&desired.topology.mesh.cluster_domain),
        }))
    }

    async fn dial(&mut self, desired: &Desired, call: &Call, nonce: &str) -> Result<Caller, MeshError> {
        let Some(way) = self.way(desired, call)? else {
            return Ok(unreachable());
        };
        let dial = way.dial(call.payload, nonce);
        Ok(match call.kind {
            CallKind::App | CallKind::Mirrored | CallKind::RawPlaintext => dial::plaintext(&dial).await?,
            CallKind::RawTls => {
                let offer = TlsOffer {
                    alpn: call.alpn.clone(),
                    ..TlsOffer::default()
                };
                dial::tls(&dial, &offer).await?
            }
            CallKind::RawMtls => dial::tls(&dial, &self.offer_with_certificate(desired, call)?).await?,
        })
    }

    /// What a raw caller with a certificate of its workload offers.
    fn offer_with_certificate(&mut self, desired: &Desired, call: &Call) -> Result<TlsOffer, MeshError> {
        let authority = self
            .authority
            .as_mut()
            .ok_or_else(|| not_planned(call, "a certificate authority"))?;
        Ok(TlsOffer {
            identity: Some(authority.issue(&desired.conditions.credentials, &call.from)?),
            alpn: alpn_of_a_sidecar(call),
            sni: None,
        })
    }

    async fn observe(&mut self, desired: &Desired, call: &Call) -> Result<Evidence, MeshError> {
        let nonce = self.next_nonce();
        let client = call.kind.is_of_application().then(|| call.from.pod(0));
        let server = target(&desired.topology, call);
        let server_pod = server.as_ref().map(|(pod, _)| pod.clone());
        self.pods.drain_applications();
        let ends = [client.as_ref(), server_pod.as_ref()];
        let copies = routing::copies(&desired.topology, call);
        let marks = match copies {
            Some(_) => Some(quiet::mark(self.pods.sidecars_mut()).await?),
            None => None,
        };
        let before = self.pods.mark(ends).await?;
        // The pin; the proxy took it in while it was asked for its counters.
        self.pods.in_force(&self.control).await?;
        let mut caller = self.dial(desired, call, &nonce).await?;
        let mut cluster = None;
        if let (Some(copies), Some(marks)) = (copies, marks) {
            // Nobody waits for a copy, so it may come to its end after the call has.
            let owed = Owed::of_copies(call, copies.clusters, desired.connections);
            quiet::wait(self.pods.sidecars_mut(), marks, &owed).await?;
            cluster = Some(copies.cluster_of_call);
        }
        if call.kind == CallKind::Mirrored {
            // Of its copy a caller sees nothing.
            caller = Caller::default();
        }
        let mut gathered = self
            .pods
            .gather(&caller, ends, before, desired.connections, cluster.as_deref())
            .await?;
        if let (CallKind::Mirrored, Some(client)) = (call.kind, &mut gathered.client) {
            // They are of the call itself; of copies Envoy logs nothing.
            client.access_log.clear();
            gathered.istio[0].clear();
        }
        self.logs = ends
            .into_iter()
            .zip(std::mem::take(&mut gathered.istio))
            .filter_map(|(pod, lines)| (!lines.is_empty()).then_some((pod?, lines)))
            .map(|(pod, lines)| proxy_logs(pod, lines))
            .collect();
        if gathered.incomplete.is_some() {
            self.run.check_room()?;
        }
        if let Some(server) = &mut gathered.server {
            // The listener's SAN prefixes; they are in force, or the state would not have been.
            server.accepted_trust_domains = desired.topology.trust_domains();
        }
        let seen = self.pods.drain_applications();
        // A call and its copy carry the same nonce.
        let is_there = |pod: &PodName| cluster.is_none() || server_pod.as_ref() == Some(pod);
        let application = seen
            .into_iter()
            .find(|(pod, seen)| is_of_call(seen, &nonce) && is_there(pod));
        Ok(Evidence {
            kind: call.kind,
            payload: call.payload,
            caller,
            instruments: gathered.instruments(),
            client_proxy: gathered.client,
            server_proxy: gathered.server,
            application: application.map(|(_, seen)| seen.application),
            incomplete: gathered.incomplete,
        })
    }
}

#[async_trait]
impl Mesh for LocalMesh {
    fn tier(&self) -> Tier {
        Tier::Local
    }

    async fn apply(&mut self, desired: Desired) -> Result<(), MeshError> {
        // Connections that were kept open are closed by the change, and logged when they are.
        let kept_open = self.desired.as_ref().is_some_and(|before| {
            before.connections == Connections::Reuse && desired.connections != Connections::Reuse
        });
        let marks = match kept_open {
            true => Some(quiet::mark(self.pods.sidecars_mut()).await?),
            false => None,
        };
        self.pods.replace(&self.control, &desired).await?;
        let authority = self
            .authority
            .get_or_insert_with(|| Authority::new(&desired.topology.mesh.trust_domain));
        self.pods
            .push_secrets(&self.control, authority, &desired.conditions)?;
        let detours = self.obstacles.detours(&desired.conditions).await;
        self.places = Places {
            detours: detours.map_err(|source| MeshError::Obstacle { source })?,
            ..self.pods.places(&desired)?
        };
        self.pods.push(&self.control, &desired, &self.places);
        self.pods.in_force(&self.control).await?;
        self.pods.left().await;
        expiry::awaited(authority, &desired.conditions.credentials).await?;
        if let Some(marks) = marks {
            let owed = Owed::of(&[], desired.connections, &desired.topology);
            quiet::wait(self.pods.sidecars_mut(), marks, &owed).await?;
        }
        self.desired = Some(desired);
        Ok(())
    }

    async fn apply_under_load(
        &mut self,
        states: Vec<Desired>,
        load: &[Call],
    ) -> Result<Vec<Vec<Tally>>, MeshError> {
        let mut states = states.into_iter();
        let Some(first) = states.next() else {
            return Ok(Vec::new());
        };
        let connections = first.connections;
        self.apply(first).await?;
        let mut calls = Vec::new();
        for call in load {
            if let Some(desired) = self.desired.take() {
                self.pin(&desired, call);
                self.desired = Some(desired);
            }
            calls.push((call.clone(), self.way_of_load(call)?));
        }
        self.pods.in_force(&self.control).await?;
        let marks = quiet::mark(self.pods.sidecars_mut()).await?;
        let mut load = Load::start(calls, connections);
        load.enough().await?;
        for state in states {
            load.change();
            self.apply(state).await?;
            load.in_force(|call| self.way_of_load(call))?;
            load.enough().await?;
            if let (Some(authority), Some(desired)) = (&mut self.authority, &self.desired) {
                expiry::not_yet(authority, &desired.conditions.credentials)?;
            }
        }
        let tallies = load.end().await?;
        if let Some(desired) = &self.desired {
            let owed = Owed::of(&tallies, connections, &desired.topology);
            quiet::wait(self.pods.sidecars_mut(), marks, &owed).await?;
        }
        Ok(tallies.into_iter().map(|(_, tallies)| tallies).collect())
    }

    async fn call(&mut self, call: &Call) -> Result<Evidence, MeshError> {
        let desired = self.desired.take().ok_or_else(|| unplanned(call))?;
        let evidence = async {
            self.pin(&desired, call);
            self.observe(&desired, call).await
        }
        .await;
        self.desired = Some(desired);
        evidence
    }

    fn logs_of_call(&mut self) -> Vec<ProxyLogs> {
        std::mem::take(&mut self.logs)
    }

    fn directory(&self) -> Option<&Path> {
        Some(self.run.path())
    }

    fn components(&self) -> Vec<Component> {
        self.pods.components()
    }

    async fn down(&mut self) {
        self.pods.stop(&self.control).await;
    }
}

/// The pin that makes the caller's sidecar reach the endpoint the call is about; none where there is no choice.
fn pin_of(topology: &Topology, call: &Call) -> Option<Pin> {
    let (namespace, name, port) = call.to.service()?;
    let endpoint = call.endpoint.clone()?;
    if candidates(topology, call).len() < 2 {
        return None;
    }
    let outbound = topology.outbound(&call.from, namespace, name, port, call.subset.as_deref())?;
    (outbound.discovery == Discovery::Eds).then(|| Pin {
        cluster: outbound.cluster_name(),
        pod: endpoint,
    })
}

/// The lines of one proxy, by whose log they are of.
fn proxy_logs(pod: &PodName, lines: Vec<(Marked, String)>) -> ProxyLogs {
    let mut logs = ProxyLogs {
        pod: pod.to_string(),
        ..ProxyLogs::default()
    };
    for (mark, line) in lines {
        match mark {
            Marked::Text => logs.text.push(line),
            Marked::Json => logs.json.push(line),
            Marked::Visible => logs.with_visibility.push(line),
        }
    }
    logs
}

/// Bytes that no application understood carry no nonce; calls are made one at a time, so they are this call's.
fn is_of_call(seen: &Seen, nonce: &str) -> bool {
    seen.nonce.as_deref().is_none_or(|seen| seen == nonce)
}

/// Whether what the call names has an address. A headless Service has none but those of its pods. A host that no
/// object declares has none here; where only the registry is reachable it may have one, for it makes no difference.
fn resolves(topology: &Topology, call: &Call, through_sidecar: bool) -> bool {
    match &call.to {
        Destination::Host { .. } => {
            through_sidecar && topology.mesh.outbound_traffic_policy == OutboundTrafficPolicy::RegistryOnly
        }
        Destination::Service { namespace, name, .. } => {
            let service = topology.service(namespace, name);
            service.is_none_or(|service| !service.headless) || !candidates(topology, call).is_empty()
        }
        Destination::Pod { .. } => true,
    }
}

fn unplanned(call: &Call) -> MeshError {
    not_planned(call, "a desired state")
}

fn not_planned(call: &Call, missing: &str) -> MeshError {
    MeshError::NotPlanned {
        call: Box::new(call.clone()),
        missing: missing.to_owned(),
    }
}

/// What a name that leads nowhere gives its caller.
fn unreachable() -> Caller {
    Caller {
        connect: Connect::Unreachable,
        ..Caller::default()
    }
}
