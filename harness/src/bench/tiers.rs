//! The `netns` and `docker` tiers against `local`, what witnesses cost, and whether runs leave anything behind.
//!
//! Rounds go over all that is compared in turn, so that what the machine does besides falls on all of it.

mod remains;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::pair::{self, call_to, workload};
use super::{BenchError, Spread, processor};
use crate::call::{Connections, PodName};
use crate::istio::releases::VERIFIED;
use crate::kernel::Tracer;
use crate::mesh::local::LocalMesh;
use crate::mesh::{Mesh as _, MeshError, Settings, Tier, time_of_namespaces};
use crate::report::Provenance;
use crate::scenario::verdict::{ScenarioResult, Verdict};
use crate::scenario::{Options, RunError, Scenario, StateError, execute};
use crate::wire;

use remains::Remains;

/// How many network namespaces are made at once.
pub const NAMESPACES: usize = 10;

/// How much is measured.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Extent {
    /// Rounds over all that is compared.
    pub rounds: usize,
    /// Requests of the proxied pair in a round, for each witness.
    pub requests: usize,
    /// Further runs on `netns`, and on `docker` where it can be run, after which nothing may be left.
    pub runs: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TiersBench {
    /// How much was measured.
    pub extent: Extent,
    /// Where and from what.
    pub provenance: Provenance,
    /// The scenario that ran on all tiers.
    pub scenario: String,
    /// What it took on `local`, from setting up the mesh until it was torn down, in milliseconds.
    pub local_millis: Spread,
    /// What it took on `netns`.
    pub netns_millis: Spread,
    /// The ratio of the two medians.
    pub ratio: f64,
    /// What sidecars in containers cost.
    pub docker: DockerCost,
    /// What [`NAMESPACES`] joined namespaces with Istio's rules took, in milliseconds.
    pub namespaces_millis: Spread,
    /// What witnesses cost the proxied pair; the first is nobody.
    pub witnesses: Vec<WitnessCost>,
    /// What was there after all runs that was not there before.
    pub left_behind: Vec<String>,
}

/// What the `docker` tier costs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerCost {
    /// Why it could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What the scenario took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millis: Option<Spread>,
    /// The ratio of its median to that of `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

/// Who watches.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, strum::Display, strum::VariantArray)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Watching {
    /// Nobody.
    Nobody,
    /// The kernel of this host.
    Kernel,
    /// The wire.
    Wire,
}

/// What a witness costs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WitnessCost {
    /// Who watched.
    pub watching: Watching,
    /// Why it could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Requests by second, each on an mTLS connection of its own, over those with nobody watching. Of medians.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_ratio: Option<f64>,
    /// Processor time of both proxies by request, over that with nobody watching. Of medians.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_ratio: Option<f64>,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum TiersError {
    /// A scenario did not run, or did not hold.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The mesh that witnesses are measured on cannot be described.
    #[error("the mesh that witnesses are measured on is invalid")]
    State(#[from] StateError),
    /// It could not be run.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// This system does not tell what a process takes.
    #[error("this system does not tell the processor time of a process (it needs /proc with schedstat)")]
    NoProcessorTime,
}

/// Throughput and processor time of one round.
struct Round {
    by_second: f64,
    processor: Duration,
}

/// Measures with `scenario`. `progress` is told what is done next.
///
/// # Errors
/// See [`TiersError`].
pub async fn tiers(
    scenario: &Scenario,
    extent: Extent,
    settings: &Settings,
    provenance: Provenance,
    mut progress: impl FnMut(String),
) -> Result<TiersBench, TiersError> {
    Tier::Netns.measure().await?;
    for tier in [Tier::Local, Tier::Netns] {
        // Fills caches.
        once(scenario, tier, settings).await?;
    }
    let docker_missing = docker_missing(scenario, settings).await?;
    let before = Remains::look().await;
    let missing = [None, kernel_missing().await, wire_missing().await];
    let watching = <Watching as strum::VariantArray>::VARIANTS;
    let mut taken: Vec<Vec<Round>> = watching.iter().map(|_| Vec::new()).collect();
    let (mut local, mut netns, mut docker, mut namespaces) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=extent.rounds {
        progress(format!("round {round} of {}", extent.rounds));
        local.push(once(scenario, Tier::Local, settings).await?);
        netns.push(once(scenario, Tier::Netns, settings).await?);
        if docker_missing.is_none() {
            docker.push(once(scenario, Tier::Docker, settings).await?);
        }
        namespaces.push(millis(
            time_of_namespaces(NAMESPACES).await.map_err(MeshError::from)?,
        ));
        for ((watching, missing), taken) in watching.iter().zip(&missing).zip(&mut taken) {
            if missing.is_none() {
                taken.push(watched(*watching, extent.requests, settings).await?);
            }
        }
    }
    for run in 1..=extent.runs {
        progress(format!("run {run} of {} on netns", extent.runs));
        once(scenario, Tier::Netns, settings).await?;
        if docker_missing.is_none() {
            progress(format!("run {run} of {} on docker", extent.runs));
            once(scenario, Tier::Docker, settings).await?;
        }
    }
    let witnesses = watching.iter().zip(missing).zip(&taken);
    let witnesses = witnesses
        .map(|((watching, missing), rounds)| cost(*watching, missing, rounds, &taken[0]))
        .collect();
    let (local_millis, netns_millis) = (Spread::of(&local), Spread::of(&netns));
    let docker_millis = (!docker.is_empty()).then(|| Spread::of(&docker));
    Ok(TiersBench {
        extent,
        provenance,
        scenario: scenario.name().to_owned(),
        ratio: netns_millis.median / local_millis.median,
        docker: DockerCost {
            ratio: docker_millis.as_ref().map(|it| it.median / local_millis.median),
            millis: docker_millis,
            missing: docker_missing,
        },
        local_millis,
        netns_millis,
        namespaces_millis: Spread::of(&namespaces),
        witnesses,
        left_behind: Remains::settled(&before).await,
    })
}

