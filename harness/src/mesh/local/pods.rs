//! The pods of the mesh: their applications, their sidecars, and the order in which they come and go.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::try_join_all;
use semver::Version;

use crate::call::PodName;
use crate::envoy::binary::{EnvoyBinary, Store};
use crate::envoy::xds::ControlPlane;
use crate::fault::Conditions;
use crate::istio::policy::ListenerClass;
use crate::istio::{Topology, Workload};
use crate::mesh::{Component, Desired, MeshError, Settings};
use crate::pki::Authority;
use crate::probe::evidence::Caller;

use super::application::{ApplicationServer, Seen, Speaks};
use super::observe::{self, Before, Gathered};
use super::places::Places;
use super::resources::{self, Pin, pod_ports};
use super::sidecar::Sidecar;

/// One pod.
struct Pod {
    /// What it was made from; a change makes a new pod.
    made_from: Workload,
    applications: BTreeMap<u16, ApplicationServer>,
    sidecar: Option<Sidecar>,
}

/// All pods, and what is needed to make more.
pub(super) struct Pods {
    settings: Settings,
    folder: PathBuf,
    control_socket: PathBuf,
    pods: BTreeMap<PodName, Pod>,
    binaries: BTreeMap<Version, EnvoyBinary>,
    pins: BTreeMap<PodName, Pin>,
    sidecars_started: usize,
}

impl Pods {
    pub(super) fn new(settings: Settings, folder: &Path, control_socket: &Path) -> Self {
        Self {
            settings,
            folder: folder.to_owned(),
            control_socket: control_socket.to_owned(),
            pods: BTreeMap::new(),
            binaries: BTreeMap::new(),
            pins: BTreeMap::new(),
            sidecars_started: 0,
        }
    }

    /// Ends pods that should not be, or not as they are, and starts those that should.
    pub(super) async fn replace(
        &mut self,
        control: &ControlPlane,
        desired: &Desired,
    ) -> Result<(), MeshError> {
        self.provide_binaries(&desired.topology).await?;
        let wanted: BTreeMap<PodName, &Workload> = desired
            .topology
            .workloads
            .values()
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
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in outdated {
            if let Some(pod) = self.pods.remove(&name) {
                pod.stop(control).await;
            }
            self.pins.remove(&name);
        }
        for (name, workload) in wanted {
            if !self.pods.contains_key(&name) {
                let sidecar = self.start_sidecar(&name, workload).await?;
                let pod = Pod {
                    made_from: workload.clone(),
                    applications: BTreeMap::new(),
                    sidecar,
                };
                self.pods.insert(name.clone(), pod);
            }
        }
        self.start_applications(desired).await
    }

    async fn provide_binaries(&mut self, topology: &Topology) -> Result<(), MeshError> {
        let releases: BTreeSet<Version> = topology
            .workloads
            .values()
            .filter_map(|workload| workload.proxy_release().cloned())
            .filter(|release| !self.binaries.contains_key(release))
            .collect();
        if releases.is_empty() {
            return Ok(());
        }
        let releases: Vec<Version> = releases.into_iter().collect();
        let (overrides, progress) = (
            self.settings.overrides.clone(),
            Arc::clone(&self.settings.progress),
        );
        // Unpacking and hashing block; a runtime worker must not.
        let provided =
            tokio::task::spawn_blocking(move || Store::user()?.provide(&releases, &overrides, &*progress));
        let provided = provided
            .await
            .map_err(|error| MeshError::Internal(error.to_string()))?;
        self.binaries.extend(provided?);
        Ok(())
    }

    async fn start_sidecar(
        &mut self,
        name: &PodName,
        workload: &Workload,
    ) -> Result<Option<Sidecar>, MeshError> {
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
        let sidecar = Sidecar::start(name, number, binary, &self.folder, &self.control_socket).await?;
        Ok(Some(sidecar))
    }

    /// Applications listen on every port that a Service, a container, or a planned call names.
    async fn start_applications(&mut self, desired: &Desired) -> Result<(), MeshError> {
        for (name, pod) in &mut self.pods {
            for port in pod_ports(desired, &name.workload) {
                if let Entry::Vacant(vacant) = pod.applications.entry(port) {
                    let speaks = speaks(&desired.topology, name, port);
                    vacant.insert(ApplicationServer::start(name, port, speaks).await?);
                }
            }
        }
        Ok(())
    }

    pub(super) fn push_secrets(
        &self,
        control: &ControlPlane,
        authority: &mut Authority,
        conditions: &Conditions,
    ) -> Result<(), MeshError> {
        for (name, pod) in &self.pods {
            if let Some(sidecar) = &pod.sidecar {
                let issued = authority.issue(&conditions.credentials, &name.workload)?;
                sidecar.push_secrets(control, &issued);
            }
        }
        Ok(())
    }

