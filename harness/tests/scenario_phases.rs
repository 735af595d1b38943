//! A scenario from its file to the state of each phase.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::{Path, PathBuf};

use meshproof::call::WorkloadName;
use meshproof::mesh::Tier;
use meshproof::pki::{Validity, WorkloadCredentials};
use meshproof::scenario::verdict::{ReleaseOverrides, Verdict};
use meshproof::scenario::{Causes, Options, Scenario, State, explain, load, plan, predict_only, reproduce};

fn scenario() -> Scenario {
    named("renewal")
}

fn named(name: &str) -> Scenario {
    let root = root();
    load(&root.join(format!("harness/tests/scenarios/{name}.yaml")), &root).unwrap_or_else(|mistakes| {
        let messages: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        panic!("{}", messages.join("\n"))
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn payment(state: &State) -> WorkloadCredentials {
    let credentials = state.conditions().credentials.workloads;
    credentials[&WorkloadName::new("payments", "payment")].clone()
}

/// What made the recordings of `data/recorded-modes.yaml` can make them again.
#[test]
fn modes_of_the_evidence_catalogue_are_predicted_as_they_were_recorded() {
    let scenario = named("evidence-modes");
    let result = predict_only(&scenario, &Options::on(Tier::Local)).unwrap();
    let calls: Vec<_> = result.phases.iter().flat_map(|phase| &phase.calls).collect();
    let falsified: Vec<&str> = calls
        .iter()
        .filter(|call| call.verdict == Verdict::Falsified)
        .map(|call| call.id.as_str())
        .collect();
    assert!(falsified.is_empty(), "{falsified:?}");
    let recorded: serde_json::Value =
        serde_saphyr::from_str(include_str!("data/recorded-modes.yaml")).unwrap();
    let recorded = recorded["calls"].as_array().unwrap().iter().map(|call| {
        let mode = call["mode"].as_str().unwrap().replace(['_', '@'], "-");
        format!("evidence-modes::{mode}::{}", call["call"].as_str().unwrap())
    });
    let made: Vec<String> = calls.iter().map(|call| call.id.clone()).collect();
    assert_eq!(recorded.collect::<Vec<_>>(), made);
}

#[test]
fn phases_are_cumulative() {
    let scenario = scenario();
    let mut state = State::start(&scenario, None).unwrap();
    let mut seen = Vec::new();
    for index in 0..scenario.file.spec.phases.len() {
        state.advance(&scenario, index, Causes::Present).unwrap();
        let held = payment(&state);
        let policies = state
            .snapshot
            .objects()
            .filter(|(name, _)| name.kind == "PeerAuthentication")
            .count();
        seen.push((scenario.id_prefix(index), held.leaf, held.generation, policies));
    }
    let expected = [
        ("renewal::control", Validity::Current, 0, 1),
        ("renewal::expired", Validity::Expired, 0, 2),
        ("renewal::renewed", Validity::Current, 1, 1),
    ];
    assert_eq!(
        seen,
        expected.map(|(id, leaf, generation, policies)| (id.to_owned(), leaf, generation, policies))
    );
}

#[test]
fn without_its_causes_a_scenario_never_breaks_anything() {
    let scenario = scenario();
    let mut state = State::start(&scenario, None).unwrap();
    for index in 0..scenario.file.spec.phases.len() {
        state.advance(&scenario, index, Causes::LeftOut).unwrap();
        assert_eq!(payment(&state).leaf, Validity::Current);
    }
}

#[test]
fn an_expectation_can_be_pointed_at() {
    let scenario = scenario();
    let span = scenario.expectation_span(1, 0);
    let text = &scenario.source.text[span];
    assert_eq!(
        text,
        r#"{from: checkout, to: "payment:8080", outcome: certificate-expired, side: client}"#
    );
}

#[test]
fn a_scenario_explains_itself() {
    insta::assert_snapshot!(explain(&scenario()));
}

#[test]
fn releases_given_from_outside_replace_those_that_pods_pin() {
    let root = root();
    let scenario = load(&root.join("scenarios/skew-1.24.0.yaml"), &root).unwrap();
    let options = Options {
        releases: ReleaseOverrides {
            client: Some("1.29.0".parse().unwrap()),
            server: Some("1.31.1".parse().unwrap()),
            ..ReleaseOverrides::NONE
        },
        ..Options::on(Tier::Local)
    };
    for phase in plan(&scenario, &options).unwrap() {
        let workloads = &phase.desired.topology.workloads;
        let releases: Vec<String> = ["checkout", "payment", "payment-canary"]
            .map(|name| WorkloadName::new("payments", name))
            .iter()
            .filter_map(|name| workloads[name].proxy_release().map(ToString::to_string))
            .collect();
        assert_eq!(releases, ["1.29.0", "1.31.1", "1.31.1"], "{}", phase.name);
    }
    let command = reproduce(&scenario, &options);
    assert!(command.ends_with("--client 1.29.0 --server 1.31.1"), "{command}");
}
