//! What phases do, what becomes of their calls, and which of them is a remedy.

use std::collections::BTreeSet;

use super::Refusal;
use super::link::link;
use crate::scenario::{Expectation, Phase, Scenario, actions, call_of};

/// The phases that do something and cure no call that was refused before them, and those that cure one.
pub(super) fn remedies(scenario: &Scenario) -> (Vec<&Phase>, Vec<&Phase>) {
    let (mut useless, mut remedies) = (Vec::new(), Vec::new());
    let mut ill: BTreeSet<String> = BTreeSet::new();
    for phase in &scenario.file.spec.phases {
        let mut cures = false;
        let mut leaves_ill = false;
        for expectation in &phase.expect {
            let call = call_of(expectation);
            if refused(expectation).is_some() {
                leaves_ill |= !ill.insert(call);
            } else {
                cures |= ill.remove(&call);
            }
        }
        if cures {
            remedies.push(phase);
        } else if leaves_ill {
            useless.push(phase);
        }
    }
    (useless, remedies)
}

/// What becomes of each call of a phase, for a cell of a table.
pub(super) fn becomes(phase: &Phase) -> String {
    let calls = phase.expect.iter().map(|expectation| {
        let call = escaped(&call_of(expectation));
        let becomes = refused(expectation).map_or_else(|| expectation.outcome.to_string(), link);
        format!("{call}: {becomes}")
    });
    calls.collect::<Vec<_>>().join("<br>")
}

/// What a phase does, in a line.
pub(super) fn done(phase: &Phase) -> String {
    escaped(&actions(phase).join(", "))
}

/// Lines in one cell of a table.
pub(super) fn cell(lines: &[String]) -> String {
    escaped(&lines.join("<br>"))
}

/// Text of scenarios inside of a table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}

/// The refusal that is expected, if one is.
pub(super) fn refused(expectation: &Expectation) -> Option<Refusal> {
    (!expectation.outcome.is_delivered()).then_some((expectation.outcome, expectation.side))
}
