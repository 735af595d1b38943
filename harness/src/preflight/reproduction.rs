//! A risky call as a scenario that anybody can run.

use semver::Version;
use serde_json::Value;

use super::{Between, state_at};
use crate::audit::RiskyCall;
use crate::outcome::Outcome;
use crate::scenario::format::{InlineObject, Metadata, When};
use crate::scenario::{Expectation, Phase, Reproduction, ReproductionError, control};
use crate::snapshot::{Snapshot, Stored};

/// Without policies something is delivered; with them the call ends as predicted, at either release.
pub(super) fn reproduction(
    name: &str,
    least: &Snapshot,
    risky: &RiskyCall,
    between: &Between<'_>,
    description: String,
) -> Result<Reproduction, ReproductionError> {
    let metadata = Metadata {
        name: name.to_owned(),
        title: match risky.now.agrees_with(&risky.then) {
            true => format!("Ends as {}", risky.now),
            false => format!("Ends as {}, then as {}", risky.now, risky.then),
        },
        description,
        claims: Vec::new(),
        tags: vec!["preflight".to_owned()],
    };
    let base = least.only(|_, it| !it.object.is_policy());
    let policies = manifests(&least.only(|_, it| it.object.is_policy()))?;
    let risky_phase = Phase {
        name: "risky".to_owned(),
        apply: policies.into_iter().map(InlineObject).collect(),
        expect: expectations(least, risky, between),
        ..Phase::default()
    };
    let phases = control(&state_at(&base, between.current), &risky.call);
    let phases = phases.into_iter().chain([risky_phase]).collect();
    Reproduction::new(metadata, between.current, &manifests(&base)?, phases)
}

/// The objects as manifests have them, oldest first: their age decides between policies.
fn manifests(snapshot: &Snapshot) -> Result<Vec<Value>, ReproductionError> {
    let mut stored: Vec<&Stored> = snapshot.objects().map(|(_, stored)| stored).collect();
    stored.sort_by_key(|it| it.age);
    let manifests = stored.into_iter().map(|it| it.object.to_manifest());
    let all: Result<Vec<Value>, serde_json::Error> = manifests.collect();
    all.map_err(|error| ReproductionError::Yaml(error.to_string()))
}

/// One expectation where both releases agree, else one for each, told apart by the sidecar that follows the release.
fn expectations(least: &Snapshot, risky: &RiskyCall, between: &Between<'_>) -> Vec<Expectation> {
    if risky.now.agrees_with(&risky.then) {
        return vec![Expectation::of(&risky.call, &risky.now)];
    }
    let topology = state_at(least, between.current).topology;
    let follows = |release: Option<&Version>| release == Some(between.current);
    let client = topology.workloads.get(&risky.call.from);
    let by_client = follows(client.and_then(|it| it.proxy_release()));
    let when = |bound: String| When {
        client: by_client.then(|| bound.clone()),
        server: (!by_client).then_some(bound),
        ..When::default()
    };
    let at = |outcome: &Outcome, bound: String| Expectation {
        when: Some(when(bound)),
        ..Expectation::of(&risky.call, outcome)
    };
    vec![
        at(&risky.now, format!("<{}", between.target)),
        at(&risky.then, format!(">={}", between.target)),
    ]
}
