//! The `netns` tier: the sidecars of the `local` tier, each pod in a network namespace of its own, with Istio's capture.
//!
//! Nothing of it is to be seen outside: the namespaces have no names, and the bridge is in one of its own. The system
//! takes them away when the harness ends, in whatever way.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::captured::{Captured, Room, Rooms, namespace};
use super::sidecars::SidecarMesh;
use super::{Capability, MeshError, Settings, Tier};
use crate::call::PodName;
use crate::envoy::process::Host;
use crate::istio::Workload;
use crate::network_namespace::NetworkNamespace;

/// Capture, and policy in the root namespace; no istiod, no webhook.
pub(super) const CAPABILITIES: &[Capability] = &[Capability::Interception, Capability::RootNamespace];

/// A mesh of real Envoys in network namespaces.
pub(crate) type NetnsMesh = SidecarMesh<Captured<Threads>>;

impl NetnsMesh {
    /// Prepares an empty mesh. Nothing runs yet but its control plane.
    ///
    /// # Errors
    /// When the run directory or the control-plane socket cannot be made.
    pub(crate) fn new(settings: Settings) -> Result<Self, MeshError> {
        Self::over(Captured::of(Threads), settings)
    }
}

/// Namespaces that threads of the harness hold.
#[derive(Debug)]
pub(crate) struct Threads;

#[async_trait]
impl Rooms for Threads {
    const TIER: Tier = Tier::Netns;
    type Room = NetworkNamespace;

    async fn rooms(&mut self, pods: &[(PodName, &Workload)]) -> Result<Vec<NetworkNamespace>, MeshError> {
        Ok(try_join_all(pods.iter().map(|_| namespace())).await?)
    }
}

#[async_trait]
impl Room for NetworkNamespace {
    fn namespace(&self) -> &NetworkNamespace {
        self
    }

    fn host(&self) -> Arc<dyn Host> {
        Arc::new(self.clone())
    }

    async fn leave(self) {}
}
