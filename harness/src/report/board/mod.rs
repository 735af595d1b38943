//! Runs side by side: a row for every scenario, a column for every setting it was run in.

mod evidence;
mod github;
mod junit;
mod page;
mod picture;
mod text;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use github::{annotations, step_summary};
pub use junit::{JunitError, junit};
pub use page::{PageError, page};
pub use text::BoardText;

use super::Provenance;
use super::directory::Run;
use crate::mesh::Tier;
use crate::scenario::verdict::{ReleaseOverrides, ScenarioResult, Verdict};

/// Runs and shards of runs, merged.
///
/// A scenario that was run more than once in a setting has one cell. It shows the worst of its runs: a run that was
/// falsified is not undone by one that held.
#[derive(Debug)]
pub struct Board<'a> {
    /// The columns.
    pub settings: Vec<Setting<'a>>,
    /// The rows, by name.
    pub rows: Vec<Row<'a>>,
    /// Where the runs were made.
    pub provenance: BTreeSet<&'a Provenance>,
}

/// What a scenario was run with: all besides the scenario itself that can move an outcome.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Setting<'a> {
    /// Which of two runs that are compared it belongs to.
    pub side: Option<&'a str>,
    /// Where it ran.
    pub tier: Tier,
    /// The releases in place of the scenario's own.
    pub releases: &'a ReleaseOverrides,
    /// Whether what it breaks was left out.
    pub without_faults: bool,
}

/// A scenario.
#[derive(Debug)]
pub struct Row<'a> {
    /// Its name.
    pub scenario: &'a str,
    /// One for each setting; `None` where it was not part of the run.
    pub cells: Vec<Option<Cell<'a>>>,
}

/// What became of a scenario in a setting.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    /// The worst of its runs.
    pub result: &'a ScenarioResult,
    /// How many runs there were.
    pub runs: usize,
}

impl<'a> Board<'a> {
    /// Merges runs.
    #[must_use]
    pub fn of(runs: impl IntoIterator<Item = &'a Run>) -> Self {
        Self::sided(runs.into_iter().map(|run| (None, run)))
    }

    /// Merges runs, each on the side it belongs to.
    #[must_use]
    pub fn sided(runs: impl IntoIterator<Item = (Option<&'a str>, &'a Run)>) -> Self {
        let mut cells: BTreeMap<&str, BTreeMap<Setting<'_>, Cell<'_>>> = BTreeMap::new();
        let mut provenance = BTreeSet::new();
        for (side, run) in runs {
            provenance.extend(&run.provenance);
            for result in &run.results {
                cells
                    .entry(&result.scenario)
                    .or_default()
                    .entry(Setting::of(side, result))
                    .and_modify(|cell| cell.add(result))
                    .or_insert(Cell { result, runs: 1 });
            }
        }
        let settings: BTreeSet<Setting<'_>> = cells.values().flat_map(BTreeMap::keys).copied().collect();
        let rows = cells.into_iter().map(|(scenario, cells)| Row {
            scenario,
            cells: settings
                .iter()
                .map(|setting| cells.get(setting).copied())
                .collect(),
        });
        Self {
            rows: rows.collect(),
            settings: settings.into_iter().collect(),
            provenance,
        }
    }

    /// How many cells ended so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cells()
            .filter(|(_, cell)| cell.result.verdict == verdict)
            .count()
    }

    /// Every cell with its setting.
    pub fn cells(&self) -> impl Iterator<Item = (&Setting<'a>, &Cell<'a>)> {
        let cells = self
            .rows
            .iter()
            .flat_map(|row| self.settings.iter().zip(&row.cells));
        cells.filter_map(|(setting, cell)| Some((setting, cell.as_ref()?)))
    }
}

impl<'a> Setting<'a> {
    fn of(side: Option<&'a str>, result: &'a ScenarioResult) -> Self {
        Self {
            side,
            tier: result.tier,
            releases: &result.releases,
            without_faults: result.without_faults,
        }
    }

    /// What stands at the head of its column: each thing in a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.side.map(str::to_owned).into_iter().collect();
        lines.push(self.tier.to_string());
        lines.extend(self.pair().split(", ").map(str::to_owned));
        lines
    }

    /// The releases that differ from what the scenario says: `client 1.28.0, server 1.31.0`; `as written` for none.
    #[must_use]
    pub fn pair(&self) -> String {
        let named = self.releases.named().into_iter();
        let named = named.filter_map(|(flag, release)| Some(format!("{flag} {}", release.as_ref()?)));
        let mut words: Vec<String> = named.collect();
        if words.is_empty() {
            words.push("as written".to_owned());
        }
        if self.without_faults {
            words.push("faults left out".to_owned());
        }
        words.join(", ")
    }
}

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(side) = self.side {
            write!(f, "{side}: ")?;
        }
        write!(f, "{}, {}", self.tier, self.pair())
    }
}

impl<'a> Cell<'a> {
    fn is(&self, verdict: Verdict) -> bool {
        self.result.verdict == verdict
    }

    fn add(&mut self, result: &'a ScenarioResult) {
        self.runs += 1;
        // A run that held says more than one that was not made.
        let weight = |result: &ScenarioResult| match result.verdict {
            Verdict::NotRun => 0,
            Verdict::Held => 1,
            Verdict::Falsified => 2,
        };
        if weight(result) > weight(self.result) {
            self.result = result;
        }
    }
}
