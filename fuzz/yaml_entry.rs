//! What a text of manifests goes through before anybody sees a prediction. Nothing of it may panic, whatever the text.
//!
//! Included by the fuzz target and by the bounded property test of the suite (`harness/tests/fuzz_yaml.rs`).

use meshproof::call::{Call, CallKind, Destination, Payload};
use meshproof::fault::Conditions;
use meshproof::istio::matrix::{CallShape, predict_all};
use meshproof::istio::releases::VERIFIED;
use meshproof::istio::{Topology, predict};
use meshproof::report::MatrixText;
use meshproof::snapshot::{MeshConfig, Snapshot};

/// Reads a text as manifests and as mesh configuration, and predicts every call of the mesh it describes. What is wrong
/// with the text is worded, as it would be for people.
pub fn read_and_predict(text: &str) {
    if let Err(error) = MeshConfig::from_any_yaml(text, "fuzz.yaml") {
        let _ = error.to_string();
    }
    let mut snapshot = Snapshot::new(VERIFIED);
    if let Err(error) = snapshot.add_yaml(text, "fuzz.yaml") {
        let _ = error.to_string();
        return;
    }
    let topology = Topology::new(&snapshot, None);
    for finding in topology.findings() {
        let _ = finding.to_string();
    }
    let conditions = Conditions::default();
    for (kind, payload) in [
        (CallKind::App, Payload::Http),
        (CallKind::App, Payload::Tcp),
        (CallKind::RawMtls, Payload::Http),
    ] {
        let shape = CallShape {
            kind,
            payload,
            ..CallShape::default()
        };
        let matrix = predict_all(&topology, &conditions, &shape);
        let _ = matrix.cells().count();
        let _ = MatrixText {
            matrix: &matrix,
            topology: &topology,
            conditions: &conditions,
        }
        .render();
    }
    for from in topology.workloads.keys() {
        for to in topology.workloads.keys() {
            let to = Destination::Pod {
                pod: to.pod(0),
                port: 8080,
            };
            let _ = predict(&topology, &conditions, &Call::app(from.clone(), to));
        }
    }
    // A second reading knows the first: pods keep the injection they had.
    let _ = Topology::new(&snapshot, Some(&topology));
}