    pub(super) fn push(&self, control: &ControlPlane, desired: &Desired, places: &Places) {
        for (name, pod) in &self.pods {
            if let Some(sidecar) = &pod.sidecar {
                let instruments = sidecar.instruments(desired.reuse_connections);
                let resources =
                    resources::resources(desired, name, places, self.pins.get(name), &instruments);
                control.push(&sidecar.node, resources);
            }
        }
    }

    pub(super) async fn in_force(&mut self, control: &ControlPlane) -> Result<(), MeshError> {
        let sidecars = self.pods.values_mut().filter_map(|pod| pod.sidecar.as_mut());
        try_join_all(sidecars.map(|sidecar| sidecar.in_force(control))).await?;
        Ok(())
    }

    /// Where everything listens now.
    pub(super) async fn places(&self) -> Result<Places, MeshError> {
        let mut places = Places::default();
        for (name, pod) in &self.pods {
            for (port, application) in &pod.applications {
                places
                    .applications
                    .insert((name.clone(), *port), application.address());
            }
            if let Some(sidecar) = &pod.sidecar {
                for (listener, address) in sidecar.listeners().await? {
                    places.learn(name, listener, address);
                }
            }
        }
        Ok(places)
    }

    /// Whether the client is shown exactly what `pin` says.
    pub(super) fn is_pinned(&self, client: &PodName, pin: Option<&Pin>) -> bool {
        self.pins.get(client) == pin
    }

    pub(super) fn pin(&mut self, client: &PodName, pin: Option<Pin>) {
        match pin {
            Some(pin) => self.pins.insert(client.clone(), pin),
            None => self.pins.remove(client),
        };
    }

    /// What applications saw since the last look.
    pub(super) fn drain_applications(&self) -> Vec<Seen> {
        let applications = self.pods.values().flat_map(|pod| pod.applications.values());
        applications.flat_map(ApplicationServer::drain).collect()
    }

    /// Marks the present at both ends of a call.
    pub(super) async fn mark(
        &mut self,
        ends: [Option<&PodName>; 2],
    ) -> Result<[Option<Before>; 2], MeshError> {
        let mut marks = [None, None];
        for (mark, pod) in marks.iter_mut().zip(ends) {
            if let Some(sidecar) = pod.and_then(|pod| self.sidecar(pod)) {
                *mark = Some(observe::mark(sidecar).await?);
            }
        }
        Ok(marks)
    }

    /// Waits for the evidence of the call made since the marks.
    pub(super) async fn gather(
        &mut self,
        caller: &Caller,
        [client, server]: [Option<&PodName>; 2],
        [client_before, server_before]: [Option<Before>; 2],
        reuse_connections: bool,
    ) -> Result<Gathered, MeshError> {
        let mut sidecars: BTreeMap<&PodName, &mut Sidecar> = self
            .pods
            .iter_mut()
            .filter_map(|(name, pod)| Some((name, pod.sidecar.as_mut()?)))
            .collect();
        let client = client.and_then(|pod| sidecars.remove(pod)).zip(client_before);
        let server = server.and_then(|pod| sidecars.remove(pod)).zip(server_before);
        observe::gather(caller, client, server, reuse_connections).await
    }

    pub(super) fn sidecar(&mut self, pod: &PodName) -> Option<&mut Sidecar> {
        self.pods.get_mut(pod)?.sidecar.as_mut()
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
                })
            })
            .collect();
        components.sort();
        components.dedup();
        components
    }

    pub(super) async fn stop(&mut self, control: &ControlPlane) {
        let pods = std::mem::take(&mut self.pods);
        futures_util::future::join_all(pods.into_values().map(|pod| pod.stop(control))).await;
    }
}

impl Pod {
    async fn stop(self, control: &ControlPlane) {
        if let Some(sidecar) = self.sidecar {
            sidecar.stop(control).await;
        }
        for application in self.applications.into_values() {
            application.stop().await;
        }
    }
}

/// What the application behind a pod port speaks, from the Service that declares it.
fn speaks(topology: &Topology, pod: &PodName, port: u16) -> Speaks {
    let class = topology.workloads.get(&pod.workload).and_then(|workload| {
        let services = topology
            .services
            .values()
            .filter(|service| service.workloads.contains(&pod.workload));
        let mut ports = services.flat_map(|service| service.ports.iter());
        ports
            .find(|declared| declared.pod_port(workload) == Some(port))
            .map(|declared| declared.class)
    });
    match class {
        Some(ListenerClass::Http) => Speaks::Http,
        Some(ListenerClass::Tcp) => Speaks::Line,
        Some(ListenerClass::Auto) | None => Speaks::Either,
    }
}
