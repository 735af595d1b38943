//! A board for people at a terminal.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{Board, Cell, Setting};
use crate::report::text::coloured;
use crate::scenario::verdict::Verdict;

/// What was falsified, what was not run, and last, where a terminal ends, how many of each there are in every setting.
#[derive(Clone, Copy, Debug)]
pub struct BoardText<'a> {
    /// What is shown.
    pub board: &'a Board<'a>,
    /// How many columns there are for the table; `None` where lines may be as long as they get, as in a file.
    pub width: Option<u16>,
    /// Whether to colour verdicts.
    pub colour: bool,
}

impl fmt::Display for BoardText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.falsified(f)?;
        self.not_run(f)?;
        let table = self.table().to_string();
        for line in table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        let count = |verdict| self.board.count(verdict);
        write!(
            f,
            "{} held, {} falsified, {} not run",
            count(Verdict::Held),
            count(Verdict::Falsified),
            count(Verdict::NotRun)
        )
    }
}

impl BoardText<'_> {
    fn falsified(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let falsified = self.board.cells().filter(|(_, cell)| cell.is(Verdict::Falsified));
        for (setting, cell) in falsified {
            let verdict = coloured(Verdict::Falsified, self.colour);
            // The command is a line of its own and is never broken: it is there to be copied.
            writeln!(f, "{verdict}  {} ({setting})", cell.result.scenario)?;
            writeln!(f, "           {}", cell.result.reproduce)?;
        }
        Ok(())
    }

    /// Scenarios that were not run for the same reason are named together.
    fn not_run(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_reason: BTreeMap<(&Setting<'_>, &str), Vec<&str>> = BTreeMap::new();
        for (setting, cell) in self.board.cells().filter(|(_, cell)| cell.is(Verdict::NotRun)) {
            let reason = cell.result.reason.as_deref().unwrap_or("it made no call");
            by_reason
                .entry((setting, reason))
                .or_default()
                .push(&cell.result.scenario);
        }
        for ((setting, reason), scenarios) in by_reason {
            let verdict = coloured(Verdict::NotRun, self.colour);
            writeln!(f, "{verdict}  {} ({setting}): {reason}", scenarios.join(", "))?;
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        table.set_header(["tier", "releases", "held", "falsified", "not run", "slowest"]);
        let mut rows: Vec<Row<'_>> = self.board.settings.iter().map(|it| self.row(it)).collect();
        // A stable sort: settings that nothing went wrong in stay as they were.
        rows.sort_by_key(|row| std::cmp::Reverse(row.count(Verdict::Falsified)));
        for row in &rows {
            table.add_row(row.columns());
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            let left = u16::from(index > 0);
            column.set_padding((left, 1));
            if (2..=4).contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    fn row<'a>(&'a self, setting: &'a Setting<'a>) -> Row<'a> {
        let cells = self.board.cells().filter(|(its, _)| *its == setting);
        Row {
            setting,
            cells: cells.map(|(_, cell)| cell).collect(),
        }
    }
}

/// A setting, and what was run in it.
struct Row<'a> {
    setting: &'a Setting<'a>,
    cells: Vec<&'a Cell<'a>>,
}

impl Row<'_> {
    fn count(&self, verdict: Verdict) -> usize {
        self.cells.iter().filter(|cell| cell.is(verdict)).count()
    }

    fn columns(&self) -> [String; 6] {
        let tier = self.setting.tier;
        [
            match self.setting.side {
                Some(side) => format!("{side}: {tier}"),
                None => tier.to_string(),
            },
            self.setting.pair(),
            self.count(Verdict::Held).to_string(),
            self.count(Verdict::Falsified).to_string(),
            self.count(Verdict::NotRun).to_string(),
            self.slowest(),
        ]
    }

    fn slowest(&self) -> String {
        let ran = self.cells.iter().map(|cell| cell.result);
        let slowest = ran
            .filter(|it| it.verdict != Verdict::NotRun)
            .max_by(|one, other| one.millis.total_cmp(&other.millis));
        slowest.map_or_else(String::new, |it| {
            format!("{} {:.2} s", it.scenario, it.millis / 1000.0)
        })
    }
}
