//! Every rule and every condition: what it finds, what comes near, and a clean mesh.

mod bundles;
mod certificates;
mod false_alarms;
mod hazards;
mod rules;

use std::path::PathBuf;
use std::time::Duration;

use semver::Version;

use super::{Baseline, Input, Report, audit};
use crate::snapshot::{Mixed, Snapshot};

const CLEAN: &str = include_str!("../../../tests/data/audit/clean.yaml");
const DAY: Duration = Duration::from_hours(24);

/// A mesh of these manifests, at 1.30.3, to go to 1.31.1, on the day the table of releases was written.
fn input(text: &str) -> Input {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    let mut mixed = Mixed::default();
    snapshot.add_mixed(text, "mesh.yaml", &mut mixed);
    assert!(mixed.unread.is_empty(), "{:?}", mixed.unread);
    Input {
        snapshot,
        mixed,
        current: Some(Version::new(1, 30, 3)),
        target: Version::new(1, 31, 1),
        kubernetes: None,
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        horizon: DAY * 30,
        baseline: Baseline::default(),
    }
}

fn report(text: &str) -> Report {
    audit(&mut input(text)).unwrap()
}

/// The codes found, each once.
fn codes(report: &Report) -> Vec<&str> {
    let mut codes: Vec<&str> = report.findings.iter().map(|it| it.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn data(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/audit")
        .join(file);
    std::fs::read_to_string(path).unwrap()
}
