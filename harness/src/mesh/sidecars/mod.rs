//! What the tiers have in common whose sidecars are processes of this machine: pods with real Envoys and in-process
//! applications, one control plane, calls and their evidence. How pods are joined is a [`Network`].

mod application;
mod expiry;
mod load;
mod network;
mod observe;
mod pods;
mod quiet;
mod resources;
mod routing;
mod sidecar;
mod unobserved;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::call::{Call, CallKind, Connections, Destination, PodName};
use crate::envoy::logs::Marked;
use crate::envoy::xds::ControlPlane;
use crate::istio::Topology;
use crate::istio::policy::Discovery;
use crate::network_namespace::NetworkNamespace;
use crate::pki::Authority;
use crate::probe::agent::Seen;
use crate::probe::dial::{self, TlsOffer};
use crate::probe::evidence::{Caller, Connect, Evidence};
use crate::snapshot::OutboundTrafficPolicy;
use crate::wire::Tap;

pub(super) use super::reached::{PodPort, target};
use super::reached::{alpn_of_a_sidecar, candidates};
use super::{Component, Desired, Mesh, MeshError, ProxyLogs, RunDirectory, Settings, Tally, Tier};
pub use application::{ApplicationError, ApplicationServer, Speaks};
use load::{Load, Way};
pub(super) use network::stored;
pub(crate) use network::{Exemption, Home, Housed, NOWHERE, Network, Places, Told};
use pods::Pods;
use quiet::Owed;
use resources::Pin;
pub(super) use resources::{calls_of, pod_ports};

/// How long a caller waits for its answer. Refusals come within milliseconds; only silence takes this long.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one waits for a server to speak first. A greeting comes within milliseconds; where a proxy waits for the client
/// to speak none ever comes, and the proxy tells of it.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

/// The control plane's socket in the run directory.
pub(super) const CONTROL_SOCKET: &str = "xds";

/// A mesh of real Envoys on this machine.
///
/// Fields are dropped in their order: a proxy that still runs while its directory is removed may leave a file behind.
pub(crate) struct SidecarMesh<N: Network> {
    pub(super) pods: Pods<N>,
    pub(super) control: ControlPlane,
    network: N,
    pub(super) run: RunDirectory,
    pub(super) authority: Option<Authority>,
    desired: Option<Desired>,
    places: N::Places,
    calls_made: u64,
    /// How long each call took its caller, from dialling to its result, in their order.
    dialled: Vec<Duration>,
    /// Of the last call.
    logs: Vec<ProxyLogs>,
}

impl<N: Network> SidecarMesh<N> {
    /// Prepares an empty mesh. Nothing runs yet but its control plane.
    ///
    /// # Errors
    /// When the run directory or the control-plane socket cannot be made.
    pub(super) fn over(mut network: N, settings: Settings) -> Result<Self, MeshError> {
        let run = RunDirectory::create(settings.keep)?;
        network.settle(run.path());
        let socket = run.path().join(CONTROL_SOCKET);
        let control = ControlPlane::start(&socket)?;
        Ok(Self {
            pods: Pods::new(settings, run.path(), &socket),
            control,
            authority: None,
            run,
            desired: None,
            places: N::Places::default(),
            network,
            calls_made: 0,
            dialled: Vec::new(),
            logs: Vec::new(),
        })
    }

    /// The operating system's ids of the proxies running now.
    pub(crate) fn process_ids(&self) -> Vec<u32> {
        self.pods.process_ids()
    }

    /// How long each call took its caller, from dialling to its result, in the order in which they were made.
    pub(crate) fn dialled(&self) -> &[Duration] {
        &self.dialled
    }

    /// Where everything of this run is.
    pub(crate) fn folder(&self) -> &Path {
        self.run.path()
    }

    /// The admin sockets of the proxies running now.
    pub(crate) fn admin_sockets(&self) -> Vec<(PodName, PathBuf)> {
        self.pods.admin_sockets()
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
        let through_sidecar = call.kind.is_of_application()
            && client.has_sidecar()
            && !desired.conditions.uncaptured.contains(&call.from);
        if !resolves(&desired.topology, call, through_sidecar) {
            return Ok(None);
        }
        let address = if through_sidecar {
            let entrance = self.places.entrance(&desired.topology, call);
            entrance.ok_or_else(|| not_planned(call, "a place where the client's sidecar takes it in"))?
        } else {
            direct.unwrap_or_else(|| NOWHERE.into())
        };
        let authority = match &call.to {
            Destination::Pod { port, .. } => {
                direct.map_or_else(|| format!("127.0.0.1:{port}"), |it| it.to_string())
            }
            other => other.authority(&desired.topology.mesh.cluster_domain),
        };
        Ok(Some(Way {
            origin: self.origin(call)?,
            address,
            authority,
        }))
    }

