//! Calls with nobody gathering evidence: what callers and proxies are measured by.

use std::path::Path;
use std::time::{Duration, Instant};

use super::network::Network;
use super::{SidecarMesh, not_planned, unplanned};
use crate::call::{Call, PodName};
use crate::mesh::MeshError;
use crate::mesh::reached::target;
use crate::probe::dial;
use crate::wire::Tap;

/// How long lines may take to be written. Proxies write them every few milliseconds; the limit is for a stalled machine.
const LINES_DEADLINE: Duration = Duration::from_secs(30);
const LINES_POLL: Duration = Duration::from_millis(10);

impl<N: Network> SidecarMesh<N> {
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

    /// Makes `count` requests of `call`, an application's, one after the other, without looking at what proxies tell. The wire
    /// is read where the settings ask for that.
    ///
    /// # Errors
    /// As [`Mesh::call`](crate::mesh::Mesh::call); and when one is not answered by the application.
    pub(crate) async fn requests(&self, call: &Call, count: usize) -> Result<(), MeshError> {
        let desired = self.desired.as_ref().ok_or_else(|| unplanned(call))?;
        let way = self
            .way(desired, call)?
            .ok_or_else(|| not_planned(call, "an address"))?;
        let tap = match self.tapped(desired, call) {
            Some((namespace, called)) => Some(Tap::open(&namespace, called).await?),
            None => None,
        };
        for number in 0..count {
            let nonce = format!("alone-{number}");
            let caller = dial::plaintext(&way.dial(call.payload, &nonce)).await?;
            if !caller.http.as_ref().is_some_and(|answer| answer.from_application) {
                return Err(MeshError::NotAnswered {
                    call: call.to_string(),
                    number,
                });
            }
        }
        if let Some(tap) = tap {
            let server = target(&desired.topology, call).map(|(pod, _)| pod);
            let key_logs = self.pods.key_logs([Some(&call.from.pod(0)), server.as_ref()]);
            tap.told(&key_logs).await?;
        }
        Ok(())
    }

    /// Waits until `lines` access log lines of the proxies of `pods` are written, and tells how many bytes all of them are.
    ///
    /// # Errors
    /// When they are not written in time, or cannot be read.
    pub(crate) async fn logged(&self, pods: &[PodName], lines: usize) -> Result<u64, MeshError> {
        let files: Vec<&Path> = pods
            .iter()
            .filter_map(|pod| Some(self.pods.running(pod)?.access_log()))
            .collect();
        let began = Instant::now();
        loop {
            let (mut written, mut bytes) = (0, 0);
            for file in &files {
                let text = std::fs::read(file).unwrap_or_default();
                written += text.iter().filter(|byte| **byte == b'\n').count();
                bytes += text.len() as u64;
            }
            if written >= lines {
                return Ok(bytes);
            }
            if began.elapsed() > LINES_DEADLINE {
                return Err(MeshError::NotQuiet {
                    within: LINES_DEADLINE,
                    missing: format!("{} lines of access log", lines - written),
                });
            }
            tokio::time::sleep(LINES_POLL).await;
        }
    }

    /// The operating system's id of the proxy of `pod`.
    pub(crate) fn process_id(&self, pod: &PodName) -> Option<u32> {
        self.pods.running(pod)?.process_id()
    }
}
