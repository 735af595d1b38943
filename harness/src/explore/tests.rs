use super::check::{Compared, Scene};
use super::draw::{case_of, world_of};
use super::reproduction::reproduction;
use super::run::{Explorer, Options};
use crate::call::Call;
use crate::fault::Conditions;
use crate::istio::{Prediction, Topology, predict};
use crate::mesh::{Settings, Tier};
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::scenario::{self, Reproduction};

/// Says that plaintext gets into STRICT.
fn wrong(topology: &Topology, conditions: &Conditions, call: &Call) -> Prediction {
    let mut prediction = predict(topology, conditions, call);
    if prediction.outcome.id == OutcomeId::PlaintextToStrict {
        prediction.outcome = Outcome::of(OutcomeId::Plaintext);
    }
    prediction
}

#[test]
fn every_call_of_every_case_can_be_written_down_as_a_scenario_that_predicts_the_same() {
    let mut written = 0;
    for number in (0..400).step_by(8) {
        let world = world_of(3, number);
        let scene = Scene {
            world: &world,
            case: case_of(3, number).current(),
            without: Vec::new(),
        };
        let state = scene.state().unwrap();
        let conditions = state.conditions();
        for call in scene.calls(&state) {
            let predicted = predict(&state.topology, &conditions, &call);
            if predicted.outcome.id == OutcomeId::Unknown {
                continue;
            }
            let shown = Compared {
                call: call.clone(),
                predicted: predicted.clone(),
                observed: Outcome::of(OutcomeId::Unknown),
                evidence: None,
            };
            let reproduction = reproduction(&scene, &shown, "explored".to_owned(), 3, number).unwrap();
            let planned = planned(&reproduction);
            assert!(
                planned.contains(&(call.clone(), predicted.outcome.clone())),
                "{call}\n{}",
                reproduction.scenario
            );
            written += 1;
        }
    }
    assert!(written > 150, "{written}");
}

/// The calls that a reproduction makes, with their predictions.
fn planned(reproduction: &Reproduction) -> Vec<(Call, Outcome)> {
    let folder = tempfile::tempdir().unwrap();
    let path = reproduction.write(folder.path()).unwrap();
    let scenario = scenario::load(&path, folder.path()).unwrap_or_else(|mistakes| {
        let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        panic!("{}\n{}", mistakes.join("\n"), reproduction.scenario)
    });
    let phases = scenario::plan(&scenario, &scenario::Options::on(Tier::Local)).unwrap();
    let explored = phases.into_iter().nth(1).unwrap();
    let calls = explored.calls.into_iter();
    calls.map(|it| (it.expected.call, it.predicted)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_prediction_is_noticed_and_shown_by_a_small_mesh() {
    let explorer = Explorer {
        seed: 3,
        settings: Settings::default(),
        predict: wrong,
    };
    let options = Options {
        seed: 3,
        first: 0,
        cases: 25,
        jobs: 1,
    };
    let explored = explorer.explore(&options, |_, _| {}).await.unwrap();
    let [found] = explored.disagreements.as_slice() else {
        panic!("{:#?}", explored.disagreements);
    };
    assert_eq!(found.predicted.id, OutcomeId::Plaintext);
    let observed = Outcome::refused(OutcomeId::PlaintextToStrict, Side::Server);
    assert!(found.observed.agrees_with(&observed), "{}", found.observed);
    let least = &found.reproduction;
    let objects = |kind: &str| {
        let kind = format!("kind: {kind}\n");
        least.manifest.matches(&kind).count() + least.scenario.matches(&kind).count()
    };
    assert!(objects("Deployment") <= 2, "{}", least.manifest);
    assert_eq!(objects("PeerAuthentication"), 1, "{}", least.scenario);
    assert_eq!(objects("DestinationRule"), 0, "{}", least.scenario);
}
