//! For test reports: JUnit XML, one test case a check.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use crate::audit::{Report, Severity, Status};

/// The report could not be written as XML.
#[derive(Debug, thiserror::Error)]
#[error("cannot write JUnit XML: {0}")]
pub struct JunitError(#[from] quick_junit::SerializeError);

/// The report as JUnit XML. Findings from `fail_on` up are failures; checks that cannot tell are skipped, and what could
/// not be read is an error.
///
/// # Errors
/// Never with what a report holds.
pub fn junit(report: &Report, fail_on: Severity) -> Result<String, JunitError> {
    let mut suites: Vec<TestSuite> = Vec::new();
    for check in &report.checks {
        let category = check.category.to_string();
        if suites.last().is_none_or(|it| it.name.as_str() != category) {
            suites.push(TestSuite::new(category));
        }
        let findings: Vec<_> = report
            .findings
            .iter()
            .filter(|it| it.code == check.code && it.severity >= fail_on)
            .collect();
        let mut status = TestCaseStatus::success();
        if !findings.is_empty() {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let messages: Vec<String> = findings
                .iter()
                .map(|it| {
                    format!(
                        "{}: {}: {}",
                        it.severity,
                        it.object.as_deref().unwrap_or("mesh"),
                        it.message
                    )
                })
                .collect();
            status.set_message(check.title.clone());
            status.set_description(messages.join("\n"));
        } else if check.status == Status::CannotTell {
            status = TestCaseStatus::skipped();
            status.set_message(format!("needs {}", check.needs.join("; ")));
        }
        let mut case = TestCase::new(check.code.clone(), status);
        case.set_classname(format!("preflight.{}", check.category));
        if let Some(suite) = suites.last_mut() {
            suite.add_test_case(case);
        }
    }
    if !report.incomplete.is_empty() {
        let mut suite = TestSuite::new("input");
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message("not everything could be read");
        status.set_description(report.incomplete.join("\n"));
        suite.add_test_case(TestCase::new("complete", status));
        suites.push(suite);
    }
    let mut junit = Junit::new(format!("preflight {} to {}", report.current, report.target));
    junit.add_test_suites(suites);
    Ok(junit.to_string()?)
}
