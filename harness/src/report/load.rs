//! What a load on a call showed, for people.

use std::fmt::Write as _;

use super::text::{json, undecided};
use crate::scenario::verdict::{Cause, LoadResult, LoadStep, Verdict};

/// A line; for a load that is not as expected, all that is known of it.
pub(super) fn text(load: &LoadResult, verdict: &str, reproduce: &str) -> String {
    let short = load.id.rsplit("::").next().unwrap_or(&load.id);
    let (failed, made) = (load.failed(), load.made());
    let mut text = format!("    {verdict} {short}  {failed} of {made} requests failed");
    if load.verdict != Verdict::Falsified {
        return text;
    }
    let _ = write!(text, "\n        at         {}", load.location);
    let _ = write!(text, "\n        expected   {} to fail", load.expected);
    if load.cause == Some(Cause::Prediction) {
        text.push_str("\n        the expectation holds, the prediction does not");
    }
    for it in &load.steps {
        let _ = write!(text, "\n        step       {}", step(it));
    }
    let _ = write!(text, "\n        repeat     {reproduce} --only '{}'", load.id);
    text
}

/// What became of requests on the way into a state and in it, and what the caller of the first failure saw.
fn step(step: &LoadStep) -> String {
    let (changing, in_force) = (&step.tally.changing, &step.tally.in_force);
    let predicted = undecided(&step.predicted);
    let mut text = format!(
        "{}: {changing} meanwhile, {in_force} in force; predicted {predicted}",
        step.name
    );
    let failures = [&changing.first_failure, &in_force.first_failure];
    if let Some(first) = failures.into_iter().flatten().next() {
        let _ = write!(text, "\n                   first failure {}", json(first));
    }
    text
}
