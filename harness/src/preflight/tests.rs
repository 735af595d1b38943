//! What is written down is what was found: prediction confirms it without proxies.

use std::time::Duration;

use semver::Version;

use super::{Between, incident, least, reproduction, state_at};
use crate::audit::{Baseline, Input, Report, audit};
use crate::mesh::Tier;
use crate::scenario::verdict::{ReleaseOverrides, Verdict};
use crate::scenario::{Options, load, predict_only};
use crate::snapshot::{Mixed, Snapshot};

const MESH: &str = concat!(
    include_str!("../../tests/data/audit/clean.yaml"),
    include_str!("../../tests/data/audit/plain-to-strict.yaml"),
    "---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mesh, namespace: istio-system}
spec: {mtls: {mode: PERMISSIVE}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bystander, namespace: shop}
spec: {template: {metadata: {labels: {app: bystander}}, spec: {containers: [{name: app}]}}}
"
);

fn audited(text: &str) -> (Input, Report) {
    let mut input = Input {
        snapshot: Snapshot::new(Version::new(1, 30, 3)),
        mixed: Mixed::default(),
        current: Some(Version::new(1, 30, 3)),
        target: Version::new(1, 31, 1),
        kubernetes: None,
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        horizon: Duration::from_hours(24),
        baseline: Baseline::default(),
    };
    let mut mixed = Mixed::default();
    input.snapshot.add_mixed(text, "mesh.yaml", &mut mixed);
    let report = audit(&mut input).unwrap();
    (input, report)
}

fn between(report: &Report) -> Between<'_> {
    Between {
        current: &report.current,
        target: &report.target,
    }
}

#[test]
fn one_call_of_a_mesh_becomes_a_scenario_that_holds_and_has_nothing_else() {
    let (input, _) = audited(MESH);
    let found = incident(&input.snapshot, "client", "server:80", "outage").unwrap();
    assert!(!found.manifest.contains("bystander") && !found.scenario.contains("name: mesh"));
    let folder = tempfile::tempdir().unwrap();
    let path = found.write(folder.path()).unwrap();
    let scenario = load(&path, folder.path()).unwrap();
    let result = predict_only(&scenario, &Options::on(Tier::Local)).unwrap();
    assert_eq!(result.verdict, Verdict::Held, "{result:#?}");
    let told = |from: &str, to: &str| {
        incident(&input.snapshot, from, to, "outage")
            .unwrap_err()
            .to_string()
    };
    assert!(told("clint", "server:80").contains("clint"));
    assert!(told("client", "server:81").contains("81"));
}

#[test]
fn the_least_mesh_has_the_ends_of_the_call_and_the_policies_that_decide() {
    let (input, report) = audited(MESH);
    let full = state_at(&input.snapshot, &report.current).topology;
    let least = least::mesh(&input.snapshot, &full, &report.calls[0], &between(&report));
    let names: Vec<String> = least.objects().map(|(name, _)| name.to_string()).collect();
    let caller = format!("Deployment/{}", report.calls[0].call.from);
    let mut expected = vec![
        caller,
        "Deployment/shop/server".to_owned(),
        "DestinationRule/shop/plain".to_owned(),
        "Namespace/shop".to_owned(),
        "PeerAuthentication/shop/strict".to_owned(),
        "Service/shop/server".to_owned(),
    ];
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn what_is_written_down_is_a_scenario_that_holds_at_both_releases() {
    let subset = "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: subsets, namespace: shop}
spec: {host: server, subsets: [{name: all}], trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: route, namespace: shop}
spec: {hosts: [server], http: [{route: [{destination: {host: server, subset: all}}]}]}
";
    let changing = include_str!("../../tests/data/audit/clean.yaml").to_owned() + subset;
    for mesh in [MESH, changing.as_str()] {
        let (input, report) = audited(mesh);
        let full = state_at(&input.snapshot, &report.current).topology;
        let risky = &report.calls[0];
        let least = least::mesh(&input.snapshot, &full, risky, &between(&report));
        let folder = tempfile::tempdir().unwrap();
        let path = reproduction("preflight-1", &least, risky, &between(&report), String::new())
            .unwrap()
            .write(folder.path())
            .unwrap();
        let scenario = load(&path, folder.path()).unwrap_or_else(|mistakes| {
            panic!(
                "{}",
                mistakes
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n")
            )
        });
        for release in [&report.current, &report.target] {
            let options = Options {
                releases: ReleaseOverrides {
                    istio: Some(release.clone()),
                    ..ReleaseOverrides::NONE
                },
                ..Options::on(Tier::Local)
            };
            let result = predict_only(&scenario, &options).unwrap();
            assert_eq!(result.verdict, Verdict::Held, "{release}: {result:#?}");
        }
    }
}
