//! What the local mesh does that no scenario of the catalogue is about.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::Path;

use meshproof::mesh::{Settings, Tier};
use meshproof::scenario::verdict::Verdict;
use meshproof::scenario::{Options, execute, load};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_waited_for_where_something_names_it() {
    holds("secrets-that-something-names").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_calls_itself_is_seen_at_both_ends() {
    holds("pod-that-calls-itself").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_are_made_anew_are_injected_anew() {
    holds("restart-injects-anew").await;
}

async fn holds(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let scenario = load(&root.join(format!("harness/tests/scenarios/{name}.yaml")), root).unwrap();
    let options = Options::on(Tier::Local);
    let result = execute(&scenario, &options, &Settings::default(), |_| ())
        .await
        .unwrap();
    let calls = result.phases.iter().flat_map(|phase| &phase.calls);
    let astray: Vec<_> = calls
        .filter(|call| call.verdict != Verdict::Held)
        .map(|call| (&call.id, &call.predicted, &call.observed))
        .collect();
    assert_eq!(result.verdict, Verdict::Held, "{astray:#?}");
}
