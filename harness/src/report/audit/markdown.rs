//! For a pull request.

use std::fmt::Write as _;

use crate::audit::{Report, Severity};

/// The report as Markdown: a table of what was found, and what is worth knowing folded away.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = format!("### Preflight: Istio {} to {}\n\n", report.current, report.target);
    let told: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.severity > Severity::Info)
        .collect();
    if !report.incomplete.is_empty() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "**Incomplete**: {} documents could not be read.\n",
            report.incomplete.len()
        );
        for it in &report.incomplete {
            let _ = writeln!(text, "```\n{it}\n```");
        }
        text.push('\n');
    }
    if told.is_empty() {
        text.push_str("Nothing above `info` was found.\n");
    } else {
        text.push_str("| severity | code | object | what | remedy |\n|---|---|---|---|---|\n");
    }
    for it in told {
        let object = it.object.as_deref().unwrap_or("mesh");
        let place = it
            .location
            .as_ref()
            .map(|it| format!("<br>{}:{}", it.file, it.line))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | `{}` | {}{} | {} | {} |",
            it.severity,
            it.code,
            cell(object),
            cell(&place),
            cell(&it.message),
            cell(&it.remedy)
        );
    }
    let known: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.severity == Severity::Info)
        .collect();
    if !known.is_empty() {
        let _ = writeln!(
            text,
            "\n<details><summary>{} worth knowing</summary>\n",
            known.len()
        );
        for it in known {
            let _ = writeln!(text, "- `{}` {}", it.code, cell(&it.message));
        }
        text.push_str("\n</details>\n");
    }
    let _ = writeln!(text, "\nTo go back: {}.", report.rollback());
    text
}

/// Text that cannot end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
