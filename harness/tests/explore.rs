//! A bounded exploration: predictions are held against real proxies in random meshes of a fixed seed.

use meshproof::explore::{Exploration, Options, explore};
use meshproof::mesh::Settings;
use meshproof::outcome::OutcomeId;

const OPTIONS: Options = Options {
    seed: 7,
    first: 0,
    cases: 60,
    jobs: 2,
};

fn disagreements(explored: &Exploration) -> String {
    let found = explored.disagreements.iter().map(|found| {
        format!(
            "case {}: {} is predicted {}, observed {}\n{}\n{}",
            found.case,
            found.call,
            found.predicted,
            found.observed,
            found.reproduction.manifest,
            found.reproduction.scenario
        )
    });
    found.collect::<Vec<_>>().join("\n\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_agree_with_real_proxies_in_random_meshes() {
    let explored = explore(&OPTIONS, &Settings::default(), |_, _| {}).await.unwrap();
    assert!(explored.disagreements.is_empty(), "{}", disagreements(&explored));
    // What it shows, it shows only if most calls are predicted and become of many things.
    assert_eq!(explored.cases, OPTIONS.cases);
    assert!(explored.calls >= 4 * OPTIONS.cases, "{explored:#?}");
    assert!(explored.unpredicted_share() < 0.05, "{explored:#?}");
    assert!(explored.outcomes.len() >= 14, "{explored:#?}");
    assert!(explored.outcomes[&OutcomeId::Mtls] >= 20, "{explored:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_calls_and_outcomes_however_many_run_at_once() {
    let mut tallies = Vec::new();
    for jobs in [1, 3] {
        let options = Options {
            first: 20,
            cases: 10,
            jobs,
            ..OPTIONS
        };
        let explored = explore(&options, &Settings::default(), |_, _| {}).await.unwrap();
        tallies.push((explored.calls, explored.unpredicted, explored.outcomes));
    }
    assert_eq!(tallies[0], tallies[1]);
}
