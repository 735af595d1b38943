//! The `netns` tier: the sidecars of the `local` tier, each pod in a network namespace of its own, with Istio's capture.
//!
//! Pods have addresses, Services have addresses, and what an application sends or is sent is led to its sidecar by the
//! rules of istio-iptables. So sidecars have the listeners that istiod sends, and what goes wrong below them can go
//! wrong: bytes that bypass a sidecar, or are led to a wrong port.
//!
//! Nothing of it is to be seen outside: the namespaces have no names, and the bridge is in one of its own. The system
//! takes them away when the harness ends, in whatever way.

mod addresses;
mod capture;
mod command;
mod fabric;
mod measure;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use socket2::Socket;

use super::sidecars::{Exemption, Home, Housed, Network, SidecarMesh};
use super::{Capability, Desired, MeshError, Settings, Tier};
use crate::call::PodName;
use crate::fault::Obstacle;
use crate::istio::Workload;
use crate::network_namespace::NetworkNamespace;

use addresses::{Addresses, ServiceAddresses};
use capture::{MARK, PASSTHROUGH_SOURCE, Rules, SILENT_PORT};
pub use command::NetnsError;
use fabric::Fabric;
pub(super) use measure::measure;
pub(crate) use measure::time_of_namespaces;

/// Capture, and policy in the root namespace; no istiod, no webhook.
pub(super) const CAPABILITIES: &[Capability] = &[Capability::Interception, Capability::RootNamespace];

/// A mesh of real Envoys in network namespaces.
pub(crate) type NetnsMesh = SidecarMesh<Namespaces>;

impl NetnsMesh {
    /// Prepares an empty mesh. Nothing runs yet but its control plane.
    ///
    /// # Errors
    /// When the run directory or the control-plane socket cannot be made.
    pub(crate) fn new(settings: Settings) -> Result<Self, MeshError> {
        Self::over(Namespaces::default(), settings)
    }
}

/// Network namespaces, joined by a bridge.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    fabric: Option<Fabric>,
    services: ServiceAddresses,
}

/// What a pod has of the network.
#[derive(Debug)]
pub(crate) struct PodNetwork {
    namespace: NetworkNamespace,
    address: Ipv4Addr,
    /// The rules in force.
    rules: Option<Rules>,
    /// What accepts and never answers, once something asked for it.
    silence: Option<Socket>,
}

#[async_trait]
impl Network for Namespaces {
    const TIER: Tier = Tier::Netns;
    const EXEMPTION: Option<Exemption> = Some(Exemption {
        mark: MARK,
        source: PASSTHROUGH_SOURCE,
    });
    type Home = PodNetwork;
    type Places = Addresses;

    async fn homes(&mut self, pods: &[(PodName, &Workload)]) -> Result<Vec<PodNetwork>, MeshError> {
        let fabric = match self.fabric.take() {
            Some(fabric) => fabric,
            None => Fabric::new().await?,
        };
        let joined = self.fabric.insert(fabric).join(pods.len()).await?;
        let homes = joined.into_iter().map(|(namespace, address)| PodNetwork {
            namespace,
            address,
            rules: None,
            silence: None,
        });
        Ok(homes.collect())
    }

    async fn places(
        &mut self,
        desired: &Desired,
        mut pods: Vec<Housed<'_, PodNetwork>>,
    ) -> Result<Addresses, MeshError> {
        let pod_addresses: BTreeMap<PodName, Ipv4Addr> = pods
            .iter()
            .map(|pod| (pod.name.clone(), pod.home.address))
            .collect();
        let addresses = self.services.assign(desired, Arc::new(pod_addresses));
        let enforced = pods.iter_mut().map(|pod| {
            let rules = Rules {
                captured: pod.has_sidecar,
                lets_calls_pass: desired.conditions.uncaptured.contains(&pod.name.workload),
                services: addresses.reached_by(desired, pod.name),
                obstacles: desired
                    .conditions
                    .obstacles
                    .get(&pod.name.workload)
                    .cloned()
                    .unwrap_or_default(),
            };
            pod.home.enforce(rules)
        });
        try_join_all(enforced).await?;
        Ok(addresses)
    }
}

impl PodNetwork {
    async fn enforce(&mut self, rules: Rules) -> Result<(), MeshError> {
        if self.rules.as_ref() == Some(&rules) {
            return Ok(());
        }
        if rules.obstacles.values().any(|it| *it == Obstacle::Silence) && self.silence.is_none() {
            let silence = self.silence().await;
            self.silence = Some(silence.map_err(|source| MeshError::Obstacle { source })?);
        }
        capture::enforce(&self.namespace, &rules).await?;
        self.rules = Some(rules);
        Ok(())
    }

    async fn silence(&self) -> std::io::Result<Socket> {
        let socket = self.namespace.tcp_socket(None).await?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, SILENT_PORT)).into())?;
        socket.listen(128)?;
        Ok(socket)
    }
}

impl Home for PodNetwork {
    fn namespace(&self) -> &NetworkNamespace {
        &self.namespace
    }

    fn listens_at(&self, port: u16) -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, port).into()
    }
}
