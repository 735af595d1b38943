//! One start after the other: what proxies are measured by.

use std::time::{Duration, Instant};

use crate::call::PodName;
use crate::mesh::sidecars::CONTROL_SOCKET;
use crate::mesh::{MeshError, RunDirectory};

use super::LocalMesh;
use super::floor::{Proxy, on_ports_of_their_own, start};

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
                binary: sidecar.binary.clone(),
                number,
                waits_for: sidecar.waits_for().to_vec(),
            };
            let began = Instant::now();
            let process = start(&proxy, run.path(), Some(&control)).await?;
            taken.push(began.elapsed());
            process.stop().await;
        }
        Ok(taken)
    }
}
