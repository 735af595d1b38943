//! The pods of the mesh: their applications, their sidecars, and the order in which they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::try_join_all;
use semver::Version;
use tokio::task::JoinSet;

use crate::call::{Connections, Payload, PodName};
use crate::envoy::binary::EnvoyBinary;
use crate::envoy::config::IstioLogs;
use crate::envoy::xds::ControlPlane;
use crate::fault::Conditions;
use crate::istio::policy::ListenerClass;
use crate::istio::{Topology, Workload};
use crate::mesh::{Component, Desired, MeshError, Settings};
use crate::network_namespace::NetworkNamespace;
use crate::pki::{Authority, Supply};
use crate::probe::evidence::Caller;

use super::application::{ApplicationServer, Speaks};
use super::network::{Home as _, Housed, Network};
use super::observe::{self, Before, Ends, Gathered};
use super::resources::{self, Pin, pod_ports};
use super::sidecar::Sidecar;
use crate::mesh::reached::candidates;
use crate::probe::agent::Seen;

/// One pod.
struct Pod<N: Network> {
    /// What it was made from; a change makes a new pod.
    made_from: Workload,
    /// The secrets it got; to be without one it has to be new.
    supply: Supply,
    /// How often it was restarted until it came.
    restarts: u32,
    applications: BTreeMap<u16, ApplicationServer>,
    sidecar: Option<Sidecar>,
    /// Its proxy and its applications are in it, so it goes after them.
    home: N::Home,
}

/// All pods, and what is needed to make more.
pub(in crate::mesh) struct Pods<N: Network> {
    settings: Settings,
    istio_logs: Option<Arc<IstioLogs>>,
    folder: PathBuf,
    control_socket: PathBuf,
    pods: BTreeMap<PodName, Pod<N>>,
    binaries: BTreeMap<Version, EnvoyBinary>,
    pins: BTreeMap<PodName, Pin>,
    sidecars_started: usize,
    /// The ends of pods that are leaving. They share nothing with those that come, who need not wait for them.
    leaving: JoinSet<()>,
}

impl<N: Network> Pods<N> {
    pub(super) fn new(settings: Settings, folder: &Path, control_socket: &Path) -> Self {
        Self {
            istio_logs: IstioLogs::of_settings(settings.access_logs).map(Arc::new),
            settings,
            folder: folder.to_owned(),
            control_socket: control_socket.to_owned(),
            pods: BTreeMap::new(),
            binaries: BTreeMap::new(),
            pins: BTreeMap::new(),
            sidecars_started: 0,
            leaving: JoinSet::new(),
        }
    }

