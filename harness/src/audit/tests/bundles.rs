//! What is audited from a bundle is what is audited from manifests, whatever its names are.

use semver::Version;
use serde::Deserialize;

use super::{CLEAN, data, input};
use crate::audit::{Input, Report, audit};
use crate::snapshot::{Mixed, Names, Snapshot, from_yaml};

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    hit: String,
    from: Option<Version>,
    istio: Option<Version>,
    to: Option<Version>,
}

/// The input as it comes out of a bundle.
fn through_a_bundle(input: Input, names: Names) -> Input {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.bundle");
    let out = std::fs::File::create(&path).unwrap();
    input
        .snapshot
        .write_bundle(&input.mixed, names, input.now, out)
        .unwrap();
    let mut snapshot = Snapshot::new(input.snapshot.release.clone());
    let mut mixed = Mixed::default();
    snapshot.load_bundle(&path, &mut mixed).unwrap();
    Input {
        snapshot,
        mixed,
        ..input
    }
}

/// Findings and checks without the names in them.
fn judged(report: &Report) -> Vec<String> {
    let findings = report
        .findings
        .iter()
        .map(|it| format!("{} {}", it.code, it.severity));
    let checks = report
        .checks
        .iter()
        .map(|it| format!("{} {:?}", it.code, it.status));
    let mut judged: Vec<String> = findings.chain(checks).collect();
    judged.sort();
    judged
}

#[test]
fn a_bundle_is_judged_as_the_manifests_it_was_made_of_with_names_or_without() {
    for file in ["rules.yaml", "hazards.yaml"] {
        let cases: Vec<Case> = from_yaml(&data(file), file).unwrap();
        for case in cases {
            let text = format!("{CLEAN}---\n{}", case.hit);
            let of = || {
                let mut input = input(&text);
                input.current = case.from.clone().or(case.istio.clone()).or(input.current);
                input.target = case.to.clone().unwrap_or(input.target);
                input
            };
            let direct = judged(&audit(&mut of()).unwrap());
            for names in [Names::Kept, Names::Hashed] {
                let mut bundled = through_a_bundle(of(), names);
                assert_eq!(
                    judged(&audit(&mut bundled).unwrap()),
                    direct,
                    "{names:?}: {}",
                    case.hit
                );
            }
        }
    }
}
