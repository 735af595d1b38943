//! A board for people at a terminal.

use std::fmt;

use super::Board;
use crate::scenario::verdict::Verdict;

impl fmt::Display for Board<'_> {
    /// A line for each setting, then what was falsified and what was not run, and how many there are of each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.settings.iter().map(ToString::to_string).collect();
        let width = names
            .iter()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .max("setting".len());
        writeln!(
            f,
            "{:<width$}  {:>5}  {:>9}  {:>7}",
            "setting", "held", "falsified", "not run"
        )?;
        for (setting, name) in self.settings.iter().zip(&names) {
            let count = |verdict| {
                self.cells()
                    .filter(|(its, cell)| *its == setting && cell.result.verdict == verdict)
                    .count()
            };
            writeln!(
                f,
                "{name:<width$}  {:>5}  {:>9}  {:>7}",
                count(Verdict::Held),
                count(Verdict::Falsified),
                count(Verdict::NotRun)
            )?;
        }
        for (setting, cell) in self.cells() {
            match (cell.result.verdict, &cell.result.reason) {
                (Verdict::Held, _) => {}
                (Verdict::Falsified, _) => {
                    writeln!(
                        f,
                        "falsified  {} ({setting})\n           {}",
                        cell.result.scenario, cell.result.reproduce
                    )?;
                }
                (Verdict::NotRun, reason) => {
                    let reason = reason.as_deref().unwrap_or("it made no call");
                    writeln!(f, "not run    {} ({setting}): {reason}", cell.result.scenario)?;
                }
            }
        }
        write!(
            f,
            "{} held, {} falsified, {} not run",
            self.count(Verdict::Held),
            self.count(Verdict::Falsified),
            self.count(Verdict::NotRun)
        )
    }
}
