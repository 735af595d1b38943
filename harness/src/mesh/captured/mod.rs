//! What tiers have in common whose pods have network namespaces of their own, joined by a bridge, with Istio's capture.
//!
//! Pods have addresses, Services have addresses, and what an application sends or is sent is led to its sidecar by the
//! rules of istio-iptables. So sidecars have the listeners that istiod sends, and what goes wrong below them can go
//! wrong: bytes that bypass a sidecar, or are led to a wrong port. Where the namespaces come from is a matter of [`Rooms`].
//!
//! The bridge is in a namespace of its own too, without a name. The system takes it away when the harness ends, in
//! whatever way.

mod addresses;
mod capture;
mod command;
mod fabric;
mod measure;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use semver::Version;
use socket2::Socket;

use super::sidecars::{Exemption, Home, Housed, Network, stored};
use super::{Desired, MeshError, Settings, Tier};
use crate::call::PodName;
use crate::envoy::binary::EnvoyBinary;
use crate::envoy::process::Host;
use crate::fault::Obstacle;
use crate::istio::Workload;
use crate::network_namespace::NetworkNamespace;

use addresses::{Addresses, ServiceAddresses};
use capture::{MARK, PASSTHROUGH_SOURCE, Rules, SILENT_PORT};
pub use command::NetnsError;
use fabric::Fabric;
pub(super) use fabric::namespace;
pub(super) use measure::measure;
pub(crate) use measure::time_of_namespaces;

/// Where the network namespaces of pods come from, and what runs in them.
#[async_trait]
pub(crate) trait Rooms: Send + 'static {
    /// The tier that it makes.
    const TIER: Tier;
    /// The namespace of one pod.
    type Room: Room;

    /// Is told once, before anything else, where the files of this run are.
    fn settle(&mut self, _folder: &Path) {}

    /// The proxies of these releases.
    async fn binaries(
        &mut self,
        releases: Vec<Version>,
        settings: &Settings,
    ) -> Result<BTreeMap<Version, EnvoyBinary>, MeshError> {
        stored(releases, settings).await
    }

    /// Makes a namespace for each of these pods.
    async fn rooms(&mut self, pods: &[(PodName, &Workload)]) -> Result<Vec<Self::Room>, MeshError>;
}

/// The network namespace of one pod.
#[async_trait]
pub(crate) trait Room: Send + Sync + 'static {
    fn namespace(&self) -> &NetworkNamespace;

    /// Where the pod's proxy runs.
    fn host(&self) -> Arc<dyn Host>;

    /// Ends it, once nothing is in it any more.
    async fn leave(self);
}

/// Network namespaces, joined by a bridge.
#[derive(Debug, Default)]
pub(crate) struct Captured<R> {
    rooms: R,
    fabric: Option<Fabric>,
    services: ServiceAddresses,
}

impl<R> Captured<R> {
    pub(super) fn of(rooms: R) -> Self {
        Self {
            rooms,
            fabric: None,
            services: ServiceAddresses::default(),
        }
    }
}

/// What a pod has of the network.
#[derive(Debug)]
pub(crate) struct PodNetwork<R> {
    address: Ipv4Addr,
    /// The rules in force.
    rules: Option<Rules>,
    /// What accepts and never answers, once something asked for it.
    silence: Option<Socket>,
    room: R,
}

#[async_trait]
impl<R: Rooms> Network for Captured<R> {
    const TIER: Tier = R::TIER;
    const EXEMPTION: Option<Exemption> = Some(Exemption {
        mark: MARK,
        source: PASSTHROUGH_SOURCE,
    });
    type Home = PodNetwork<R::Room>;
    type Places = Addresses;

    fn settle(&mut self, folder: &Path) {
        self.rooms.settle(folder);
    }

    async fn binaries(
        &mut self,
        releases: Vec<Version>,
        settings: &Settings,
    ) -> Result<BTreeMap<Version, EnvoyBinary>, MeshError> {
        self.rooms.binaries(releases, settings).await
    }

    async fn homes(&mut self, pods: &[(PodName, &Workload)]) -> Result<Vec<PodNetwork<R::Room>>, MeshError> {
        let fabric = match self.fabric.take() {
            Some(fabric) => fabric,
            None => Fabric::new().await?,
        };
        let fabric = self.fabric.insert(fabric);
        let rooms = self.rooms.rooms(pods).await?;
        let addresses = fabric.join(rooms.iter().map(Room::namespace)).await?;
        let homes = rooms
            .into_iter()
            .zip(addresses)
            .map(|(room, address)| PodNetwork {
                address,
                rules: None,
                silence: None,
                room,
            });
        Ok(homes.collect())
    }

    async fn places(
        &mut self,
        desired: &Desired,
        mut pods: Vec<Housed<'_, PodNetwork<R::Room>>>,
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

impl<R: Room> PodNetwork<R> {
    async fn enforce(&mut self, rules: Rules) -> Result<(), MeshError> {
        if self.rules.as_ref() == Some(&rules) {
            return Ok(());
        }
        if rules.obstacles.values().any(|it| *it == Obstacle::Silence) && self.silence.is_none() {
            let silence = self.silence().await;
            self.silence = Some(silence.map_err(|source| MeshError::Obstacle { source })?);
        }
        capture::enforce(self.room.namespace(), &rules).await?;
        self.rules = Some(rules);
        Ok(())
    }

    async fn silence(&self) -> std::io::Result<Socket> {
        let socket = self.room.namespace().tcp_socket(None).await?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, SILENT_PORT)).into())?;
        socket.listen(128)?;
        Ok(socket)
    }
}

#[async_trait]
impl<R: Room> Home for PodNetwork<R> {
    fn namespace(&self) -> &NetworkNamespace {
        self.room.namespace()
    }

    fn host(&self) -> Arc<dyn Host> {
        self.room.host()
    }

    fn listens_at(&self, port: u16) -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, port).into()
    }

    async fn leave(self) {
        self.room.leave().await;
    }
}
