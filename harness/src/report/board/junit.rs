//! A board for test reports: JUnit XML, a suite for every cell and a test case for every call.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Board, Cell, Setting};
use crate::report::text::{expected, undecided};
use crate::scenario::verdict::{CallResult, LoadResult, Verdict};

/// The board could not be written as XML.
#[derive(Debug, thiserror::Error)]
#[error("cannot write JUnit XML: {0}")]
pub struct JunitError(#[from] quick_junit::SerializeError);

/// The board as JUnit XML. What was not run is skipped, with its reason.
///
/// # Errors
/// Never with what a board holds.
pub fn junit(board: &Board<'_>) -> Result<String, JunitError> {
    let mut report = Report::new("meshproof");
    for (setting, cell) in board.cells() {
        report.add_test_suite(suite(setting, cell));
    }
    Ok(report.to_string()?)
}

fn suite(setting: &Setting<'_>, cell: &Cell<'_>) -> TestSuite {
    let result = cell.result;
    let mut suite = TestSuite::new(format!("{} ({setting})", result.scenario));
    let mut add = |id: &str, millis: f64, status: TestCaseStatus| {
        let mut case = TestCase::new(id, status);
        case.set_classname(result.scenario.as_str());
        case.set_time(Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default());
        suite.add_test_case(case);
    };
    if let Some(reason) = &result.reason {
        add(&result.scenario, result.millis, skipped(reason));
    }
    for phase in &result.phases {
        for load in &phase.loads {
            add(&load.id, 0.0, of_load(load));
        }
        for call in &phase.calls {
            add(&call.id, call.millis, of_call(call, &result.reproduce));
        }
    }
    suite
}

fn of_call(call: &CallResult, reproduce: &str) -> TestCaseStatus {
    match call.verdict {
        Verdict::Held => TestCaseStatus::success(),
        Verdict::NotRun => skipped("no call was made"),
        Verdict::Falsified => failed(
            &said(call),
            &format!(
                "at {}\nrepeat with {reproduce} --only '{}'",
                call.location, call.id
            ),
        ),
    }
}

fn of_load(load: &LoadResult) -> TestCaseStatus {
    match load.verdict {
        Verdict::Held => TestCaseStatus::success(),
        Verdict::NotRun => skipped("no request was made"),
        Verdict::Falsified => failed(&failures(load), &format!("at {}", load.location)),
    }
}

/// What a falsified call says in a line.
pub(super) fn said(call: &CallResult) -> String {
    let observed = call.observed.as_ref().map_or("nothing".to_owned(), undecided);
    format!(
        "expected {}, predicted {}, observed {observed}",
        expected(&call.expected),
        undecided(&call.predicted)
    )
}

/// What a falsified load says in a line.
pub(super) fn failures(load: &LoadResult) -> String {
    format!(
        "expected {} to fail, {} of {} requests failed",
        load.expected,
        load.failed(),
        load.made()
    )
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}

fn failed(message: &str, description: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message);
    status.set_description(description);
    status
}
