//! A mesh on this host whose calls the kernel is asked about, too.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Component, Desired, Mesh, MeshError, ProxyLogs, Tally, Tier};
use crate::call::{Call, PodName};
use crate::kernel::Tracer;
use crate::probe::Evidence;

/// Any mesh, with what the kernel saw added to the evidence of its calls.
pub(super) struct WatchedMesh {
    mesh: Box<dyn Mesh>,
    kernel: Arc<Tracer>,
}

impl WatchedMesh {
    pub(super) fn new(mesh: Box<dyn Mesh>, kernel: Arc<Tracer>) -> Self {
        Self { mesh, kernel }
    }
}

#[async_trait]
impl Mesh for WatchedMesh {
    fn tier(&self) -> Tier {
        self.mesh.tier()
    }

    async fn apply(&mut self, desired: Desired) -> Result<(), MeshError> {
        self.mesh.apply(desired).await
    }

    async fn call(&mut self, call: &Call) -> Result<Evidence, MeshError> {
        let mark = self.kernel.mark().await?;
        let mut evidence = self.mesh.call(call).await?;
        let seen = self.kernel.since(mark).await?;
        let ours = seen.into_iter().filter(|it| is_ours(it.process));
        evidence.kernel = ours.map(|it| it.connection).collect();
        Ok(evidence)
    }

    fn logs_of_call(&mut self) -> Vec<ProxyLogs> {
        self.mesh.logs_of_call()
    }

    async fn config_dumps(&mut self) -> Result<Vec<(PodName, String)>, MeshError> {
        self.mesh.config_dumps().await
    }

    async fn apply_under_load(
        &mut self,
        states: Vec<Desired>,
        load: &[Call],
    ) -> Result<Vec<Vec<Tally>>, MeshError> {
        self.mesh.apply_under_load(states, load).await
    }

    fn components(&self) -> Vec<Component> {
        self.mesh.components()
    }

    fn directory(&self) -> Option<&Path> {
        self.mesh.directory()
    }

    async fn down(&mut self) {
        self.mesh.down().await;
    }
}

/// Whether a process is this one, or a proxy that it started. A proxy outlives the calls that it is in.
fn is_ours(process: u32) -> bool {
    let this = std::process::id();
    process == this || parent(process) == Some(this)
}

/// The fourth field, behind the name in parentheses, which may hold anything (proc_pid_stat(5)).
fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_its_children_are_ours() {
        assert!(is_ours(std::process::id()));
        assert!(!is_ours(1));
        if Path::new("/proc/self/stat").exists() {
            let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            assert!(is_ours(child.id()));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
