//! The floor under a run on this tier: what no harness could do without.
//!
//! A run of a mesh costs at least the making of keys and certificates, the start of its proxies, until each has its
//! configuration and its certificate in force, their end, and the calls themselves. All but the calls, of which the run
//! itself tells, are measured here apart from everything else the harness adds: rendering configuration, waiting for
//! effects, evidence, changes between phases, teardown. The start of the same binaries with nothing to do is measured beside
//! it, as the floor of the floor.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};

use crate::envoy::admin::Admin;
use crate::envoy::binary::EnvoyBinary;
use crate::envoy::config::{Resources, bootstrap, socket_address};
use crate::envoy::process::{EnvoyProcess, Files};
use crate::mesh::{Desired, Mesh, MeshError, RunDirectory, Settings};
use crate::network_namespace::NetworkNamespace;

use super::LocalMesh;
use crate::mesh::sidecars::{CONTROL_SOCKET, authority_of};

/// How long a bare proxy may take to come up. Measured: 60 ms; the limit is for a stalled machine.
const LIVE_DEADLINE: Duration = Duration::from_secs(20);
/// How often it is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The floor under a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    /// Under each of its phases.
    pub phases: Vec<PhaseFloor>,
    /// From ending all proxies, at once, until they are gone.
    pub end: Duration,
}

/// The floor under one phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseFloor {
    /// Proxies that the phase starts.
    pub proxies: usize,
    /// From spawning these proxies, all at once, until each says that it is live: with all it is to know waiting for it,
    /// but for what it never gets.
    pub start: Duration,
    /// The same with nothing but an admin socket.
    pub bare_start: Duration,
    /// Making the keys and certificates that are new in the phase, one after another: next to nothing, but for keys of RSA.
    pub certificates: Duration,
}

/// Measures the floor under a run through `states`.
///
/// What proxies are to know is learnt from a mesh that is brought up for it; what that takes is not counted. Where a state
/// replaces pods, their successors' start is counted as the run needs it.
///
/// # Errors
/// As [`Mesh::apply`](crate::mesh::Mesh::apply).
pub async fn floor(states: Vec<Desired>, settings: &Settings) -> Result<Floor, MeshError> {
    let mut mesh = LocalMesh::new(settings.clone())?;
    let mut rehearsed = Vec::new();
    for state in states {
        let known = mesh.pods.sidecars_started();
        let certificates = mesh.time_of_certificates(&state)?;
        mesh.apply(state).await?;
        let alone = mesh.pods.sidecars_since(known).map(|sidecar| {
            let node = format!("alone~{}", sidecar.number);
            mesh.control
                .tell_the_same(&node, &sidecar.node, on_ports_of_their_own);
            Proxy {
                node,
                binary: sidecar.binary.clone(),
                number: sidecar.number,
                waits_for: sidecar.waits_for().to_vec(),
            }
        });
        let alone: Vec<Proxy> = alone.collect();
        rehearsed.push((alone, certificates));
    }
    // Its control plane and its directory stay: the proxies ask the one for what they are to know, and log to the other.
    mesh.down().await;

    let run = RunDirectory::create(false)?;
    let control = mesh.run.path().join(CONTROL_SOCKET);
    let (mut phases, mut running) = (Vec::new(), Vec::new());
    for (alone, certificates) in &rehearsed {
        let began = Instant::now();
        running.extend(start_all(alone, &run, Some(&control)).await?);
        phases.push(PhaseFloor {
            proxies: alone.len(),
            start: began.elapsed(),
            bare_start: Duration::ZERO,
            certificates: *certificates,
        });
    }
    let end = stop_all(running).await;

    let (bare_run, mut running) = (RunDirectory::create(false)?, Vec::new());
    for ((alone, _), phase) in rehearsed.iter().zip(&mut phases) {
        let began = Instant::now();
        running.extend(start_all(alone, &bare_run, None).await?);
        phase.bare_start = began.elapsed();
    }
    stop_all(running).await;
    Ok(Floor { phases, end })
}

impl LocalMesh {
    /// How long it takes to make what the sidecars of a state hold, as far as it is new. What is made stays.
    fn time_of_certificates(&mut self, state: &Desired) -> Result<Duration, MeshError> {
        let began = Instant::now();
        let authority = authority_of(&mut self.authority, state);
        for workload in state.topology.workloads.values().filter(|it| it.has_sidecar()) {
            authority.issue(&state.conditions.credentials, &workload.name)?;
        }
        Ok(began.elapsed())
    }
}

/// A proxy to be started alone.
pub(super) struct Proxy {
    /// What the control plane knows it by.
    pub(super) node: String,
    pub(super) binary: EnvoyBinary,
    pub(super) number: usize,
    /// The secrets that it never gets. It is not live before it has them: that it asks for one is as far as it comes.
    pub(super) waits_for: Vec<String>,
}

impl Proxy {
    /// Whether it has come as far as it comes.
    async fn is_up(&self, admin: &Admin, has_control: bool) -> bool {
        if self.waits_for.is_empty() || !has_control {
            return admin.is_live().await;
        }
        let asked_for = admin.warming_secrets().await.unwrap_or_default();
        asked_for.iter().any(|name| self.waits_for.contains(name))
    }
}

/// The ports of the mesh were reserved for its own sidecars.
pub(super) fn on_ports_of_their_own(resources: &mut Resources) {
    for listener in &mut resources.listeners {
        listener.address = Some(socket_address(([127, 0, 0, 1], 0).into()));
    }
}

/// Starts proxies at once, with a control plane to ask or with nothing to do, and waits until all are live.
async fn start_all(
    proxies: &[Proxy],
    run: &RunDirectory,
    control: Option<&Path>,
) -> Result<Vec<EnvoyProcess>, MeshError> {
    try_join_all(proxies.iter().map(|proxy| start(proxy, run.path(), control))).await
}

async fn stop_all(processes: Vec<EnvoyProcess>) -> Duration {
    let began = Instant::now();
    join_all(processes.into_iter().map(EnvoyProcess::stop)).await;
    began.elapsed()
}

/// Starts a proxy and waits until it says that it is live, or waits for what nobody gives it.
pub(super) async fn start(
    proxy: &Proxy,
    folder: &Path,
    control: Option<&Path>,
) -> Result<EnvoyProcess, MeshError> {
    let Proxy {
        node, binary, number, ..
    } = proxy;
    let files = Files::new(folder, node, *number);
    let admin = Admin::new(&files.admin);
    let config = match control {
        Some(control) => bootstrap::bootstrap(node, control, &files.admin, None),
        None => bootstrap::bare(node, &files.admin),
    };
    let mut process = EnvoyProcess::start(NetworkNamespace::own(), binary, node, files, &config).await?;
    let deadline = Instant::now() + LIVE_DEADLINE;
    while !proxy.is_up(&admin, control.is_some()).await {
        process.check_alive()?;
        if Instant::now() > deadline {
            return Err(MeshError::NotInForce {
                node: node.clone(),
                within: LIVE_DEADLINE,
                waiting_for: "its admin socket to say LIVE".to_owned(),
            });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(process)
}
