//! For metrics: the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::audit::{Report, Status};

/// The report as metrics: findings by code and severity, and whether everything was looked at.
#[must_use]
pub fn prometheus(report: &Report) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for finding in &report.findings {
        *counts
            .entry((&finding.code, finding.severity.as_str()))
            .or_default() += 1;
    }
    let releases = format!("current=\"{}\",target=\"{}\"", report.current, report.target);
    let mut text = "# HELP meshproof_preflight_findings What preflight found, without what is accepted.\n\
                    # TYPE meshproof_preflight_findings gauge\n"
        .to_owned();
    for ((code, severity), count) in counts {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "meshproof_preflight_findings{{code=\"{code}\",severity=\"{severity}\",{releases}}} {count}"
        );
    }
    let undecided = report
        .checks
        .iter()
        .filter(|it| it.status == Status::CannotTell)
        .count();
    for (name, help, value) in [
        ("accepted", "Findings that are accepted.", report.accepted.len()),
        (
            "undecided",
            "Checks that need what the input does not hold.",
            undecided,
        ),
        (
            "unread",
            "Documents that could not be read.",
            report.incomplete.len(),
        ),
    ] {
        let name = format!("meshproof_preflight_{name}");
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{releases}}} {value}"
        );
    }
    text
}
