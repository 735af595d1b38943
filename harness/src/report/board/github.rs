//! A board on GitHub: annotations at the lines of scenarios, and the summary of a step.

use askama::Template;

use super::junit::{failures, said};
use super::{Board, PageError};
use crate::scenario::verdict::Verdict;

/// A workflow command for each falsified call and load, which GitHub shows at the line of its expectation.
///
/// The form and what must be escaped in it: `toolkit/packages/core/src/command.ts`.
#[must_use]
pub fn annotations(board: &Board<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (setting, cell) in board.cells() {
        for phase in &cell.result.phases {
            let loads = phase
                .loads
                .iter()
                .filter(|load| load.verdict == Verdict::Falsified);
            let loads = loads.map(|load| (&load.location, &load.id, failures(load)));
            let calls = phase
                .calls
                .iter()
                .filter(|call| call.verdict == Verdict::Falsified);
            let calls = calls.map(|call| (&call.location, &call.id, said(call)));
            for (location, id, said) in loads.chain(calls) {
                let (file, line) = location.rsplit_once(':').unwrap_or((location, "1"));
                lines.push(format!(
                    "::error file={},line={line},title={}::{}",
                    property(file),
                    property(&format!("{id} ({setting})")),
                    escaped(&said)
                ));
            }
        }
    }
    lines
}

#[derive(Template)]
#[template(path = "summary.md", escape = "none")]
struct Summary<'a> {
    board: &'a Board<'a>,
    held: usize,
    falsified: usize,
    not_run: usize,
}

/// The summary of a step, Markdown.
///
/// # Errors
/// Never with what a board holds.
pub fn step_summary(board: &Board<'_>) -> Result<String, PageError> {
    let summary = Summary {
        board,
        held: board.count(Verdict::Held),
        falsified: board.count(Verdict::Falsified),
        not_run: board.count(Verdict::NotRun),
    };
    Ok(summary.render()?)
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}
