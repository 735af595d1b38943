//! Every form of one report.

use std::time::Duration;

use semver::Version;

use super::{json, junit, markdown, prometheus, sarif, text};
use crate::audit::{Baseline, Input, Report, Severity, audit};
use crate::snapshot::{Mixed, Snapshot};

/// One finding of each severity, one accepted, one document unread.
fn report() -> Report {
    let mesh = concat!(
        include_str!("../../../tests/data/audit/clean.yaml"),
        include_str!("../../../tests/data/audit/plain-to-strict.yaml"),
        "---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict-too, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Namespace
metadata: {name: both, labels: {istio-injection: enabled, istio.io/rev: canary}}
---
a: [
"
    );
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    let mut mixed = Mixed::default();
    snapshot.add_mixed(mesh, "mesh.yaml", &mut mixed);
    audit(&mut Input {
        snapshot,
        mixed,
        current: Some(Version::new(1, 30, 3)),
        target: Version::new(1, 31, 1),
        kubernetes: None,
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        horizon: Duration::from_hours(24 * 30),
        baseline: Baseline::from_yaml(
            "accept: [{finding: policy.duplicate, reason: gone soon}]",
            "b.yaml",
        )
        .unwrap(),
    })
    .unwrap()
}

#[test]
fn the_forms_for_people_are_as_they_were() {
    let report = report();
    insta::assert_snapshot!("text", text(&report));
    insta::assert_snapshot!("markdown", markdown(&report));
}

#[test]
fn the_forms_for_machines_are_as_they_were() {
    let report = report();
    insta::assert_snapshot!(
        "json",
        serde_json::to_string_pretty(&json(&report).unwrap()).unwrap()
    );
    insta::assert_snapshot!("sarif", serde_json::to_string_pretty(&sarif(&report)).unwrap());
    insta::assert_snapshot!("junit", junit(&report, Severity::High).unwrap());
    insta::assert_snapshot!("prometheus", prometheus(&report));
}

#[test]
fn what_fails_a_test_report_is_what_fails_the_command() {
    let report = report();
    let failures = |fail_on| junit(&report, fail_on).unwrap().matches("<failure").count();
    assert_eq!((failures(Severity::High), failures(Severity::Medium)), (1, 2));
}
