//! Two runs side by side: on two tiers, of two releases, before and after a change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::outcome::Outcome;
use crate::scenario::verdict::ScenarioResult;

/// Two runs, call by call: those that differ first, then those that only one run made, then the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What the calls of the left run went through: tiers, and proxies with their provenance.
    pub left: BTreeSet<String>,
    /// The same of the right run.
    pub right: BTreeSet<String>,
    /// A row for every call.
    pub rows: Vec<ComparedCall>,
}

/// What became of a call in two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedCall {
    /// How the two agree.
    pub agreement: Agreement,
    /// The call's id; of a scenario that neither run could run, its name.
    pub id: String,
    /// The left run.
    pub left: Cell,
    /// The right run.
    pub right: Cell,
}

/// Whether two runs say the same of a call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// Both observed it, and not the same.
    Different,
    /// Only one of them observed it, or none.
    OneSided,
    /// The same outcome by the same side.
    Same,
}

/// What one run says of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// What was observed.
    Observed(Outcome),
    /// Its scenario was not run, and why.
    NotRun(String),
    /// The run has no such call.
    Absent,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observed(outcome) => outcome.fmt(f),
            Self::NotRun(reason) => write!(f, "not run: {reason}"),
            Self::Absent => f.write_str("no such call"),
        }
    }
}

/// Compares two runs. Of several runs of one scenario the last one counts.
#[must_use]
pub fn compare(left: &[ScenarioResult], right: &[ScenarioResult]) -> Comparison {
    let (left, right) = (Run::of(left), Run::of(right));
    let calls = left.observed.keys().chain(right.observed.keys()).copied();
    let mut ids: BTreeSet<&str> = calls.collect();
    let known: BTreeSet<&str> = ids.iter().map(|id| scenario_of(id)).collect();
    // A scenario that neither could run has no calls, but must not be lost.
    let unrunnable = left.not_run.keys().chain(right.not_run.keys());
    ids.extend(unrunnable.filter(|scenario| !known.contains(*scenario)));
    let mut rows: Vec<ComparedCall> = ids
        .into_iter()
        .map(|id| {
            let (left, right) = (left.cell(id), right.cell(id));
            ComparedCall {
                agreement: agreement(&left, &right),
                id: id.to_owned(),
                left,
                right,
            }
        })
        .collect();
    rows.sort_by_key(|row| row.agreement);
    Comparison {
        left: left.places,
        right: right.places,
        rows,
    }
}

impl Comparison {
    /// How many rows agree in this way.
    #[must_use]
    pub fn count(&self, agreement: Agreement) -> usize {
        self.rows.iter().filter(|row| row.agreement == agreement).count()
    }
}

impl fmt::Display for Comparison {
    /// For people: what both runs were, the rows that are not the same, and how many are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, places) in [("left", &self.left), ("right", &self.right)] {
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            writeln!(f, "{name:5}  {}", places.join("\n       "))?;
        }
        for row in self.rows.iter().filter(|row| row.agreement != Agreement::Same) {
            let word = match row.agreement {
                Agreement::Different => "different",
                Agreement::OneSided | Agreement::Same => "one-sided",
            };
            writeln!(
                f,
                "{word}  {}\n    left   {}\n    right  {}",
                row.id, row.left, row.right
            )?;
        }
        write!(
            f,
            "{} different, {} one-sided, {} the same",
            self.count(Agreement::Different),
            self.count(Agreement::OneSided),
            self.count(Agreement::Same)
        )
    }
}

fn agreement(left: &Cell, right: &Cell) -> Agreement {
    match (left, right) {
        (Cell::Observed(left), Cell::Observed(right)) if left.agrees_with(right) => Agreement::Same,
        (Cell::Observed(_), Cell::Observed(_)) => Agreement::Different,
        _ => Agreement::OneSided,
    }
}

/// The scenario of a call's id.
fn scenario_of(id: &str) -> &str {
    id.split("::").next().unwrap_or(id)
}

/// One run, by call.
struct Run<'a> {
    observed: BTreeMap<&'a str, &'a Outcome>,
    /// Why scenarios were not run.
    not_run: BTreeMap<&'a str, &'a str>,
    places: BTreeSet<String>,
}

