//! Predictions held against worked examples from Istio's documentation and issues.
//!
//! One file per example in `data/examples/`, with its source; all on the sample workloads of Istio's tasks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use meshproof::call::{Call, CallKind};
use meshproof::fault::Conditions;
use meshproof::istio::releases::{self, VERIFIED};
use meshproof::istio::{Topology, address, predict};
use meshproof::outcome::{OutcomeId, Side};
use meshproof::reference::resolve_workload;
use meshproof::snapshot::Snapshot;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    title: String,
    /// Where Istio says so.
    source: String,
    /// What it says, in our words.
    says: String,
    istio: Option<String>,
    #[serde(default)]
    objects: String,
    calls: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    from: String,
    to: String,
    #[serde(default)]
    call: CallKind,
    subset: Option<String>,
    istio: Option<String>,
    outcome: OutcomeId,
    side: Option<Side>,
    /// An object that must be among those that decide.
    because: Option<String>,
}

#[test]
fn every_worked_example_is_predicted() {
    let mut wrong = Vec::new();
    let mut calls = 0;
    for (file, example) in examples() {
        for expected in &example.calls {
            calls += 1;
            if let Err(problem) = example.check(expected) {
                wrong.push(format!("{} ({}): {problem}", example.title, file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(calls > 30, "{calls} calls");
}

#[test]
fn every_example_says_where_it_is_from() {
    for (file, example) in examples() {
        let is_public = ["https://istio.io/", "https://github.com/istio/"];
        let file = file.display();
        assert!(
            is_public.iter().any(|it| example.source.starts_with(it)),
            "{file}"
        );
        assert!(!example.says.is_empty() && !example.calls.is_empty(), "{file}");
    }
}

impl Example {
    fn check(&self, expected: &Expected) -> Result<(), String> {
        let release = expected.istio.as_ref().or(self.istio.as_ref());
        let release = release.map_or(VERIFIED, |it| releases::parse(it).unwrap());
        let mut snapshot = Snapshot::new(release);
        snapshot.load_files(&[folder().join("objects")]).unwrap();
        snapshot
            .add_yaml(&self.objects, "objects")
            .map_err(|error| error.to_string())?;
        let topology = Topology::new(&snapshot, None);
        let from =
            resolve_workload(&expected.from, topology.workloads.keys()).map_err(|error| error.to_string())?;
        let targets = address::resolve(&expected.to, &from.namespace, &topology, false)
            .map_err(|error| error.to_string())?;
        for target in targets {
            let call = Call {
                kind: expected.call,
                subset: expected.subset.clone(),
                ..Call::app(from.clone(), target.destination)
            };
            let prediction = predict(&topology, &Conditions::default(), &call);
            let outcome = (prediction.outcome.id, prediction.outcome.side);
            let decides = |object: &String| {
                prediction
                    .because
                    .iter()
                    .any(|it| it.object.as_ref() == Some(object))
            };
            if outcome != (expected.outcome, expected.side) || !expected.because.iter().all(decides) {
                return Err(format!("{call} is {prediction:#?}"));
            }
        }
        Ok(())
    }
}

fn examples() -> Vec<(PathBuf, Example)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.is_file()).collect();
    files.sort();
    assert!(files.len() >= 8);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let example =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, example)
    };
    files.into_iter().map(read).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/examples")
}
