//! What a tier of sidecars on this machine is beyond the sidecars: how their pods are joined.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use envoy_types::pb::envoy::config::listener::v3::Listener;

use semver::Version;

use crate::call::{Call, PodName};
use crate::envoy::binary::{EnvoyBinary, Store};
use crate::envoy::config::{Acceptance, Instruments};
use crate::envoy::process::Host;
use crate::istio::policy::{Inbound, Outbound};
use crate::istio::{Topology, Workload};
use crate::mesh::{Desired, MeshError, Settings, Tier};
use crate::network_namespace::NetworkNamespace;

/// An address that refuses every connection (the discard port): what kube-proxy gives a Service without endpoints, and
/// a pod a port on which nobody listens.
pub(crate) const NOWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

/// What joins the pods of a mesh.
#[async_trait]
pub(crate) trait Network: Send + Sized + 'static {
    /// The tier that it makes of the sidecars.
    const TIER: Tier;
    /// How capture tells what a proxy sends; `None` where nothing is captured.
    const EXEMPTION: Option<Exemption>;
    /// What one pod has of the network for as long as it lives.
    type Home: Home;
    /// Where everything is in a state of the mesh.
    type Places: Places;

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

    /// Makes a home for each of these pods.
    async fn homes(&mut self, pods: &[(PodName, &Workload)]) -> Result<Vec<Self::Home>, MeshError>;

    /// Brings the network into the desired state: what stands in the way to pods, and how they are reached.
    async fn places(
        &mut self,
        desired: &Desired,
        pods: Vec<Housed<'_, Self::Home>>,
    ) -> Result<Self::Places, MeshError>;
}

/// Proxies that are files of this machine.
pub(in crate::mesh) async fn stored(
    releases: Vec<Version>,
    settings: &Settings,
) -> Result<BTreeMap<Version, EnvoyBinary>, MeshError> {
    let (overrides, progress) = (settings.overrides.clone(), Arc::clone(&settings.progress));
    // Unpacking and hashing block; a runtime worker must not.
    let provided =
        tokio::task::spawn_blocking(move || Store::user()?.provide(&releases, &overrides, &*progress));
    let provided = provided
        .await
        .map_err(|error| MeshError::Internal(error.to_string()))?;
    Ok(provided?)
}

/// How capture tells what a proxy sends from what its application does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exemption {
    /// The mark of what goes to other pods.
    pub(crate) mark: u32,
    /// Where connections to the application come from.
    pub(crate) source: Ipv4Addr,
}

/// What one pod has of the network.
#[async_trait]
pub(crate) trait Home: Send + 'static {
    /// Where its sockets are.
    fn namespace(&self) -> &NetworkNamespace;

    /// Where its proxy runs.
    fn host(&self) -> Arc<dyn Host> {
        Arc::new(self.namespace().clone())
    }

    /// Where its application listens for `port`; port 0 is any.
    fn listens_at(&self, port: u16) -> SocketAddr;

    /// Ends it, once nothing is in it any more.
    async fn leave(self)
    where
        Self: Sized,
    {
    }
}

/// A pod that runs.
pub(crate) struct Housed<'a, H> {
    pub(crate) name: &'a PodName,
    pub(crate) home: &'a mut H,
    pub(crate) has_sidecar: bool,
    /// Where its applications listen, by pod port.
    pub(crate) applications: BTreeMap<u16, SocketAddr>,
}

/// Where everything is in a state of the mesh.
pub(crate) trait Places: Default + Send + Sync {
    /// Where bytes for a pod's port are sent.
    fn reach(&self, topology: &Topology, pod: &PodName, port: u16) -> Option<SocketAddr>;

    /// Where the application of a call's client connects to, for its sidecar to take the call in; `None` for a call that
    /// was not planned.
    fn entrance(&self, topology: &Topology, call: &Call) -> Option<SocketAddr>;

    /// The listeners of the sidecar of `pod`.
    fn listeners(&self, desired: &Desired, pod: &PodName, told: &Told<'_>) -> Vec<Listener>;
}

/// What a sidecar's listeners are made from.
pub(crate) struct Told<'a> {
    pub(crate) inbounds: &'a [Inbound],
    pub(crate) outbounds: &'a [Outbound],
    pub(crate) acceptance: &'a Acceptance,
    pub(crate) instruments: &'a Instruments,
    /// Whether bytes may go where nothing in the registry is.
    pub(crate) allows_any: bool,
}
