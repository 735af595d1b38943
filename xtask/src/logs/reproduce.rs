//! Which scenario of the catalogue shows what a line tells of.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use meshproof::call::{CallKind, Payload};
use meshproof::logs::Scenarios;
use meshproof::outcome::{OutcomeId, Side};
use meshproof::scenario::{Catalogue, Expectation, Scenario};

use crate::root::root;

/// How well a scenario shows a refusal; the greater the better.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Fit {
    /// An application's HTTP call ends so, nothing is under load or copied: proxies log what others' do.
    is_ordinary: bool,
    /// At least half of the refusals it expects are this one: what else it shows distracts.
    is_about_it: bool,
    /// How many refusals are this one.
    refusals: usize,
    /// It is short.
    brevity: Reverse<usize>,
}

/// By outcome and side, the scenario that shows it best; with no side, the best of all sides. Empty where there is
/// no catalogue: then nothing can be reproduced.
pub(super) fn scenarios() -> Scenarios {
    let catalogue = root().ok().and_then(|root| Catalogue::load(&root).ok());
    best(catalogue.iter().flat_map(|it| &it.scenarios))
}

fn best<'a>(scenarios: impl Iterator<Item = &'a Scenario>) -> Scenarios {
    let mut found: BTreeMap<(OutcomeId, Option<Side>), (Fit, String)> = BTreeMap::new();
    // What cannot be run here reproduces nothing.
    for scenario in scenarios.filter(|it| it.file.spec.needs.is_empty()) {
        let refusals: Vec<&Expectation> = refusals(scenario).collect();
        let mut expected = scenario.file.spec.phases.iter().flat_map(|phase| &phase.expect);
        let is_undisturbed = expected.all(|it| it.failed.is_none() && it.call != CallKind::Mirrored);
        for shown in &refusals {
            let is_it = |it: &&&Expectation| it.outcome == shown.outcome && it.side == shown.side;
            let these: Vec<&Expectation> = refusals.iter().filter(is_it).copied().collect();
            let fit = Fit {
                is_ordinary: is_undisturbed && these.iter().any(|it| is_ordinary(it)),
                is_about_it: these.len() * 2 >= refusals.len(),
                refusals: these.len(),
                brevity: Reverse(scenario.file.spec.phases.len()),
            };
            for side in [shown.side, None] {
                let best = found
                    .entry((shown.outcome, side))
                    .or_insert_with(|| (fit, scenario.name().to_owned()));
                if fit > best.0 {
                    *best = (fit, scenario.name().to_owned());
                }
            }
        }
    }
    found
        .into_iter()
        .map(|(shown, (_, name))| (shown, name))
        .collect()
}

fn is_ordinary(expectation: &Expectation) -> bool {
    expectation.call == CallKind::App && expectation.payload == Payload::Http && expectation.subset.is_none()
}

fn refusals(scenario: &Scenario) -> impl Iterator<Item = &Expectation> {
    let expected = scenario.file.spec.phases.iter().flat_map(|phase| &phase.expect);
    expected.filter(|it| !it.outcome.is_delivered() && it.outcome != OutcomeId::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_shown_by_the_scenario_that_is_about_it() {
        insta::assert_debug_snapshot!(scenarios());
    }
}
