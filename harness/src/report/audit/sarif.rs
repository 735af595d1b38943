//! For code scanning: SARIF 2.1.0 (OASIS), as far as GitHub reads it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::help;
use crate::audit::{Finding, Report, Severity};

/// The report as a SARIF log. Accepted findings are in it as suppressed; an incomplete audit is a run that failed.
#[must_use]
pub fn sarif(report: &Report) -> Value {
    let found = report.findings.iter();
    let all = || found.clone().chain(report.accepted.iter().map(|it| &it.finding));
    let titles: BTreeMap<&str, &str> = report
        .checks
        .iter()
        .map(|it| (it.code.as_str(), it.title.as_str()))
        .collect();
    let codes: BTreeMap<&str, &Finding> = all().map(|it| (it.code.as_str(), it)).collect();
    let rules: Vec<Value> = codes
        .iter()
        .map(|(code, finding)| {
            json!({
                "id": code,
                "shortDescription": {"text": titles.get(code).unwrap_or(code)},
                "help": {"text": format!("{} See {}.", finding.remedy, help(code))},
            })
        })
        .collect();
    let suppressed = report.accepted.iter().map(|it| {
        let mut result = result(&it.finding);
        result["suppressions"] = json!([{"kind": "external", "justification": it.reason}]);
        result
    });
    let results: Vec<Value> = found.clone().map(result).chain(suppressed).collect();
    let notifications: Vec<Value> = report
        .incomplete
        .iter()
        .map(|it| json!({"level": "error", "message": {"text": it}}))
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "meshproof", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "invocations": [{
                "executionSuccessful": report.incomplete.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::High => "error",
        Severity::Medium | Severity::Low => "warning",
        Severity::Info => "note",
    };
    let location = finding.location.as_ref().map_or_else(
        || json!({"logicalLocations": [{"fullyQualifiedName": finding.object.as_deref().unwrap_or("mesh")}]}),
        |it| {
            json!({
                "physicalLocation": {"artifactLocation": {"uri": it.file}, "region": {"startLine": it.line}},
                "logicalLocations": [{"fullyQualifiedName": finding.object.as_deref().unwrap_or("mesh")}],
            })
        },
    );
    json!({
        "ruleId": finding.code,
        "level": level,
        "message": {"text": finding.message},
        "locations": [location],
        "partialFingerprints": {"meshproof/v1": finding.id},
    })
}
