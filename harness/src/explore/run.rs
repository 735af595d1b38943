//! Running cases, several worlds at a time, and shrinking what disagrees.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::check::{Compared, Predict, Scene, compare};
use super::draw::{CASES_PER_WORLD, case_of, world_of};
use super::reproduction::reproduction;
use super::shrink::shrink;
use super::tally::{Disagreement, Exploration};
use crate::istio;
use crate::mesh::{MeshError, Settings, Tier};
use crate::reference::ReferenceError;
use crate::scenario::{ReproductionError, StateError};
use crate::snapshot::LoadError;

/// What to explore.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The seed that cases are drawn from.
    pub seed: u64,
    /// The number of the first case.
    pub first: u32,
    /// How many cases.
    pub cases: u32,
    /// How many meshes at a time.
    pub jobs: usize,
}

/// Why an exploration ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    /// A mesh failed in a case.
    #[error("case {case} of seed {seed} (--first {case} --cases 1)")]
    Case {
        /// The seed.
        seed: u64,
        /// The case.
        case: u32,
        /// What failed.
        source: MeshError,
    },
    /// The mesh failed outside of any case.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// A drawn state could not be built. A fault of this module.
    #[error("a drawn mesh is no valid one: {0}")]
    State(#[from] StateError),
    /// A disagreement could not be written down.
    #[error(transparent)]
    Reproduction(#[from] ReproductionError),
    /// A task failed.
    #[error("a world's task failed: {0}")]
    Task(#[from] JoinError),
}

impl From<LoadError> for ExploreError {
    fn from(error: LoadError) -> Self {
        Self::State(error.into())
    }
}

impl From<ReferenceError> for ExploreError {
    fn from(error: ReferenceError) -> Self {
        Self::State(error.into())
    }
}

/// Explores cases on the local tier. `progress` is told how many cases of how many are done.
///
/// # Errors
/// When a mesh cannot be set up or brought into a drawn state. A disagreement is no error.
pub async fn explore(
    options: &Options,
    settings: &Settings,
    progress: impl FnMut(u32, u32),
) -> Result<Exploration, ExploreError> {
    let explorer = Explorer {
        seed: options.seed,
        settings: settings.clone(),
        predict: istio::predict,
    };
    explorer.explore(options, progress).await
}

/// What every case needs.
#[derive(Clone)]
pub(super) struct Explorer {
    pub(super) seed: u64,
    pub(super) settings: Settings,
    pub(super) predict: Predict,
}

impl Explorer {
    pub(super) async fn explore(
        &self,
        options: &Options,
        mut progress: impl FnMut(u32, u32),
    ) -> Result<Exploration, ExploreError> {
        let started = Instant::now();
        let permits = Arc::new(Semaphore::new(options.jobs.max(1)));
        let mut running = JoinSet::new();
        for block in blocks(options) {
            let (explorer, permits) = (self.clone(), Arc::clone(&permits));
            running.spawn(async move {
                let _permit = permits.acquire_owned().await;
                explorer.run(block).await
            });
        }
        let mut compared: BTreeMap<u32, Vec<Compared>> = BTreeMap::new();
        while let Some(block) = running.join_next().await {
            compared.extend(block??);
            let done = u32::try_from(compared.len()).unwrap_or(u32::MAX);
            progress(done, options.cases);
        }
        let mut exploration = Exploration {
            seed: options.seed,
            ..Exploration::default()
        };
        compared.values().for_each(|case| exploration.count(case));
        for kind in kinds(&compared) {
            let number = exploration.disagreements.len();
            exploration
                .disagreements
                .push(self.disagreement(kind, number).await?);
        }
        exploration.millis = started.elapsed().as_secs_f64() * 1000.0;
        Ok(exploration)
    }

    /// Runs the cases of one world.
    async fn run(&self, block: Range<u32>) -> Result<Vec<(u32, Vec<Compared>)>, ExploreError> {
        let world = world_of(self.seed, block.start);
        let mut mesh = Tier::Local.open(&self.settings)?;
        let mut all = Vec::new();
        for number in block {
            let scene = Scene {
                world: &world,
                case: case_of(self.seed, number).current(),
                without: Vec::new(),
            };
            let state = scene.state()?;
            let calls = scene.calls(&state);
            let compared = compare(&mut *mesh, self.predict, &state, calls)
                .await
                .map_err(|source| ExploreError::Case {
                    seed: self.seed,
                    case: number,
                    source,
                })?;
            all.push((number, compared));
        }
        mesh.down().await;
        Ok(all)
    }

    /// The least mesh for a kind of disagreement.
    async fn disagreement(
        &self,
        kind: KindOfDisagreement,
        number: usize,
    ) -> Result<Disagreement, ExploreError> {
        let KindOfDisagreement { case, first, calls } = kind;
        let world = world_of(self.seed, case);
        let mut mesh = Tier::Local.open(&self.settings)?;
        let shrunk = shrink(&mut *mesh, self.predict, &world, self.seed, case, &first).await;
        mesh.down().await;
        let (scene, least) = shrunk?;
        let name = format!("explored-{}-{case}-{number}", self.seed);
        let reproduction = reproduction(&scene, &least, name, self.seed, case)?;
        Ok(Disagreement {
            case,
            calls,
            call: least.call.to_string(),
            predicted: least.predicted.outcome,
            because: least.predicted.because,
            observed: least.observed,
            evidence: least.evidence.map(|it| *it).unwrap_or_default(),
            reproduction,
        })
    }
}

/// The cases, in blocks that share a world.
fn blocks(options: &Options) -> Vec<Range<u32>> {
    let end = options.first.saturating_add(options.cases);
    let mut blocks = Vec::new();
    let mut start = options.first;
    while start < end {
        let next = (start / CASES_PER_WORLD)
            .saturating_add(1)
            .saturating_mul(CASES_PER_WORLD);
        blocks.push(start..next.min(end));
        start = next;
    }
    blocks
}

/// Disagreements that predict the same and observe the same.
struct KindOfDisagreement {
    case: u32,
    first: Compared,
    calls: u32,
}

fn kinds(compared: &BTreeMap<u32, Vec<Compared>>) -> Vec<KindOfDisagreement> {
    let mut kinds: Vec<KindOfDisagreement> = Vec::new();
    for (case, calls) in compared {
        for one in calls.iter().filter(|it| it.disagree()) {
            let known = kinds.iter_mut().find(|kind| {
                let first = &kind.first;
                one.predicted.outcome.agrees_with(&first.predicted.outcome)
                    && one.observed.agrees_with(&first.observed)
            });
            match known {
                Some(known) => known.calls += 1,
                None => kinds.push(KindOfDisagreement {
                    case: *case,
                    first: one.clone(),
                    calls: 1,
                }),
            }
        }
    }
    kinds
}
