//! Triggers of hazards: met, and nearly met.

use std::collections::BTreeMap;

use semver::Version;
use serde::Deserialize;

use super::{CLEAN, data, input};
use crate::audit::{Status, audit, hazards};
use crate::snapshot::from_yaml;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    from: Option<Version>,
    to: Option<Version>,
    #[serde(default)]
    hit: String,
    #[serde(default)]
    near: String,
    /// Whether even a hit cannot be told.
    #[serde(default)]
    needs: bool,
    /// Why no upgrade that the tool knows meets it.
    skip: Option<String>,
}

fn cases() -> Vec<Case> {
    from_yaml(&data("hazards.yaml"), "hazards.yaml").unwrap()
}

#[test]
fn each_trigger_is_met_by_its_case_and_not_by_what_comes_near() {
    for case in cases().into_iter().filter(|it| it.skip.is_none()) {
        let status = |text: &str| {
            let mut input = input(&format!("{CLEAN}---\n{text}"));
            input.current = case.from.clone();
            input.target = case.to.clone().unwrap();
            let report = audit(&mut input).unwrap();
            let code = format!("hazard.{}", case.id);
            let check = report.checks.iter().find(|it| it.code == code);
            check.map(|it| it.status)
        };
        let met = if case.needs {
            Status::CannotTell
        } else {
            Status::Found
        };
        assert_eq!(status(&case.hit), Some(met), "{}", case.id);
        // What nothing can tell is never told.
        let is_always_needed = case.near.is_empty();
        let near = if is_always_needed {
            Status::CannotTell
        } else {
            Status::Passed
        };
        assert_eq!(status(&case.near), Some(near), "near {}", case.id);
    }
}

#[test]
fn every_hazard_with_a_trigger_has_a_case() {
    let cases: BTreeMap<String, Case> = cases().into_iter().map(|it| (it.id.clone(), it)).collect();
    let elsewhere = [
        "rootca-single",
        "leaf-ttl-clamp",
        "ca-startup-verify",
        "cacerts-incomplete",
        "root-rotation-multiroot",
        "crl",
        "root-parse",
        "p384-p521",
    ];
    for hazard in hazards().unwrap() {
        let is_tested = cases.contains_key(&hazard.id) || elsewhere.contains(&hazard.id.as_str());
        assert!(
            hazard.trigger.is_empty() || is_tested,
            "{} has no case",
            hazard.id
        );
    }
}
