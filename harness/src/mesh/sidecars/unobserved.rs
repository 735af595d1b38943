//! Calls with nobody gathering evidence: what callers and proxies are measured by.

use std::time::{Duration, Instant};

use super::network::Network;
use super::{SidecarMesh, not_planned, unplanned};
use crate::call::{Call, PodName};
use crate::mesh::MeshError;
use crate::probe::dial;

impl<N: Network> SidecarMesh<N> {
    /// How long a call takes its caller when nobody gathers evidence.
    pub(in crate::mesh) async fn time_of(&mut self, call: &Call) -> Result<Duration, MeshError> {
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

    /// Makes `count` full handshakes with the server of `call`, a raw call with a certificate, as [`dial::handshakes`] does.
    ///
    /// # Errors
    /// As [`Mesh::call`](crate::mesh::Mesh::call).
    pub(crate) async fn handshakes(&mut self, call: &Call, count: usize) -> Result<Vec<Duration>, MeshError> {
        let desired = self.desired.take().ok_or_else(|| unplanned(call))?;
        let taken = async {
            let way = self
                .way(&desired, call)?
                .ok_or_else(|| not_planned(call, "an address"))?;
            let offer = self.offer_with_certificate(&desired, call)?;
            Ok(dial::handshakes(&way.dial(call.payload, ""), &offer, count).await?)
        }
        .await;
        self.desired = Some(desired);
        taken
    }

    /// The operating system's id of the proxy of `pod`.
    pub(crate) fn process_id(&self, pod: &PodName) -> Option<u32> {
        self.pods.running(pod)?.process_id()
    }
}
