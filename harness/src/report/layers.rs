//! What witnesses told of calls, against what became of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::outcome::{OutcomeId, Side};
use crate::probe::Evidence;
use crate::probe::kernel::{Attribution, KernelConnection, Layer};
use crate::probe::wire::WireConnection;
use crate::scenario::verdict::ScenarioResult;

/// The document that the table of the whole catalogue is in.
pub const LAYERS_PAGE: &str = "docs/layers.md";

/// A table of outcomes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Layers {
    /// One for each outcome, and for the end that refused where there was one.
    pub rows: Vec<LayerRow>,
}

/// What witnesses told of calls that ended alike.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRow {
    /// What became of the calls, from the evidence of proxies and callers.
    pub outcome: OutcomeId,
    /// The end that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// How many there were.
    pub calls: usize,
    /// What the kernel of the host told.
    pub kernel: Testimony,
    /// What was on the wire between caller and called pod.
    pub wire: Testimony,
    /// Scenarios that have such calls.
    pub scenarios: BTreeSet<String>,
}

/// What one witness told of calls that ended alike.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Testimony {
    /// Of how many it saw a failure at this layer.
    pub layers: BTreeMap<Layer, usize>,
    /// Of how many it saw none.
    pub silent: usize,
    /// What it saw, in its own words, without what differs from run to run.
    pub seen: BTreeSet<String>,
}

/// What was seen on the wire to go wrong in a call: the last, because the ones before were tried again.
#[must_use]
pub fn attribution_by_wire(evidence: &Evidence) -> Option<Attribution> {
    evidence.wire.last().and_then(WireConnection::attribution)
}

/// What the kernel saw go wrong in a call: the first, because what ends after it ends of it. An application whose proxy
/// cannot reach the other one is told so by the end of its own connection.
#[must_use]
pub fn attribution(evidence: &Evidence) -> Option<Attribution> {
    evidence.kernel.iter().find_map(KernelConnection::attribution)
}

impl Layers {
    /// Of the calls of these results.
    #[must_use]
    pub fn of(results: &[ScenarioResult]) -> Self {
        let mut rows: BTreeMap<(OutcomeId, Option<Side>), LayerRow> = BTreeMap::new();
        for result in results {
            for call in result.phases.iter().flat_map(|phase| &phase.calls) {
                let Some(observed) = &call.observed else { continue };
                let row = rows
                    .entry((observed.id, observed.side))
                    .or_insert_with(|| LayerRow {
                        outcome: observed.id,
                        side: observed.side,
                        calls: 0,
                        kernel: Testimony::default(),
                        wire: Testimony::default(),
                        scenarios: BTreeSet::new(),
                    });
                row.calls += 1;
                row.kernel.add(attribution(&call.evidence));
                row.wire.add(attribution_by_wire(&call.evidence));
                row.scenarios.insert(result.scenario.clone());
            }
        }
        Self {
            rows: rows.into_values().collect(),
        }
    }

    /// A line for each outcome.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.rows.iter().map(|row| {
            let mut line = format!("{:<40} {:>4} calls", row.name(), row.calls);
            for (witness, told) in [("kernel", &row.kernel), ("wire", &row.wire)] {
                line.push_str(&format!("\n    {witness:<6} {}", told.at(row.calls)));
                for seen in &told.seen {
                    line.push_str(&format!("\n           {seen}"));
                }
            }
            line
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// A table.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut lines = vec![
            "| outcome | calls | by the kernel | what it sees | by the wire | what it shows | scenarios |"
                .to_owned(),
            "|---|---|---|---|---|---|---|".to_owned(),
        ];
        lines.extend(self.rows.iter().map(|row| {
            let join = |texts: &BTreeSet<String>| texts.iter().cloned().collect::<Vec<_>>().join("; ");
            let scenarios: BTreeSet<String> = row.scenarios.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "| {} | {} | {} | {} | {} | {} | {} |",
                row.name(),
                row.calls,
                row.kernel.at(row.calls),
                join(&row.kernel.seen),
                row.wire.at(row.calls),
                join(&row.wire.seen),
                join(&scenarios).replace("; ", ", ")
            )
        }));
        lines.join("\n")
    }
}

impl LayerRow {
    fn name(&self) -> String {
        match self.side {
            Some(side) => format!("{} ({side})", self.outcome),
            None => self.outcome.to_string(),
        }
    }
}

impl Testimony {
    fn add(&mut self, attribution: Option<Attribution>) {
        match attribution {
            Some(Attribution { layer, seen, .. }) => {
                *self.layers.entry(layer).or_default() += 1;
                self.seen.insert(general(&seen));
            }
            None => self.silent += 1,
        }
    }

    /// The layers, and how often there was none: counts only where not all calls are alike.
    fn at(&self, all: usize) -> String {
        let count = |name: &str, calls: usize| match calls == all {
            true => name.to_owned(),
            false => format!("{name} {calls}"),
        };
        let mut parts: Vec<String> = self
            .layers
            .iter()
            .map(|(layer, calls)| count(layer.into(), *calls))
            .collect();
        if self.silent > 0 {
            parts.push(count("nothing", self.silent));
        }
        parts.join(", ")
    }
}

/// Without addresses, counts and times: they differ from run to run.
fn general(seen: &str) -> String {
    let words = seen.split(' ').map(|word| {
        let is_number = word.parse::<f64>().is_ok();
        let is_address = word.trim_end_matches(',').parse::<std::net::SocketAddr>().is_ok();
        match (is_number, is_address) {
            (true, _) => "N".to_owned(),
            (_, true) => word.replace(word.trim_end_matches(','), "ADDRESS"),
            _ => word.to_owned(),
        }
    });
    let general = words.collect::<Vec<_>>().join(" ");
    // The number of an alert says which.
    match seen.split_once("sent alert ") {
        Some(_) => seen.to_owned(),
        None => general,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_scenario_that_is_gone() {
        let root = crate::scenario::workspace_root(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let page = std::fs::read_to_string(root.join(LAYERS_PAGE)).unwrap();
        let catalogue = crate::scenario::Catalogue::load(&root).unwrap();
        let known: BTreeSet<&str> = catalogue.scenarios.iter().map(|it| it.name()).collect();
        let (_, table) = page.split_once("## The table").unwrap();
        let named: BTreeSet<&str> = table.split('`').skip(1).step_by(2).collect();
        let gone: Vec<&&str> = named.difference(&known).collect();
        assert!(
            gone.is_empty() && named.len() > 40,
            "{gone:?}, {} named",
            named.len()
        );
    }

    #[test]
    fn what_differs_from_run_to_run_is_left_out_and_the_alert_is_not() {
        for (seen, expected) in [
            ("no answer to its SYN in 2.0 s", "no answer to its SYN in N s"),
            (
                "refused, nobody listens at 127.0.0.1:43",
                "refused, nobody listens at ADDRESS",
            ),
            (
                "led to [::1]:9 in place of [::1]:8, and",
                "led to ADDRESS in place of ADDRESS, and",
            ),
            (
                "the server sent alert 48 (unknown_ca)",
                "the server sent alert 48 (unknown_ca)",
            ),
        ] {
            assert_eq!(general(seen), expected);
        }
    }
}