    /// Begins to end pods that should not be, or not as they are, and starts those that should.
    pub(super) async fn replace(
        &mut self,
        network: &mut N,
        control: &ControlPlane,
        desired: &Desired,
    ) -> Result<(), MeshError> {
        self.provide_binaries(network, &desired.topology).await?;
        let wanted: BTreeMap<PodName, &Workload> = desired
            .topology
            .workloads
            .values()
            .filter(|workload| !desired.conditions.killed.contains(&workload.name))
            .flat_map(|workload| {
                (0..workload.replicas).map(move |ordinal| (workload.name.pod(ordinal), workload))
            })
            .collect();
        let outdated: Vec<PodName> = self
            .pods
            .iter()
            .filter(|(name, pod)| {
                wanted
                    .get(*name)
                    .is_none_or(|workload| **workload != pod.made_from)
                    || supply(&desired.conditions, name).lacks_of(pod.supply)
                    || restarts(&desired.conditions, name) != pod.restarts
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in outdated {
            if let Some(pod) = self.pods.remove(&name) {
                pod.leave(control, &mut self.leaving);
            }
            self.pins.remove(&name);
        }
        let new: Vec<(PodName, &Workload)> = wanted
            .into_iter()
            .filter(|(name, _)| !self.pods.contains_key(name))
            .collect();
        let homes = network.homes(&new).await?;
        let mut coming = Vec::new();
        for ((name, workload), home) in new.into_iter().zip(homes) {
            let sidecar = self.sidecar_of(&name, workload, &home)?;
            coming.push((name, workload, home, sidecar));
        }
        let come = try_join_all(
            coming
                .into_iter()
                .map(|(name, workload, home, sidecar)| async move {
                    let sidecar = match sidecar {
                        Some(sidecar) => Some(sidecar.await?),
                        None => None,
                    };
                    let made_from = workload.clone();
                    let pod = Pod {
                        made_from,
                        supply: supply(&desired.conditions, &name),
                        restarts: restarts(&desired.conditions, &name),
                        applications: BTreeMap::new(),
                        sidecar,
                        home,
                    };
                    Ok::<_, MeshError>((name, pod))
                }),
        );
        self.pods.extend(come.await?);
        self.start_applications(desired).await
    }

    async fn provide_binaries(&mut self, network: &mut N, topology: &Topology) -> Result<(), MeshError> {
        let releases: BTreeSet<Version> = topology
            .workloads
            .values()
            .filter_map(|workload| workload.proxy_release().cloned())
            .filter(|release| !self.binaries.contains_key(release))
            .collect();
        if releases.is_empty() {
            return Ok(());
        }
        let provided = network
            .binaries(releases.into_iter().collect(), &self.settings)
            .await?;
        self.binaries.extend(provided);
        Ok(())
    }

    /// The start of the sidecar of a pod that has one.
    fn sidecar_of(
        &mut self,
        name: &PodName,
        workload: &Workload,
        home: &N::Home,
    ) -> Result<Option<impl Future<Output = Result<Sidecar, MeshError>> + use<N>>, MeshError> {
        let Some(release) = workload.proxy_release() else {
            return Ok(None);
        };
        let binary = self
            .binaries
            .get(release)
            .cloned()
            .ok_or_else(|| MeshError::Internal(format!("no envoy was provided for {release}")))?;
        self.sidecars_started += 1;
        let number = self.sidecars_started;
        let (name, folder, socket) = (name.clone(), self.folder.clone(), self.control_socket.clone());
        let host = home.host();
        let mark = N::EXEMPTION.map(|exemption| exemption.mark);
        let tells_secrets = self.settings.wire;
        Ok(Some(async move {
            let place = (&*host, mark);
            Sidecar::start(&name, number, binary, &folder, &socket, place, tells_secrets).await
        }))
    }

    /// Of the ports that a Service, a container, or a planned call names, applications listen on those that are theirs.
    async fn start_applications(&mut self, desired: &Desired) -> Result<(), MeshError> {
        for (name, pod) in &mut self.pods {
            for port in pod_ports(desired, &name.workload) {
                let speaks = speaks(desired, name, port);
                let running = pod.applications.get(&port);
                if !pod.made_from.listens_on(port) || running.is_some_and(|it| it.speaks() == speaks) {
                    continue;
                }
                if let Some(other) = pod.applications.remove(&port) {
                    other.stop().await;
                }
                let (namespace, address) = (pod.home.namespace(), pod.home.listens_at(port));
                let application = ApplicationServer::start(name, port, speaks, namespace, address).await?;
                pod.applications.insert(port, application);
            }
        }
        Ok(())
    }

    pub(super) fn push_secrets(
        &mut self,
        control: &ControlPlane,
        authority: &mut Authority,
        conditions: &Conditions,
    ) -> Result<(), MeshError> {
        let system_roots = authority.stranger()?;
        for (name, pod) in &mut self.pods {
            if let Some(sidecar) = &mut pod.sidecar {
                let issued = authority.issue(&conditions.credentials, &name.workload)?;
                pod.supply = supply(conditions, name);
                sidecar.push_secrets(control, &issued, &system_roots, pod.supply);
            }
        }
        Ok(())
    }

    /// Tells every sidecar what it should know.
    pub(super) fn push(&mut self, control: &ControlPlane, desired: &Desired, places: &N::Places) {
        for (name, pod) in &mut self.pods {
            let pin = self.pins.get(name);
            pod.push(control, desired, places, name, pin, self.istio_logs.as_ref());
        }
    }

    /// Shows `client` only the endpoint of `pin`, or all of them.
    pub(super) fn pin(
        &mut self,
        control: &ControlPlane,
        desired: &Desired,
        places: &N::Places,
        client: &PodName,
        pin: Option<Pin>,
    ) {
        if let Some(pod) = self.pods.get_mut(client) {
            let istio_logs = self.istio_logs.as_ref();
            pod.push(control, desired, places, client, pin.as_ref(), istio_logs);
        }
        match pin {
            Some(pin) => self.pins.insert(client.clone(), pin),
            None => self.pins.remove(client),
        };
    }

    /// Waits until what any sidecar was told is in force.
    pub(super) async fn in_force(&mut self, control: &ControlPlane) -> Result<(), MeshError> {
        let sidecars = self.pods.values_mut().filter_map(|pod| pod.sidecar.as_mut());
        try_join_all(sidecars.map(|sidecar| sidecar.in_force(control))).await?;
        Ok(())
    }

    /// All pods, and where their applications listen.
    pub(super) fn housed(&mut self) -> Vec<Housed<'_, N::Home>> {
        let housed = self.pods.iter_mut().map(|(name, pod)| Housed {
            name,
            home: &mut pod.home,
            has_sidecar: pod.sidecar.is_some(),
            applications: pod
                .applications
                .iter()
                .map(|(port, it)| (*port, it.address()))
                .collect(),
        });
        housed.collect()
    }

    /// Where the sockets of a pod are.
    pub(super) fn namespace(&self, pod: &PodName) -> Option<NetworkNamespace> {
        Some(self.pods.get(pod)?.home.namespace().clone())
    }

    /// Whether the client is shown exactly what `pin` says.
    pub(super) fn is_pinned(&self, client: &PodName, pin: Option<&Pin>) -> bool {
        self.pins.get(client) == pin
    }

    /// What applications saw since the last look.
    pub(super) fn drain_applications(&self) -> Vec<(PodName, Seen)> {
        let of_pod = |(name, pod): (&PodName, &Pod<N>)| {
            let seen = pod.applications.values().flat_map(ApplicationServer::drain);
            seen.map(|seen| (name.clone(), seen)).collect::<Vec<_>>()
        };
        self.pods.iter().flat_map(of_pod).collect()
    }

    /// Marks the present at both ends of a call.
    pub(super) async fn mark(
        &mut self,
        ends: [Option<&PodName>; 2],
    ) -> Result<[Option<Before>; 2], MeshError> {
        let [client, server] = self.ends(ends);
        let (client, server) = tokio::try_join!(observe::mark(client), observe::mark(server))?;
        Ok([client, server])
    }

    /// Waits for the evidence of the call made since the marks.
    pub(super) async fn gather(
        &mut self,
        caller: &Caller,
        ends: [Option<&PodName>; 2],
        [client_before, server_before]: [Option<Before>; 2],
        connections: Connections,
        cluster: Option<&str>,
    ) -> Result<Gathered, MeshError> {
        let calls_itself = ends[0].is_some() && ends[0] == ends[1];
        let [client, server] = self.ends(ends);
        let (client, server) = (client.zip(client_before), server.zip(server_before));
        let ends = match calls_itself {
            true => Ends::One(client),
            false => Ends::Two(client, server),
        };
        observe::gather(caller, ends, connections, cluster).await
    }

    /// The sidecars at both ends of a call; a pod that calls itself has one, and it is given as the client's.
    fn ends(&mut self, [client, server]: [Option<&PodName>; 2]) -> [Option<&mut Sidecar>; 2] {
        let mut sidecars: BTreeMap<&PodName, &mut Sidecar> = self
            .pods
            .iter_mut()
            .filter_map(|(name, pod)| Some((name, pod.sidecar.as_mut()?)))
            .collect();
        [client, server].map(|pod| sidecars.remove(pod?))
    }

    /// Every sidecar that runs.
    pub(super) fn sidecars_mut(&mut self) -> impl Iterator<Item = (&PodName, &mut Sidecar)> {
        let pods = self.pods.iter_mut();
        pods.filter_map(|(name, pod)| Some((name, pod.sidecar.as_mut()?)))
    }

    /// The sidecar that runs beside a pod.
    pub(in crate::mesh) fn running(&self, pod: &PodName) -> Option<&Sidecar> {
        self.pods.get(pod)?.sidecar.as_ref()
    }

    #[cfg(test)]
    pub(in crate::mesh) fn sidecar(&mut self, pod: &PodName) -> Option<&mut Sidecar> {
        self.pods.get_mut(pod)?.sidecar.as_mut()
    }

    pub(in crate::mesh) const fn sidecars_started(&self) -> usize {
        self.sidecars_started
    }

    /// The running sidecars that were started after the first `known`.
    pub(in crate::mesh) fn sidecars_since(&self, known: usize) -> impl Iterator<Item = &Sidecar> {
        self.sidecars().filter(move |sidecar| sidecar.number > known)
    }

    pub(super) fn process_ids(&self) -> Vec<u32> {
        self.sidecars().filter_map(Sidecar::process_id).collect()
    }

    fn sidecars(&self) -> impl Iterator<Item = &Sidecar> {
        self.pods.values().filter_map(|pod| pod.sidecar.as_ref())
    }

    /// Where to listen in on what a pod sends, if that is wanted.
    pub(super) fn tapped(&self, pod: &PodName) -> Option<NetworkNamespace> {
        self.namespace(pod).filter(|_| self.settings.wire)
    }

    /// Where the sidecars of these pods tell the secrets of their connections.
    pub(super) fn key_logs(&self, pods: [Option<&PodName>; 2]) -> Vec<PathBuf> {
        let sidecars = pods.into_iter().flatten().filter_map(|pod| self.running(pod));
        sidecars.filter_map(Sidecar::key_log).collect()
    }

    pub(super) fn admin_sockets(&self) -> Vec<(PodName, PathBuf)> {
        let of_pod = |(name, pod): (&PodName, &Pod<N>)| {
            let sidecar = pod.sidecar.as_ref()?;
            Some((name.clone(), sidecar.admin_socket().to_owned()))
        };
        self.pods.iter().filter_map(of_pod).collect()
    }

    pub(super) async fn config_dumps(&mut self) -> Result<Vec<(PodName, String)>, MeshError> {
        let mut dumps = Vec::new();
        for (name, pod) in &mut self.pods {
            if let Some(sidecar) = &mut pod.sidecar {
                dumps.push((name.clone(), sidecar.admin.configuration().await?));
            }
        }
        Ok(dumps)
    }

    pub(super) fn components(&self) -> Vec<Component> {
        let mut components: Vec<Component> = self
            .pods
            .iter()
            .filter_map(|(name, pod)| {
                let binary = &pod.sidecar.as_ref()?.binary;
                Some(Component {
                    workload: name.workload.to_string(),
                    istio: binary.istio.clone(),
                    envoy: binary.version.clone(),
                    provenance: binary.provenance,
                    sha256: binary.sha256.clone(),
                    image: binary.image.clone(),
                })
            })
            .collect();
        components.sort();
        components.dedup();
        components
    }

    pub(super) async fn stop(&mut self, control: &ControlPlane) {
        for pod in std::mem::take(&mut self.pods).into_values() {
            pod.leave(control, &mut self.leaving);
        }
        self.left().await;
    }

    /// Waits until no pod is left of those that were replaced.
    pub(super) async fn left(&mut self) {
        while self.leaving.join_next().await.is_some() {}
    }
}

impl<N: Network> Pod<N> {
    fn push(
        &mut self,
        control: &ControlPlane,
        desired: &Desired,
        places: &N::Places,
        name: &PodName,
        pin: Option<&Pin>,
        istio_logs: Option<&Arc<IstioLogs>>,
    ) {
        if let Some(sidecar) = &mut self.sidecar {
            let instruments = sidecar.instruments(desired.connections, istio_logs.cloned());
            let resources = resources::resources::<N>(desired, name, places, pin, &instruments);
            sidecar.push(control, resources);
        }
    }

