//! For people, in the manner of `linkerd check`.

use std::fmt::Write as _;

use super::help;
use crate::audit::{Category, Check, Finding, Report, Severity, Status};

/// The report for people: one line a check by category, then what was found, worst first.
#[must_use]
pub fn text(report: &Report) -> String {
    // Writing to a String cannot fail, here and below.
    let mut text = String::new();
    let from = report
        .current_from
        .as_ref()
        .map(|it| format!(" ({it})"))
        .unwrap_or_default();
    let _ = writeln!(text, "Istio {}{from} to {}", report.current, report.target);
    let mut category = None;
    for check in &report.checks {
        if category != Some(check.category) {
            category = Some(check.category);
            let _ = writeln!(
                text,
                "\n{}\n{}",
                check.category,
                "-".repeat(check.category.to_string().len())
            );
        }
        let _ = writeln!(text, "{}", line(check, report));
    }
    let (told, known): (Vec<&Finding>, Vec<&Finding>) = report
        .findings
        .iter()
        .partition(|it| it.severity > Severity::Info);
    if !told.is_empty() {
        text.push_str("\nfindings\n--------\n");
    }
    for finding in told {
        push_finding(&mut text, finding, report);
    }
    if !known.is_empty() {
        text.push_str("\nworth knowing\n-------------\n");
    }
    for finding in known {
        let _ = writeln!(text, "{}{}: {}", finding.code, place(finding), finding.message);
    }
    push_list(
        &mut text,
        "accepted",
        report
            .accepted
            .iter()
            .map(|it| format!("{}: {}", it.finding.id, it.reason)),
    );
    push_list(&mut text, "notes", report.notes.iter().cloned());
    push_list(
        &mut text,
        "incomplete: this could not be read",
        report.incomplete.iter().cloned(),
    );
    let _ = write!(
        text,
        "\nto go back: {}\n\n{}\n",
        report.rollback(),
        summary(report)
    );
    text
}

/// The last line: how much was found, and whether everything was looked at.
fn summary(report: &Report) -> String {
    let count = |severity| {
        report
            .findings
            .iter()
            .filter(|it| it.severity == severity)
            .count()
    };
    let counts: Vec<String> = Severity::ALL.map(|it| format!("{} {it}", count(it))).to_vec();
    let untold = report
        .checks
        .iter()
        .filter(|it| it.status == Status::CannotTell)
        .count();
    let incomplete = if report.incomplete.is_empty() {
        ""
    } else {
        "; INCOMPLETE"
    };
    format!(
        "{}, {} accepted; {} checks, {untold} of them cannot tell{incomplete}",
        counts.join(", "),
        report.accepted.len(),
        report.checks.len()
    )
}

fn line(check: &Check, report: &Report) -> String {
    let found = report.findings.iter().filter(|it| it.code == check.code);
    let worst = found.map(|it| it.severity).max();
    let mark = match (check.status, worst) {
        (Status::CannotTell, _) => "?",
        (Status::Found, Some(Severity::High)) => "×",
        (Status::Found, Some(Severity::Medium | Severity::Low)) => "‼",
        // Found, and nothing left but what is worth knowing or accepted.
        (Status::Found, Some(Severity::Info)) => "i",
        (Status::Found, None) | (Status::Passed, _) => "√",
    };
    // A rule's title says what is in order, a hazard's what is not.
    let answer = match (check.category, check.status) {
        (Category::Hazards, Status::Found) => "applies: ",
        (Category::Hazards, Status::Passed) => "does not apply: ",
        _ => "",
    };
    let mut line = format!("{mark} {answer}{}", check.title);
    if !check.needs.is_empty() && check.status == Status::CannotTell {
        let _ = write!(line, "\n    cannot tell: needs {}", check.needs.join("; "));
    }
    line
}

fn place(finding: &Finding) -> String {
    let object = finding
        .object
        .as_ref()
        .map(|it| format!("  {it}"))
        .unwrap_or_default();
    let location = finding
        .location
        .as_ref()
        .map(|it| format!(" ({}:{})", it.file, it.line));
    format!("{object}{}", location.unwrap_or_default())
}

fn push_finding(text: &mut String, finding: &Finding, report: &Report) {
    let _ = writeln!(
        text,
        "{:<6}  {}{}",
        finding.severity,
        finding.code,
        place(finding)
    );
    let _ = writeln!(text, "        {}", finding.message);
    for it in report
        .replayed
        .iter()
        .filter(|it| it.findings.contains(&finding.id))
    {
        let verdict = if it.confirmed {
            "confirmed"
        } else {
            "not reproduced"
        };
        let _ = writeln!(
            text,
            "        {verdict} on real proxies: {} at {}, {} at {} ({} scenario --file {})",
            it.now,
            report.current,
            it.then,
            report.target,
            crate::invocation::command(),
            it.scenario.display()
        );
    }
    let _ = writeln!(
        text,
        "        remedy: {}\n        {}",
        finding.remedy,
        help(&finding.code)
    );
}

fn push_list(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "\n{title}\n{}", "-".repeat(title.len()));
    }
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
}
