//! Calls, counted by scenario and outcome.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::outcome::{OutcomeId, Side};

use super::judge::Told;
use super::volume::Volume;
use super::{Recognised, Shown};

/// What logs tell of the calls of a run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// By scenario, outcome and side.
    pub rows: Vec<Row>,
    /// Calls of which some log told something wrong, or nothing where it should have.
    pub wrong: Vec<Recognised>,
    /// Failed calls of which no proxy could tell, and why.
    pub unseen: Vec<String>,
    /// Calls that are listed as told of by no proxy (`manifests/logs/unseen.yaml`), and are told of or do not exist.
    pub stale: Vec<String>,
    /// What healthy calls cost.
    pub volume: Volume,
}

/// The calls of one scenario with one outcome.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The scenario.
    pub scenario: String,
    /// What was observed.
    pub outcome: OutcomeId,
    /// The end that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// How many calls.
    pub calls: usize,
    /// For each of the logs, how many calls it told what of.
    pub told: BTreeMap<Shown, BTreeMap<Told, usize>>,
}

/// What one of the logs tells, over all calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Failed calls whose outcome it names.
    pub named: usize,
    /// Failed calls of which it leaves several outcomes open, the right one among them.
    pub candidate: usize,
    /// Failed calls of which it tells nothing.
    pub missed: usize,
    /// Failed calls of which no proxy tells.
    pub unseen: usize,
    /// Failed calls of which it tells another outcome, or another side.
    pub mistaken: usize,
    /// Healthy calls of which it tells nothing.
    pub silent: usize,
    /// Healthy calls of which it tells a failure.
    pub false_alarms: usize,
    /// Calls that no proxy saw.
    pub no_proxy: usize,
}

impl Table {
    pub(super) fn add(&mut self, scenario: &str, call: Recognised) {
        let (outcome, side) = (call.observed.id, call.observed.side);
        let place = self
            .rows
            .iter()
            .position(|row| row.scenario == scenario && row.outcome == outcome && row.side == side);
        let index = place.unwrap_or_else(|| {
            self.rows.push(Row {
                scenario: scenario.to_owned(),
                outcome,
                side,
                calls: 0,
                told: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        if let Some(row) = self.rows.get_mut(index) {
            row.calls += 1;
            for (shown, told) in Shown::ALL.into_iter().zip(call.told) {
                *row.told.entry(shown).or_default().entry(told).or_default() += 1;
            }
        }
        if call.told.into_iter().any(Told::is_wrong) {
            self.wrong.push(call);
        }
    }

    /// What one of the logs tells, over all calls.
    #[must_use]
    pub fn totals(&self, shown: Shown) -> Totals {
        let mut totals = Totals::default();
        let of_log = self.rows.iter().filter_map(|row| row.told.get(&shown));
        for (told, count) in of_log.flatten() {
            let total = match told {
                Told::Named => &mut totals.named,
                Told::Candidate => &mut totals.candidate,
                Told::Missed => &mut totals.missed,
                Told::Unseen => &mut totals.unseen,
                Told::Mistaken => &mut totals.mistaken,
                Told::Silent => &mut totals.silent,
                Told::FalseAlarm => &mut totals.false_alarms,
                Told::NoProxy => &mut totals.no_proxy,
            };
            *total += count;
        }
        totals
    }

    /// Whether every failure is told of with the visibility manifests, and no log tells of one that was none.
    #[must_use]
    pub fn is_right(&self) -> bool {
        let visible = self.totals(Shown::WithVisibility);
        let alarms = Shown::ALL.iter().map(|shown| self.totals(*shown).false_alarms);
        self.stale.is_empty() && visible.missed + visible.mistaken + alarms.sum::<usize>() == 0
    }

    /// The table for people, without a newline at its end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![[
            "scenario".to_owned(),
            "outcome".to_owned(),
            "calls".to_owned(),
            "as installed, text".to_owned(),
            "as installed, JSON".to_owned(),
            "with manifests/visibility".to_owned(),
        ]];
        for row in &self.rows {
            let by = row.side.map_or_else(String::new, |side| format!(" by {side}"));
            let [text, json, visible] = Shown::ALL.map(|shown| cell(row.told.get(&shown)));
            lines.push([
                row.scenario.clone(),
                format!("{}{by}", row.outcome),
                row.calls.to_string(),
                text,
                json,
                visible,
            ]);
        }
        let mut text = aligned(&lines);
        for call in &self.wrong {
            let wrong: Vec<String> = Shown::ALL
                .into_iter()
                .zip(call.told)
                .filter(|(_, told)| told.is_wrong())
                .map(|(shown, told)| format!("{} in {}", told.as_str(), shown.as_str()))
                .collect();
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(
                text,
                "\n{}\n  {}, {}",
                call.id,
                call.observed.id,
                wrong.join(", ")
            );
            for finding in &call.found {
                let _ = writeln!(text, "  {} in {}", finding.pattern, finding.sample);
            }
        }
        text.push('\n');
        for shown in Shown::ALL {
            let it = self.totals(shown);
            let failed = it.named + it.candidate + it.missed + it.unseen + it.mistaken;
            let _ = writeln!(
                text,
                "{:16} of {failed} failed calls {} named, {} left open, {} missed, {} mistaken; of {} healthy {} false alarms",
                shown.as_str(),
                it.named,
                it.candidate,
                it.missed,
                it.mistaken,
                it.silent + it.false_alarms,
                it.false_alarms,
            );
        }
        let no_proxy = self.totals(Shown::Text).no_proxy;
        if no_proxy > 0 {
            let _ = writeln!(
                text,
                "{no_proxy} calls were seen by no proxy, so no log can tell of them"
            );
        }
        if self.volume.calls > 0 {
            let _ = writeln!(text, "{}", self.volume.text());
        }
        for call in &self.unseen {
            let _ = writeln!(text, "no proxy tells of {call}");
        }
        for call in &self.stale {
            let _ = writeln!(
                text,
                "manifests/logs/unseen.yaml lists {call}, which is told of or does not exist"
            );
        }
        text.trim_end().to_owned()
    }
}

/// `3 named, 1 missed`.
fn cell(told: Option<&BTreeMap<Told, usize>>) -> String {
    let parts: Vec<String> = told
        .into_iter()
        .flatten()
        .map(|(told, count)| format!("{count} {}", told.as_str()))
        .collect();
    parts.join(", ")
}

fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
