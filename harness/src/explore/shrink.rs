//! From a case with a disagreement to the least mesh that shows it.

use proptest::strategy::ValueTree as _;

use super::check::{Compared, Predict, Scene, compare};
use super::draw::case_of;
use super::run::ExploreError;
use super::world::World;
use crate::call::Destination;
use crate::mesh::Mesh;
use crate::outcome::Outcome;

/// How many meshes are tried. Measured: a case is small after 60 to 150.
const STEPS: u32 = 250;

/// Shrinks the case, then drops workloads, as long as some call is predicted and observed as `wanted` was.
pub(super) async fn shrink<'a>(
    mesh: &mut dyn Mesh,
    predict: Predict,
    world: &'a World,
    seed: u64,
    number: u32,
    wanted: &Compared,
) -> Result<(Scene<'a>, Compared), ExploreError> {
    let mut tree = case_of(seed, number);
    let scene = |case| Scene {
        world,
        case,
        without: Vec::new(),
    };
    let mut best = (scene(tree.current()), wanted.clone());
    let mut moved = tree.simplify();
    for _ in 0..STEPS {
        if !moved {
            break;
        }
        let candidate = scene(tree.current());
        moved = match shown(mesh, predict, &candidate, wanted).await? {
            Some(compared) => {
                best = (candidate, compared);
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    drop_workloads(mesh, predict, best, wanted).await
}

async fn drop_workloads<'a>(
    mesh: &mut dyn Mesh,
    predict: Predict,
    mut best: (Scene<'a>, Compared),
    wanted: &Compared,
) -> Result<(Scene<'a>, Compared), ExploreError> {
    for workload in &best.0.world.workloads {
        let call = &best.1.call;
        let called = match &call.to {
            Destination::Pod { pod, .. } => pod.workload.name == workload.name,
            Destination::Service { .. } | Destination::Host { .. } => false,
        };
        if call.from.name == workload.name || called {
            continue;
        }
        let mut candidate = best.0.clone();
        candidate.without.push(workload.name);
        if let Some(compared) = shown(mesh, predict, &candidate, wanted).await? {
            best = (candidate, compared);
        }
    }
    Ok(best)
}

/// The first call that is predicted as `wanted` was and, made in the mesh, observed as it was.
async fn shown(
    mesh: &mut dyn Mesh,
    predict: Predict,
    scene: &Scene<'_>,
    wanted: &Compared,
) -> Result<Option<Compared>, ExploreError> {
    let state = scene.state()?;
    let conditions = state.conditions();
    let alike = |a: &Outcome, b: &Outcome| a.agrees_with(b);
    let mut calls = scene.calls(&state);
    calls.retain(|call| {
        call.kind == wanted.call.kind
            && alike(
                &predict(&state.topology, &conditions, call).outcome,
                &wanted.predicted.outcome,
            )
    });
    if calls.is_empty() {
        return Ok(None);
    }
    let compared = compare(mesh, predict, &state, calls).await?;
    Ok(compared
        .into_iter()
        .find(|it| it.disagree() && alike(&it.observed, &wanted.observed)))
}