/// Milliseconds of one run that held.
async fn once(scenario: &Scenario, tier: Tier, settings: &Settings) -> Result<f64, TiersError> {
    let began = Instant::now();
    let result: ScenarioResult = execute(scenario, &Options::on(tier), settings, |_| {})
        .await
        .map_err(BenchError::from)?;
    let took = millis(began.elapsed());
    match result.verdict {
        Verdict::Held => Ok(took),
        verdict => Err(TiersError::Bench(BenchError::NotHeld {
            scenario: result.scenario,
            verdict,
            reproduce: result.reproduce,
        })),
    }
}

/// Why the scenario cannot be run on `docker`: what the machine lacks, or an image. Fills caches where it can.
async fn docker_missing(scenario: &Scenario, settings: &Settings) -> Result<Option<String>, TiersError> {
    if let Err(missing) = Tier::Docker.measure().await {
        return Ok(Some(missing.to_string()));
    }
    match once(scenario, Tier::Docker, settings).await {
        Ok(_) => Ok(None),
        Err(TiersError::Bench(BenchError::Run(RunError::Mesh(missing)))) if missing.is_machine() => {
            Ok(Some(missing.to_string()))
        }
        Err(other) => Err(other),
    }
}

async fn kernel_missing() -> Option<String> {
    Tracer::start().await.err().map(|error| error.to_string())
}

async fn wire_missing() -> Option<String> {
    wire::measure().await.err().map(|error| error.to_string())
}

async fn watched(watching: Watching, requests: usize, settings: &Settings) -> Result<Round, TiersError> {
    let kernel = match watching {
        Watching::Kernel => Some(Arc::new(Tracer::start().await.map_err(MeshError::from)?)),
        Watching::Nobody | Watching::Wire => None,
    };
    let settings = Settings {
        wire: watching == Watching::Wire,
        ..settings.clone()
    };
    let call = call_to("server");
    let ends: [PodName; 2] = ["client", "server"].map(|name| workload(name).pod(0));
    let mut mesh = LocalMesh::new(settings)?;
    let state = pair::state(&VERIFIED)?;
    mesh.apply(state.desired(vec![call.clone()], Connections::Fresh))
        .await?;
    // Fills caches.
    mesh.requests(&call, requests / 10 + 1).await?;
    let time = |mesh: &LocalMesh| -> Option<Duration> {
        let of = |pod| processor::time(mesh.process_id(pod)?);
        ends.iter().map(of).sum()
    };
    let before = time(&mesh).ok_or(TiersError::NoProcessorTime)?;
    let began = Instant::now();
    mesh.requests(&call, requests).await?;
    if let Some(kernel) = &kernel {
        kernel.news().await.map_err(MeshError::from)?;
    }
    let by_second = count(requests) / began.elapsed().as_secs_f64();
    let after = time(&mesh).ok_or(TiersError::NoProcessorTime)?;
    mesh.down().await;
    Ok(Round {
        by_second,
        processor: after.saturating_sub(before),
    })
}

fn cost(watching: Watching, missing: Option<String>, rounds: &[Round], nobody: &[Round]) -> WitnessCost {
    let ratio = |figure: fn(&Round) -> f64| {
        let median = |rounds: &[Round]| super::median(rounds.iter().map(figure));
        (!rounds.is_empty()).then(|| median(rounds) / median(nobody))
    };
    WitnessCost {
        watching,
        missing,
        throughput_ratio: ratio(|round| round.by_second),
        processor_ratio: ratio(|round| round.processor.as_secs_f64()),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
const fn count(number: usize) -> f64 {
    number as f64
}
