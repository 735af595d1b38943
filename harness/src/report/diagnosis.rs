//! A diagnosis for people and machines, in the manner of `linkerd check`.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::claims::{Claim, Ledger, LedgerError};
use crate::diagnose::{Category, Check, Diagnosis, Status, Verdict};

/// How many findings of a step are shown before the others are counted.
const SHOWN: usize = 5;
/// How many characters of a sentence are shown.
const LONGEST: usize = 300;

/// The diagnosis for people: one line a step by category, what was found below those that are not well, then verdicts.
///
/// # Errors
/// When the built-in ledger cannot be read, which its test excludes.
pub fn diagnosis_text(diagnosis: &Diagnosis) -> Result<String, LedgerError> {
    let ledger = Ledger::embedded()?;
    // Writing to a String cannot fail, here and below.
    let mut text = format!("{}\n", diagnosis.subject);
    let mut category: Option<Category> = None;
    for check in &diagnosis.checks {
        if category != Some(check.category) {
            category = Some(check.category);
            let name = check.category.to_string();
            let _ = writeln!(text, "\n{name}\n{}", "-".repeat(name.len()));
        }
        push_check(&mut text, check, ledger);
    }
    text.push_str("\nverdict\n-------\n");
    if diagnosis.verdicts.is_empty() {
        let _ = writeln!(text, "nothing fails of {} calls", diagnosis.calls);
    }
    for verdict in &diagnosis.verdicts {
        push_verdict(&mut text, verdict);
    }
    Ok(text.trim_end().to_owned())
}

/// The diagnosis for machines.
///
/// # Errors
/// When the built-in ledger cannot be read, which its test excludes.
pub fn diagnosis_json(diagnosis: &Diagnosis) -> Result<Value, LedgerError> {
    let ledger = Ledger::embedded()?;
    let checks: Vec<Value> = diagnosis.checks.iter().map(|it| check_json(it, ledger)).collect();
    Ok(json!({
        "subject": diagnosis.subject, "calls": diagnosis.calls, "checks": checks, "verdicts": diagnosis.verdicts,
    }))
}

fn push_check(text: &mut String, check: &Check, ledger: &Ledger) {
    let (mark, is_well) = match check.status {
        Status::Ok => ("√", true),
        Status::NotApplicable => ("-", true),
        Status::CannotTell => ("?", false),
        Status::Warning => ("‼", false),
        Status::Bad => ("×", false),
    };
    let first = check.found.first().map_or("", String::as_str);
    if is_well {
        let _ = writeln!(text, "{mark} {}: {first}", check.step.title);
    } else {
        let _ = writeln!(text, "{mark} {}", check.step.title);
        push_found(text, check);
    }
    if check.misled {
        for claim in corrections(check.step.corrected_by, ledger) {
            let _ = writeln!(text, "    runbook ({}): {}", claim.id, claim.instead.trim());
        }
    }
}

fn push_found(text: &mut String, check: &Check) {
    for found in check.found.iter().take(SHOWN) {
        let _ = writeln!(text, "    {}", shortened(found));
    }
    if check.found.len() > SHOWN {
        let _ = writeln!(text, "    and {} more", check.found.len() - SHOWN);
    }
    if let Some(hint) = &check.hint {
        let _ = writeln!(text, "    hint: {hint}");
    }
}

fn push_verdict(text: &mut String, verdict: &Verdict) {
    let outcome = &verdict.outcome;
    let by = outcome
        .side
        .map_or_else(String::new, |side| format!(", refused by the {side}"));
    let _ = writeln!(
        text,
        "{} -> {}: {}{by} ({} confidence)",
        verdict.from, verdict.to, outcome.id, verdict.confidence
    );
    if !verdict.suspects.is_empty() {
        let names: Vec<&str> = verdict.suspects.iter().map(|it| it.as_str()).collect();
        let _ = writeln!(text, "  could be     {}", names.join(", "));
    }
    for (index, it) in verdict.responsible.iter().enumerate() {
        let label = if index == 0 { "responsible" } else { "" };
        let then = match (it.then, it.together) {
            (Some(then), true) => format!("; with all of these set right the call is {then}"),
            (Some(then), false) => format!("; without that the call is {then}"),
            (None, _) => String::new(),
        };
        let _ = writeln!(text, "  {label:12} {} ({}){then}", it.object, it.cause.text());
    }
    for (index, it) in verdict.evidence.iter().enumerate() {
        let it = shortened(it);
        let _ = writeln!(text, "  {:12} {it}", if index == 0 { "because" } else { "" });
    }
    if let Some(remedy) = &verdict.remedy {
        let _ = writeln!(text, "  remedy       {}", remedy.action);
        for command in &remedy.commands {
            let _ = writeln!(text, "               $ {command}");
        }
        for (index, command) in remedy.rollback.iter().enumerate() {
            let _ = writeln!(
                text,
                "  {:12} $ {command}",
                if index == 0 { "rollback" } else { "" }
            );
        }
        let _ = writeln!(
            text,
            "  proven       {} of cargo xtask scenario {}",
            remedy.proven.phase, remedy.proven.scenario
        );
    }
    if let Some(scenario) = &verdict.reproduced_by {
        let _ = writeln!(text, "  reproduce    cargo xtask diagnose --scenario {scenario}");
    }
    for (index, it) in verdict.raised_by.iter().enumerate() {
        let _ = writeln!(text, "  {:12} {it}", if index == 0 { "surer with" } else { "" });
    }
    text.push('\n');
}

fn check_json(check: &Check, ledger: &Ledger) -> Value {
    let claims: Vec<Value> = corrections(check.step.corrected_by, ledger)
        .map(|it| json!({"id": it.id, "claim": it.claim, "verdict": it.verdict, "instead": it.instead}))
        .collect();
    json!({
        "check": check.step.id, "category": check.category, "title": check.step.title, "status": check.status,
        "looksAt": check.step.looks_at, "lookedAt": check.looked_at, "found": check.found, "means": check.step.means,
        "hint": check.hint, "corrections": claims,
    })
}

/// The claims of the runbook that are corrected; what is so needs no correction.
pub(super) fn corrections<'l>(ids: &'l [&str], ledger: &'l Ledger) -> impl Iterator<Item = &'l Claim> {
    let claims = ids.iter().filter_map(|id| ledger.get(id));
    claims.filter(|it| it.verdict != crate::claims::Verdict::True)
}

/// A sentence that quotes a line of a log, without what is past reading at a glance; the JSON has all of it.
fn shortened(sentence: &str) -> Cow<'_, str> {
    match sentence.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", &sentence[..end])),
        None => Cow::Borrowed(sentence),
    }
}
