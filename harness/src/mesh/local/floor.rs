//! The floor under a run on this tier: what no harness could do without.
//!
//! A run of a mesh costs at least the start and the end of its proxies, and the calls themselves. These are measured here, apart
//! from everything the harness adds: configuration, certificates, waiting for effects, evidence, and teardown.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};

use crate::envoy::admin::Admin;
use crate::envoy::config::bootstrap;
use crate::envoy::process::{EnvoyProcess, Files};
use crate::mesh::{Desired, Mesh, MeshError, RunDirectory, Settings};

use super::LocalMesh;

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
    /// From spawning these proxies, all at once and with nothing to do, until each says that it is live.
    pub start: Duration,
    /// The phase's calls, one after another, from dialling to the caller's result, with no evidence gathered.
    pub calls: Duration,
}

/// Measures the floor under a run through `states`.
///
/// The calls are made on a mesh that is brought up for it; what that takes is not counted. Where a state replaces
/// pods, their successors' start is counted as the run needs it.
///
/// # Errors
/// As [`LocalMesh`]'s own.
pub async fn floor(states: Vec<Desired>, settings: &Settings) -> Result<Floor, MeshError> {
    let mut mesh = LocalMesh::new(settings.clone())?;
    let mut phases = Vec::new();
    for state in states {
        let known = mesh.pods.sidecars_started();
        let calls = state.calls.clone();
        mesh.apply(state).await?;
        let mut spent = Duration::ZERO;
        for call in &calls {
            spent += mesh.time_of(call).await?;
        }
        phases.push((mesh.pods.binaries_since(known), spent));
    }
    mesh.down().await;

    let run = RunDirectory::create(false)?;
    let mut bare = Vec::new();
    let mut floor = Vec::new();
    for (binaries, calls) in phases {
        let started = Instant::now();
        let first = bare.len();
        let starts = binaries
            .iter()
            .enumerate()
            .map(|(index, binary)| start(binary, run.path(), first + index));
        bare.extend(try_join_all(starts).await?);
        floor.push(PhaseFloor {
            proxies: binaries.len(),
            start: started.elapsed(),
            calls,
        });
    }
    let started = Instant::now();
    join_all(bare.into_iter().map(EnvoyProcess::stop)).await;
    Ok(Floor {
        phases: floor,
        end: started.elapsed(),
    })
}

async fn start(binary: &Path, folder: &Path, number: usize) -> Result<EnvoyProcess, MeshError> {
    let node = format!("bare~{number}");
    let files = Files::new(folder, &node, number);
    let admin = Admin::new(&files.admin);
    let config = bootstrap::bare(&node, &files.admin);
    let mut process = EnvoyProcess::start(binary, &node, files, &config).await?;
    let deadline = Instant::now() + LIVE_DEADLINE;
    while !admin.is_live().await {
        process.check_alive()?;
        if Instant::now() > deadline {
            return Err(MeshError::NotInForce {
                node,
                within: LIVE_DEADLINE,
                waiting_for: "its admin socket to say LIVE".to_owned(),
            });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(process)
}
