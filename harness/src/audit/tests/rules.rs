//! Rules about objects and calls.

use std::collections::BTreeSet;

use semver::Version;
use serde::Deserialize;

use super::{CLEAN, codes, data, input, report};
use crate::audit::{AuditError, Baseline, Report, Severity, audit, rules};
use crate::snapshot::from_yaml;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    code: String,
    hit: String,
    near: String,
    istio: Option<Version>,
    to: Option<Version>,
    near_istio: Option<Version>,
    near_to: Option<Version>,
}

fn cases() -> Vec<Case> {
    from_yaml(&data("rules.yaml"), "rules.yaml").unwrap()
}

fn of(text: &str, istio: Option<&Version>, to: Option<&Version>) -> Report {
    let mut input = input(&format!("{CLEAN}---\n{text}"));
    input.current = istio.cloned().or(input.current);
    input.target = to.cloned().unwrap_or(input.target);
    audit(&mut input).unwrap()
}

#[test]
fn each_rule_finds_its_case_and_not_what_comes_near() {
    for case in cases() {
        let hit = of(&case.hit, case.istio.as_ref(), case.to.as_ref());
        assert!(
            codes(&hit).contains(&case.code.as_str()),
            "{}: {:#?}",
            case.code,
            hit.findings
        );
        let (istio, to) = (case.near_istio.or(case.istio), case.near_to.or(case.to));
        let near = of(&case.near, istio.as_ref(), to.as_ref());
        assert!(
            !codes(&near).contains(&case.code.as_str()),
            "near {}: {:#?}",
            case.code,
            near.findings
        );
    }
}

#[test]
fn every_rule_has_a_case() {
    let tested: BTreeSet<String> = cases().into_iter().map(|it| it.code).collect();
    let elsewhere = |code: &str| code.starts_with("certificates.") || code == "injection.webhook-ca-bundle";
    for rule in rules().filter(|it| !elsewhere(it.code)) {
        assert!(tested.contains(rule.code), "{} has no case", rule.code);
    }
}

#[test]
fn codes_are_unique_and_begin_with_their_category() {
    let codes: BTreeSet<&str> = rules().map(|it| it.code).collect();
    assert_eq!(codes.len(), rules().count());
    for rule in rules() {
        assert!(
            rule.code.starts_with(&format!("{}.", rule.category)),
            "{}",
            rule.code
        );
        assert!(
            !rule.title.ends_with('.') && rule.explanation.ends_with('.'),
            "{}",
            rule.code
        );
    }
}

#[test]
fn findings_are_told_apart_by_their_ids() {
    let all: Vec<String> = cases().into_iter().map(|it| it.hit).collect();
    let report = of(&all.join("\n---\n"), None, None);
    let ids: BTreeSet<&str> = report.findings.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), report.findings.len());
    assert!(report.findings.is_sorted_by(|a, b| a.severity >= b.severity));
}

#[test]
fn a_clean_mesh_has_no_finding_but_what_is_worth_knowing() {
    let report = report(CLEAN);
    let above: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.severity > Severity::Info)
        .collect();
    assert!(above.is_empty(), "{above:#?}");
    assert!(report.incomplete.is_empty() && report.calls.is_empty());
}

#[test]
fn a_generated_mesh_in_which_nothing_is_wrong_has_no_finding_either() {
    let report = report(&crate::bench::clean_mesh(120, 60));
    let above: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.severity > Severity::Info)
        .collect();
    assert!(above.is_empty(), "{above:#?}");
    assert!(report.incomplete.is_empty() && report.calls.is_empty());
}

#[test]
fn a_release_that_does_not_exist_is_answered_with_one_that_does() {
    let mut bad = input(CLEAN);
    bad.target = Version::new(1, 31, 7);
    let error = audit(&mut bad).unwrap_err();
    assert!(matches!(error, AuditError::NoSuchRelease { .. }));
    assert_eq!(
        error.to_string(),
        "there is no Istio 1.31.7 (as of 2026-11-22); did you mean 1.31.1?"
    );
}

