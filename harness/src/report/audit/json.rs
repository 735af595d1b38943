//! For machines.

use serde::Serialize;
use serde_json::Value;

use crate::audit::{Accepted, Check, Finding, Report};
use crate::call::Call;
use crate::outcome::Outcome;

#[derive(Serialize)]
struct Written<'r> {
    current: String,
    target: String,
    /// Whether the findings are all there is to find.
    complete: bool,
    incomplete: &'r [String],
    checks: &'r [Check],
    findings: &'r [Finding],
    accepted: &'r [Accepted],
    calls: Vec<WrittenCall<'r>>,
    replayed: Vec<WrittenReplay<'r>>,
    notes: &'r [String],
    rollback: String,
}

#[derive(Serialize)]
struct WrittenCall<'r> {
    from: String,
    to: String,
    call: &'static str,
    alike: usize,
    now: &'r Outcome,
    then: &'r Outcome,
    findings: &'r [String],
}

#[derive(Serialize)]
struct WrittenReplay<'r> {
    from: String,
    to: String,
    verdict: &'static str,
    now: &'r Outcome,
    then: &'r Outcome,
    findings: &'r [String],
    scenario: String,
}

/// The report as one JSON object; the form is stable.
///
/// # Errors
/// Never with what a report holds.
pub fn json(report: &Report) -> Result<Value, serde_json::Error> {
    let calls = report.calls.iter().map(|it| WrittenCall {
        from: it.call.from.to_string(),
        to: to(&it.call),
        call: it.call.kind.as_str(),
        alike: it.alike,
        now: &it.now,
        then: &it.then,
        findings: &it.findings,
    });
    let replayed = report.replayed.iter().map(|it| WrittenReplay {
        from: it.call.from.to_string(),
        to: to(&it.call),
        verdict: if it.confirmed {
            "confirmed"
        } else {
            "not-reproduced"
        },
        now: &it.now,
        then: &it.then,
        findings: &it.findings,
        scenario: it.scenario.display().to_string(),
    });
    serde_json::to_value(Written {
        current: report.current.to_string(),
        target: report.target.to_string(),
        complete: report.incomplete.is_empty(),
        incomplete: &report.incomplete,
        checks: &report.checks,
        findings: &report.findings,
        accepted: &report.accepted,
        calls: calls.collect(),
        replayed: replayed.collect(),
        notes: &report.notes,
        rollback: report.rollback(),
    })
}

fn to(call: &Call) -> String {
    call.to.to_string()
}