    /// Where to listen in on a call, and on the way to where, if that is wanted.
    fn tapped(&self, desired: &Desired, call: &Call) -> Option<(NetworkNamespace, SocketAddr)> {
        let (pod, port) = target(&desired.topology, call)?;
        let called = self.places.reach(&desired.topology, &pod, port)?;
        Some((self.pods.tapped(&call.from.pod(0))?, called))
    }

    /// Where a call comes from: its client's first pod, past the sidecar's capture where it is no application's.
    fn origin(&self, call: &Call) -> Result<load::Origin, MeshError> {
        let namespace = self.pods.namespace(&call.from.pod(0));
        let mark = N::EXEMPTION.filter(|_| !call.kind.is_of_application());
        Ok(load::Origin {
            namespace: namespace.ok_or_else(|| not_planned(call, "the client's pod"))?,
            mark: mark.map(|exemption| exemption.mark),
        })
    }

    /// Where the requests of a load go; to no listener where what the call names has no address.
    fn way_of_load(&self, call: &Call) -> Result<Way, MeshError> {
        let desired = self.desired.as_ref().ok_or_else(|| unplanned(call))?;
        if let Some(way) = self.way(desired, call)? {
            return Ok(way);
        }
        Ok(Way {
            origin: self.origin(call)?,
            address: NOWHERE.into(),
            authority: call.to.authority(&desired.topology.mesh.cluster_domain),
        })
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
        let enters_sidecar =
            call.kind.is_of_application() && !desired.conditions.uncaptured.contains(&call.from);
        let client = enters_sidecar.then(|| call.from.pod(0));
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
        let tap = match self.tapped(desired, call) {
            Some((namespace, called)) => Some(Tap::open(&namespace, called).await?),
            None => None,
        };
        let began = Instant::now();
        let mut caller = self.dial(desired, call, &nonce).await?;
        self.dialled.push(began.elapsed());
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
        let wire = match tap {
            Some(tap) => tap.told(&self.pods.key_logs(ends)).await?,
            None => Vec::new(),
        };
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
            port: server.as_ref().map(|(_, port)| *port),
            foreign_application: false,
            caller,
            instruments: gathered.instruments(),
            client_proxy: gathered.client,
            server_proxy: gathered.server,
            kernel: Vec::new(),
            wire,
            application: application.map(|(_, seen)| seen.application),
            incomplete: gathered.incomplete,
        })
    }
}

#[async_trait]
impl<N: Network> Mesh for SidecarMesh<N> {
    fn tier(&self) -> Tier {
        N::TIER
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
        self.pods
            .replace(&mut self.network, &self.control, &desired)
            .await?;
        let authority = authority_of(&mut self.authority, &desired);
        self.pods
            .push_secrets(&self.control, authority, &desired.conditions)?;
        let housed = self.pods.housed();
        self.places = self.network.places(&desired, housed).await?;
        self.pods.push(&self.control, &desired, &self.places);
        self.pods.in_force(&self.control).await?;
        self.pods.left().await;
        expiry::awaited(authority, &desired.conditions.credentials).await?;
        if let Some(marks) = marks {
            let owed = Owed::of(&[], desired.connections, &desired.topology, |_| true);
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
            let was_there = |pod: &PodName| self.pods.running(pod).is_some_and(|it| marks.are_of(it));
            let owed = Owed::of(&tallies, connections, &desired.topology, was_there);
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

    async fn config_dumps(&mut self) -> Result<Vec<(PodName, String)>, MeshError> {
        self.pods.config_dumps().await
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

impl<N: Network> Drop for SidecarMesh<N> {
    /// An interrupt or an error ends all proxies at once; each is then waited for, and most are gone by then.
    fn drop(&mut self) {
        for (_, sidecar) in self.pods.sidecars_mut() {
            sidecar.kill(&self.control);
        }
    }
}

/// The mesh's authority, which is made for its first state.
pub(super) fn authority_of<'a>(authority: &'a mut Option<Authority>, state: &Desired) -> &'a mut Authority {
    authority.get_or_insert_with(|| Authority::new(&state.topology.mesh.trust_domain))
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
