//! A test of your own mesh, with meshproof as a library. To begin with it, copy this file into the `tests/` folder of a
//! crate of yours, name your manifests, and have in its `Cargo.toml`:
//!
//! ```toml
//! [dev-dependencies]
//! meshproof = { git = "…" }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! semver = "1"
//! ```
//!
//! Here it is run by `cargo test -p meshproof --example own_mesh`, on the manifests of the catalogue.

#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::print_stdout, reason = "an example is for looking at")]

use std::path::{Path, PathBuf};

use meshproof::call::Call;
use meshproof::fault::Conditions;
use meshproof::istio::{Prediction, Topology, address, predict};
use meshproof::mesh::{Settings, Tier};
use meshproof::reference::resolve_workload;
use meshproof::scenario::verdict::ScenarioResult;
use meshproof::scenario::{Options, execute, load};
use meshproof::snapshot::Snapshot;
use semver::Version;

#[tokio::main]
async fn main() {
    let prediction = what_becomes_of("checkout", "payment:8080");
    println!("checkout -> payment:8080: {}", prediction.outcome);
    for it in &prediction.because {
        println!("  because of {}", it.object.as_deref().unwrap_or("a default"));
    }
    let result = run("expired-ca").await;
    println!(
        "{} {}, repeat it with: {}",
        result.verdict, result.scenario, result.reproduce
    );
}

/// Without any proxy, in milliseconds: what the manifests mean for a call.
#[test]
fn checkout_reaches_payment_by_mtls_because_of_the_strict_policy() {
    let prediction = what_becomes_of("checkout", "payment:8080");
    let decided = |object: &str| {
        let mut because = prediction.because.iter();
        because.any(|it| it.object.as_deref() == Some(object))
    };
    assert_eq!(prediction.outcome.to_string(), "mtls");
    assert!(decided("PeerAuthentication/payments/strict"), "{prediction:#?}");
}

/// On real Envoys: an incident, judged call by call. The first run fetches the Envoys it needs.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused_by_the_client_until_it_is_renewed() {
    let result = run("expired-ca").await;
    assert_eq!(result.verdict.to_string(), "held", "{}", result.reproduce);
    let mut calls = result.phases.iter().flat_map(|phase| &phase.calls);
    let refused = |call: &meshproof::scenario::verdict::CallResult| {
        let outcome = call.observed.as_ref().map(ToString::to_string);
        outcome.as_deref() == Some("certificate-expired by client")
    };
    assert!(calls.any(refused), "{result:#?}");
}

/// Runs a scenario on the local tier.
async fn run(scenario: &str) -> ScenarioResult {
    let root = root();
    let scenario = load(&root.join(format!("scenarios/{scenario}.yaml")), &root).unwrap();
    execute(
        &scenario,
        &Options::on(Tier::Local),
        &Settings::default(),
        |_phase| {},
    )
    .await
    .unwrap()
}

/// Predicts a call between workloads of the manifests.
fn what_becomes_of(from: &str, to: &str) -> Prediction {
    let root = root();
    let mut snapshot = Snapshot::new(Version::new(1, 31, 1));
    snapshot
        .load_files(&[
            root.join("manifests/apps/payments.yaml"),
            root.join("manifests/policies/strict.yaml"),
        ])
        .unwrap();
    let topology = Topology::new(&snapshot, None);
    let from = resolve_workload(from, topology.workloads.keys()).unwrap();
    let targets = address::resolve(to, &from.namespace, &topology, false).unwrap();
    let destination = targets.into_iter().next().unwrap().destination;
    predict(&topology, &Conditions::default(), &Call::app(from, destination))
}

/// Where scenarios and manifests lie; in a crate of yours, its own folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