impl<'a> Run<'a> {
    fn of(results: &'a [ScenarioResult]) -> Self {
        let last: BTreeMap<&str, &ScenarioResult> = results
            .iter()
            .map(|result| (result.scenario.as_str(), result))
            .collect();
        let mut run = Self {
            observed: BTreeMap::new(),
            not_run: BTreeMap::new(),
            places: BTreeSet::new(),
        };
        for result in last.into_values() {
            run.observed.extend(result.observed());
            if let Some(reason) = &result.reason {
                run.not_run.insert(&result.scenario, reason);
            }
            let proxies = result.components.iter().map(|component| {
                format!(
                    "{}: Istio {} by Envoy {} ({})",
                    result.tier, component.istio, component.envoy, component.provenance
                )
            });
            run.places.extend(proxies);
        }
        run
    }

    fn cell(&self, id: &str) -> Cell {
        match (self.observed.get(id), self.not_run.get(scenario_of(id))) {
            (Some(outcome), _) => Cell::Observed((*outcome).clone()),
            (None, Some(reason)) => Cell::NotRun((*reason).to_owned()),
            (None, None) => Cell::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{OutcomeId, Side};

    fn results(lines: &[&str]) -> Vec<ScenarioResult> {
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn held(scenario: &str, tier: &str, outcome: &str) -> String {
        let outcome = format!(r#"{{"outcome":"{outcome}"}}"#);
        format!(
            r#"{{"scenario":"{scenario}","tier":"{tier}","verdict":"held","components":[],"millis":1.0,"reproduce":"",
               "phases":[{{"name":"p","verdict":"held","faults":[],"millis":1.0,"calls":[{{"id":"{scenario}::p::a->b:1",
               "from":"a","to":"b:1","call":"app","expected":{outcome},"predicted":{outcome},"observed":{outcome},
               "verdict":"held","millis":1.0,"location":"x:1","evidence":{{}}}}]}}]}}"#
        )
    }

    fn not_run(scenario: &str) -> String {
        format!(
            r#"{{"scenario":"{scenario}","tier":"kind","verdict":"not-run","reason":"no Docker","components":[],
               "phases":[],"millis":0.0,"reproduce":""}}"#
        )
    }

    #[test]
    fn what_differs_comes_first_and_what_one_run_lacks_says_why() {
        let left = results(&[
            &held("same", "local", "mtls"),
            &held("lacking", "local", "mtls"),
            &held("differs", "local", "mtls"),
            &held("alone", "local", "plaintext"),
            &not_run("beyond"),
        ]);
        let right = results(&[
            &held("differs", "kind", "plaintext"),
            &held("same", "kind", "mtls"),
            &not_run("lacking"),
            &not_run("beyond"),
        ]);
        let comparison = compare(&left, &right);
        let shown: Vec<(Agreement, &str, String, String)> = comparison
            .rows
            .iter()
            .map(|row| {
                let id = row.id.as_str();
                (row.agreement, id, row.left.to_string(), row.right.to_string())
            })
            .collect();
        let row = |agreement, id, left: &str, right: &str| (agreement, id, left.to_owned(), right.to_owned());
        let expected = [
            row(Agreement::Different, "differs::p::a->b:1", "mtls", "plaintext"),
            row(
                Agreement::OneSided,
                "alone::p::a->b:1",
                "plaintext",
                "no such call",
            ),
            row(
                Agreement::OneSided,
                "beyond",
                "not run: no Docker",
                "not run: no Docker",
            ),
            row(
                Agreement::OneSided,
                "lacking::p::a->b:1",
                "mtls",
                "not run: no Docker",
            ),
            row(Agreement::Same, "same::p::a->b:1", "mtls", "mtls"),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_side_that_refused_is_part_of_what_is_compared() {
        let by = |side| Cell::Observed(Outcome::refused(OutcomeId::SanMismatch, side));
        assert_eq!(
            agreement(&by(Side::Client), &by(Side::Server)),
            Agreement::Different
        );
    }
}
