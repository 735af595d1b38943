//! A board as one page of HTML that needs nothing beside it: no script to be read, no network.

use std::collections::BTreeSet;

use askama::Template;

use super::evidence::{End, ends};
use super::picture::{Picture, picture};
use super::{Board, Cell, Row, Setting};
use crate::outcome::{Outcome, OutcomeId};
use crate::report::comparison::{Agreement, ComparedCall, Comparison};
use crate::report::text::{expected, undecided};
use crate::scenario::verdict::{CallResult, PhaseResult, ScenarioResult, Verdict};

/// The page could not be filled in.
#[derive(Debug, thiserror::Error)]
#[error("cannot fill in the page: {0}")]
pub struct PageError(#[from] askama::Error);

/// The page of a board, and of what differs where it is of two runs that were compared.
///
/// # Errors
/// Never with what a board holds.
pub fn page(board: &Board<'_>, comparison: Option<&Comparison>) -> Result<String, PageError> {
    let stories = board.rows.iter().map(|row| Story::of(board, row));
    let reasons: BTreeSet<&str> = board
        .cells()
        .filter_map(|(_, cell)| cell.result.reason.as_deref())
        .collect();
    let page = Page {
        board,
        comparison,
        differences: comparison.map(differences).unwrap_or_default(),
        stories: stories.collect(),
        reasons: reasons.into_iter().collect(),
        held: board.count(Verdict::Held),
        falsified: board.count(Verdict::Falsified),
        not_run: board.count(Verdict::NotRun),
    };
    Ok(page.render()?)
}

/// How an outcome is coloured. The word stands beside the colour, always.
pub(super) fn tone(outcome: Option<&Outcome>) -> &'static str {
    match outcome.map(|outcome| outcome.id) {
        None => "none",
        Some(OutcomeId::Mtls) => "mtls",
        Some(OutcomeId::Unknown) => "none",
        Some(id) if id.is_delivered() => "open",
        Some(_) => "refused",
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    board: &'a Board<'a>,
    comparison: Option<&'a Comparison>,
    differences: [Difference<'a>; 2],
    stories: Vec<Story<'a>>,
    /// Why cells were not run, each once.
    reasons: Vec<&'a str>,
    held: usize,
    falsified: usize,
    not_run: usize,
}

impl Page<'_> {
    /// Where a reason stands in the list below the matrix, counted from 1.
    fn number_of(&self, reason: &str) -> usize {
        self.reasons
            .iter()
            .position(|it| *it == reason)
            .map_or(0, |index| index + 1)
    }
}

/// Calls of two runs that differ in one way.
#[derive(Default)]
struct Difference<'a> {
    what: &'static str,
    /// Whether it is shown without being asked for.
    open: bool,
    rows: Vec<&'a ComparedCall>,
}

fn differences(comparison: &Comparison) -> [Difference<'_>; 2] {
    let rows = |agreement| {
        let rows = comparison.rows.iter();
        rows.filter(|row| row.agreement == agreement).collect()
    };
    [
        Difference {
            what: "Calls that ended differently",
            open: true,
            rows: rows(Agreement::Different),
        },
        Difference {
            what: "Calls that only one run made",
            open: false,
            rows: rows(Agreement::OneSided),
        },
    ]
}

/// A scenario, and each thing that its runs showed.
struct Story<'a> {
    scenario: &'a str,
    /// The verdicts there are, for the filter.
    verdicts: String,
    showings: Vec<Showing<'a>>,
}

/// What one or more cells showed alike. Its evidence is that of the first.
struct Showing<'a> {
    result: &'a ScenarioResult,
    cells: Vec<(&'a Setting<'a>, &'a Cell<'a>)>,
    phases: Vec<Phase<'a>>,
}

struct Phase<'a> {
    result: &'a PhaseResult,
    picture: Option<Picture>,
    calls: Vec<Call<'a>>,
}

struct Call<'a> {
    result: &'a CallResult,
    short: &'a str,
    tone: &'static str,
    expected: String,
    predicted: String,
    observed: String,
    ends: Vec<End>,
}

impl<'a> Story<'a> {
    fn of(board: &'a Board<'a>, row: &'a Row<'a>) -> Self {
        let mut showings: Vec<Showing<'a>> = Vec::new();
        for (setting, cell) in board.settings.iter().zip(&row.cells) {
            let Some(cell) = cell else { continue };
            match showings.iter_mut().find(|it| alike(it.result, cell.result)) {
                Some(showing) => showing.cells.push((setting, cell)),
                None => showings.push(Showing::of(setting, cell)),
            }
        }
        let mut verdicts: Vec<String> = showings.iter().map(|it| it.result.verdict.to_string()).collect();
        verdicts.sort_unstable();
        verdicts.dedup();
        Self {
            scenario: row.scenario,
            verdicts: verdicts.join(" "),
            showings,
        }
    }
}

/// Whether two runs show the same, so that one of them is enough to look at.
fn alike(left: &ScenarioResult, right: &ScenarioResult) -> bool {
    left.verdict != Verdict::Falsified
        && (left.verdict, &left.reason) == (right.verdict, &right.reason)
        && left.phases.len() == right.phases.len()
        && left.phases.iter().zip(&right.phases).all(|(left, right)| {
            (&left.name, &left.faults, &left.policies) == (&right.name, &right.faults, &right.policies)
                && left.calls.len() == right.calls.len()
                && left.calls.iter().zip(&right.calls).all(|(left, right)| {
                    let said = |call: &CallResult| call.observed.as_ref().map(ToString::to_string);
                    left.id == right.id && left.expected == right.expected && said(left) == said(right)
                })
        })
}

impl<'a> Showing<'a> {
    fn of(setting: &'a Setting<'a>, cell: &'a Cell<'a>) -> Self {
        let result = cell.result;
        let phases = result.phases.iter().map(|phase| Phase {
            result: phase,
            picture: picture(phase, &result.components),
            calls: phase.calls.iter().map(Call::of).collect(),
        });
        Self {
            result,
            phases: phases.collect(),
            cells: vec![(setting, cell)],
        }
    }

    /// Whether more than one setting showed this.
    fn is_shared(&self) -> bool {
        self.cells.len() > 1
    }
}

impl Phase<'_> {
    /// How wide it is in the timeline, against the others. Phases that took no time are still seen.
    fn share(&self) -> f64 {
        self.result.millis.max(1.0).round()
    }
}

impl<'a> Call<'a> {
    fn of(result: &'a CallResult) -> Self {
        let observed = result.observed.as_ref();
        Self {
            result,
            short: result.id.rsplit("::").next().unwrap_or(&result.id),
            tone: tone(observed),
            expected: expected(&result.expected),
            predicted: undecided(&result.predicted),
            observed: observed.map_or_else(|| "no call was made".to_owned(), undecided),
            ends: ends(result),
        }
    }
}
