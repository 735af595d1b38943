//! The `local` tier: one real Envoy per sidecar on loopback ports, applications and control plane in-process.
//!
//! Needs no root, no Docker, no cluster. What it lacks is interception: in its place every destination a call names
//! has a front of its own (see `envoy::config`), carrying the address that interception would have told.

mod alone;
mod floor;
mod fronts;
mod obstacles;
mod ports;
#[cfg(test)]
mod recorded;

use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;

use super::sidecars::{Exemption, Home, Housed, Network, SidecarMesh, pod_ports};
use super::{Capability, Desired, MeshError, Settings, Tier};
use crate::call::PodName;
use crate::envoy::config;
use crate::istio::Workload;
use crate::network_namespace::NetworkNamespace;

pub use floor::{Floor, PhaseFloor, floor};
use fronts::{Fronts, front_names};
use obstacles::Obstacles;
use ports::Ports;

/// Policy in the root namespace is ours to change, and that is all: no interception, no istiod, no webhook.
pub(super) const CAPABILITIES: &[Capability] = &[Capability::RootNamespace];

/// A mesh of real Envoys on loopback.
pub(crate) type LocalMesh = SidecarMesh<Loopback>;

impl LocalMesh {
    /// Prepares an empty mesh. Nothing runs yet but its control plane.
    ///
    /// # Errors
    /// When the run directory or the control-plane socket cannot be made.
    pub(crate) fn new(settings: Settings) -> Result<Self, MeshError> {
        Self::over(Loopback::default(), settings)
    }
}

/// The loopback interface, shared by all pods.
#[derive(Debug, Default)]
pub(crate) struct Loopback {
    obstacles: Obstacles,
}

#[async_trait]
impl Network for Loopback {
    const TIER: Tier = Tier::Local;
    const EXEMPTION: Option<Exemption> = None;
    type Home = Ports;
    type Places = Fronts;

    async fn homes(&mut self, pods: &[(PodName, &Workload)]) -> Result<Vec<Ports>, MeshError> {
        Ok(pods.iter().map(|_| Ports::default()).collect())
    }

    async fn places(&mut self, desired: &Desired, pods: Vec<Housed<'_, Ports>>) -> Result<Fronts, MeshError> {
        let detours = self.obstacles.detours(&desired.conditions).await;
        let mut fronts = Fronts {
            detours: detours.map_err(|source| MeshError::Obstacle { source })?,
            ..Fronts::default()
        };
        for pod in pods {
            let Housed { name, home, .. } = pod;
            let applications = pod.applications.into_iter();
            fronts
                .applications
                .extend(applications.map(|(port, address)| ((name.clone(), port), address)));
            if !pod.has_sidecar {
                continue;
            }
            let mut place = |listener: &str| {
                home.of(listener).map_err(|source| MeshError::NoPort {
                    pod: name.clone(),
                    source,
                })
            };
            for port in pod_ports(desired, &name.workload) {
                let address = place(&config::inbound_name(port))?;
                fronts.sidecars.insert((name.clone(), port), address);
            }
            if name.ordinal == 0 {
                for front in front_names(desired, &name.workload) {
                    let address = place(&front)?;
                    fronts.fronts.insert((name.clone(), front), address);
                }
            }
        }
        Ok(fronts)
    }
}

impl Home for Ports {
    fn namespace(&self) -> &NetworkNamespace {
        NetworkNamespace::own()
    }

    fn listens_at(&self, _: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }
}
