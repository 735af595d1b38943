//! One thing at a time, over and over: what proxies are measured by.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::call::{Call, PodName};
use crate::mesh::{MeshError, RunDirectory};
use crate::probe::dial;

use super::floor::{Proxy, on_ports_of_their_own, start};
use super::{CONTROL_SOCKET, LocalMesh, not_planned, unplanned};

/// How long lines may take to be written. Proxies write them every few milliseconds; the limit is for a stalled machine.
const LINES_DEADLINE: Duration = Duration::from_secs(30);
const LINES_POLL: Duration = Duration::from_millis(10);

impl LocalMesh {
    /// Starts the sidecar of `pod` beside itself `count` times, each after the end of the one before, and tells how long each
    /// took: from spawning the binary until it says that it is live, with configuration and certificates waiting for it.
    ///
    /// # Errors
    /// As [`Mesh::apply`](crate::mesh::Mesh::apply); and when the pod has no sidecar.
    pub(crate) async fn starts(&self, pod: &PodName, count: usize) -> Result<Vec<Duration>, MeshError> {
        let sidecar = self.pods.running(pod).ok_or_else(|| MeshError::UnknownWorkload {
            workload: pod.workload.clone(),
        })?;
        let run = RunDirectory::create(false)?;
        let control = self.run.path().join(CONTROL_SOCKET);
        let mut taken = Vec::with_capacity(count);
        for number in 0..count {
            let node = format!("alone~{}~{number}", sidecar.number);
            self.control
                .tell_the_same(&node, &sidecar.node, on_ports_of_their_own);
            let proxy = Proxy {
                node,
                binary: sidecar.binary.path.clone(),
                number,
            };
            let began = Instant::now();
            let process = start(&proxy, run.path(), Some(&control)).await?;
            taken.push(began.elapsed());
            process.stop().await;
        }
        Ok(taken)
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

    /// Makes `count` requests of `call`, an application's, one after the other, without looking at what proxies tell.
    ///
    /// # Errors
    /// As [`Mesh::call`](crate::mesh::Mesh::call); and when one is not answered by the application.
    pub(crate) async fn requests(&self, call: &Call, count: usize) -> Result<(), MeshError> {
        let desired = self.desired.as_ref().ok_or_else(|| unplanned(call))?;
        let way = self
            .way(desired, call)?
            .ok_or_else(|| not_planned(call, "an address"))?;
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