#[test]
fn the_current_release_is_what_the_input_says_or_the_minor_before() {
    let current = |text: &str| {
        let mut input = input(&format!("{CLEAN}---\n{text}"));
        input.current = None;
        let report = audit(&mut input).unwrap();
        (report.current.to_string(), report.current_from.unwrap())
    };
    let (release, from) = current("");
    assert_eq!(release, "1.30.5");
    assert!(from.starts_with("assumed"));
    assert_eq!(
        current("global: {tag: 1.29.2, proxy: {}}"),
        (
            "1.29.2".to_owned(),
            "global.tag of HelmValues/mesh.yaml".to_owned()
        )
    );
    let istiod = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: istiod, namespace: istio-system}, spec: {template: {spec: {containers: [{name: discovery, image: 'docker.io/istio/pilot:1.30.1'}]}}}}";
    assert_eq!(current(istiod).0, "1.30.1");
}

const PLAIN_TO_STRICT: &str = include_str!("../../../tests/data/audit/plain-to-strict.yaml");

#[test]
fn a_baseline_accepts_until_its_day_and_tells_what_it_no_longer_needs() {
    let accepted = |baseline: &str| {
        let mut input = input(&format!("{CLEAN}{}", PLAIN_TO_STRICT));
        input.baseline = Baseline::from_yaml(baseline, "baseline.yaml").unwrap();
        let report = audit(&mut input).unwrap();
        (
            report.accepted.len(),
            report.worst() == Some(Severity::High),
            report.notes.join("; "),
        )
    };
    let id = "policy.disable-to-strict@DestinationRule/shop/plain#plaintext-to-strict";
    let entry =
        |finding: &str, until: &str| format!("accept: [{{finding: '{finding}', reason: known{until}}}]");
    let about = "policy.disable-to-strict@DestinationRule/shop/plain";
    assert_eq!(accepted(&entry(id, "")), (1, false, String::new()));
    assert_eq!(accepted(&entry(about, "")), (1, false, String::new()));
    let near = accepted(&entry("policy.disable-to-strict@DestinationRule/shop/pla", ""));
    assert_eq!(near.0, 0);
    assert_eq!(
        accepted(&entry("policy.disable-to-strict", ", until: 2026-11-22")),
        (1, false, String::new())
    );
    assert_eq!(
        accepted(&entry(id, ", until: 2026-11-21")),
        (
            0,
            true,
            format!("{id} was accepted until 2026-11-21, and is no longer")
        )
    );
    assert_eq!(
        accepted(&entry("policy.duplicate", "")),
        (
            0,
            true,
            "the baseline accepts policy.duplicate, which was not found: remove the entry".to_owned()
        )
    );
    assert!(Baseline::from_yaml("accept: [{finding: a}]", "baseline.yaml").is_err());
}

#[test]
fn istios_annotation_suppresses_the_codes_it_names() {
    let worst = |annotation: &str| {
        let annotation = format!("galley.istio.io/analyze-suppress: '{annotation}'");
        report(&format!(
            "{CLEAN}{}",
            PLAIN_TO_STRICT.replace(
                "name: plain,",
                &format!("name: plain, annotations: {{{annotation}}},")
            )
        ))
        .worst()
    };
    assert!(worst("policy.disable-to-strict") < Some(Severity::High));
    assert!(worst("*") < Some(Severity::High));
    assert_eq!(worst("IST0101"), Some(Severity::High));
}

#[test]
fn a_thousand_equal_calls_are_one_finding() {
    let client = |n: usize| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: c{n}, namespace: shop}}\nspec: {{containers: [{{name: app}}]}}\n"
        )
    };
    let clients: String = (0..50).map(client).collect();
    let report = report(&format!("{CLEAN}{}{clients}", PLAIN_TO_STRICT));
    let found: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.severity == Severity::High)
        .collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].message.starts_with("51 calls such as "),
        "{}",
        found[0].message
    );
    assert_eq!(found[0].object.as_deref(), Some("DestinationRule/shop/plain"));
}
