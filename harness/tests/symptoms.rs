//! What `manifests/symptoms.yaml` says a refusal looks like, against what was recorded on three versions of Envoy.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};

use meshproof::outcome::{OutcomeId, Side};
use meshproof::symptom::{Place, Symptom, Symptoms};
use semver::Version;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Recordings {
    modes: Vec<Mode>,
}

#[derive(Deserialize)]
struct Mode {
    id: String,
    observed: Vec<Value>,
}

#[derive(Deserialize)]
struct Meaning {
    call: Option<Call>,
}

#[derive(Deserialize)]
struct Call {
    outcome: OutcomeId,
    side: Option<Side>,
}

fn meanings() -> BTreeMap<String, Meaning> {
    serde_saphyr::from_str(include_str!("data/evidence-outcomes.yaml")).unwrap()
}

fn recordings() -> BTreeMap<String, Vec<Value>> {
    let recordings: Recordings = serde_saphyr::from_str(include_str!("data/envoy-evidence.yaml")).unwrap();
    recordings
        .modes
        .into_iter()
        .map(|mode| (mode.id, mode.observed))
        .collect()
}

#[test]
fn every_symptom_is_in_its_recordings_on_every_version() {
    let (recordings, meanings) = (recordings(), meanings());
    let mut wrong = Vec::new();
    for symptom in Symptoms::embedded().unwrap().all() {
        for mode in &symptom.recorded {
            let meant = meanings.get(mode).and_then(|it| it.call.as_ref());
            if meant.map(|call| (call.outcome, call.side)) != Some((symptom.outcome, symptom.side)) {
                wrong.push(format!(
                    "{mode} is no recording of {} by {:?}",
                    symptom.outcome, symptom.side
                ));
            }
            for observed in recordings.get(mode).into_iter().flatten() {
                for version in observed["envoy"].as_array().unwrap() {
                    let version = version.as_str().unwrap();
                    wrong.extend(
                        missing(symptom, observed, version).map(|it| format!("{mode} on {version}: {it}")),
                    );
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_recorded_refusal_has_a_symptom() {
    let symptoms = Symptoms::embedded().unwrap();
    let of_calls = meanings().into_values().filter_map(|meaning| meaning.call);
    let refused: BTreeSet<_> = of_calls
        .filter(|call| !call.outcome.is_delivered() && call.outcome != OutcomeId::Unknown)
        .map(|call| (call.outcome, call.side))
        .collect();
    let without: Vec<_> = refused
        .into_iter()
        .filter(|(outcome, side)| symptoms.of(*outcome, *side).next().is_none())
        .collect();
    assert!(without.is_empty(), "{without:?}");
}

fn missing<'a>(
    symptom: &'a Symptom,
    observed: &'a Value,
    version: &str,
) -> impl Iterator<Item = String> + 'a {
    let version: Version = version.parse().unwrap();
    symptom.places().into_iter().flat_map(move |(place, signs)| {
        let texts = texts(place, observed);
        let version = version.clone();
        signs
            .iter()
            .filter(move |sign| sign.is_said_by(&version))
            .filter(move |sign| !texts.iter().any(|text| place.holds(text, &sign.text)))
            .map(move |sign| format!("`{}` is not in {place}", sign.text))
    })
}

fn texts(place: Place, observed: &Value) -> Vec<&str> {
    let values = |pointer: &str| {
        let object = observed.pointer(pointer).and_then(Value::as_object);
        object
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| value.as_str())
            .collect()
    };
    let names = |pointer: &str| {
        let object = observed.pointer(pointer).and_then(Value::as_object);
        object
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect()
    };
    match place {
        Place::Answer => values("/app"),
        Place::ClientLog => values("/client_log"),
        Place::ServerLog => values("/server_listener_log"),
        Place::ClientStats => names("/client_stats"),
        Place::ServerStats => names("/server_stats"),
    }
}