    /// Begins to end the pod; `leaving` tells when it has.
    fn leave(mut self, control: &ControlPlane, leaving: &mut JoinSet<()>) {
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.kill(control);
        }
        leaving.spawn(async move {
            if let Some(sidecar) = self.sidecar {
                sidecar.stop().await;
            }
            for application in self.applications.into_values() {
                application.stop().await;
            }
            self.home.leave().await;
        });
    }
}

/// The secrets that reach a pod.
fn supply(conditions: &Conditions, pod: &PodName) -> Supply {
    let held = conditions.credentials.workloads.get(&pod.workload);
    held.map_or(Supply::FULL, |held| held.supply)
}

/// How often a pod was restarted.
fn restarts(conditions: &Conditions, pod: &PodName) -> u32 {
    conditions.restarts.get(pod).copied().unwrap_or_default()
}

/// What the application behind a pod port speaks. HTTP says what is inside; `tcp` says nothing about it. Whether it speaks
/// first no object says: those who call it know.
fn speaks(desired: &Desired, pod: &PodName, port: u16) -> Speaks {
    let topology = &*desired.topology;
    let server_first = desired.calls.iter().any(|call| {
        call.payload == Payload::ServerFirst && candidates(topology, call).contains(&(pod.clone(), port))
    });
    if server_first {
        return Speaks::ServerFirst;
    }
    match topology.declared_class(&pod.workload, port) {
        Some(ListenerClass::Http) => Speaks::Http,
        Some(ListenerClass::Tcp | ListenerClass::Auto) | None => Speaks::Either,
    }
}
