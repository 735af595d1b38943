//! A disagreement as a scenario that anybody can run.

use super::check::{Compared, Scene};
use super::run::ExploreError;
use crate::scenario::format::{InlineObject, Metadata};
use crate::scenario::{Expectation, Phase, Reproduction, control};

/// Without policies and faults some call is delivered; with them, the call in question is expected to end as predicted.
pub(super) fn reproduction(
    scene: &Scene<'_>,
    shown: &Compared,
    name: String,
    seed: u64,
    case: u32,
) -> Result<Reproduction, ExploreError> {
    let base = scene.base();
    let predicted = &shown.predicted.outcome;
    let because: Vec<String> = shown
        .predicted
        .because
        .iter()
        .map(|step| match &step.object {
            Some(object) => format!("{} of {object}", step.rule),
            None => step.rule.to_string(),
        })
        .collect();
    let metadata = Metadata {
        name,
        title: format!("Predicted {predicted}, observed {}", shown.observed),
        description: format!(
            "Case {case} of seed {seed}, shrunk. The prediction rests on {}.",
            because.join(", ")
        ),
        claims: Vec::new(),
        tags: vec!["explored".to_owned()],
    };
    let explored = Phase {
        name: "explored".to_owned(),
        apply: scene.policies().into_iter().map(InlineObject).collect(),
        inject: scene.faults(),
        expect: vec![Expectation::of(&shown.call, predicted)],
        ..Phase::default()
    };
    let phases = control(&scene.state_of(&base)?, &shown.call);
    let phases = phases.into_iter().chain([explored]).collect();
    Ok(Reproduction::new(metadata, &scene.world.release, &base, phases)?)
}
