//! Scenarios, counted.

use std::fmt::Write as _;

use serde::Serialize;

use super::judge::{Judged, Scored};
use crate::diagnose::Confidence;
use crate::outcome::OutcomeId;

/// The share of scenarios that must be diagnosed rightly.
const RIGHT: f64 = 0.9;
/// How long a diagnosis may take, seconds.
const SECONDS: f64 = 3.0;

/// One scenario, rehearsed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsed {
    /// Its name.
    pub scenario: String,
    /// The worst of its diagnoses; none where it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scored: Option<Scored>,
    /// How many calls were diagnosed.
    pub calls: usize,
    /// How many of them fail.
    pub failing: usize,
    /// The longest a diagnosis took, seconds.
    pub seconds: f64,
    /// The diagnoses that are not right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amiss: Vec<Judged>,
    /// What came of calls made by an agent.
    #[serde(skip_serializing_if = "Probes::is_none")]
    pub probes: Probes,
    /// Why it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
}

/// Calls made by an agent, counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Probes {
    /// How many were made.
    pub made: usize,
    /// How many named by themselves what happened.
    pub decided: usize,
    /// How many said what cannot have happened.
    pub contradicted: usize,
}

impl Probes {
    fn of(judged: &[Judged]) -> Self {
        let made = judged.iter().filter_map(|it| it.probed.as_ref());
        Self {
            made: made.clone().count(),
            decided: made.filter(|it| it.id != OutcomeId::Unknown).count(),
            contradicted: judged.iter().filter(|it| it.is_contradicted()).count(),
        }
    }

    const fn is_none(&self) -> bool {
        self.made == 0
    }
}

impl Rehearsed {
    pub(super) fn not_run(scenario: &str, reason: String) -> Self {
        Self {
            not_run: Some(reason),
            ..Self::of(scenario, Vec::new())
        }
    }

    pub(super) fn of(scenario: &str, judged: Vec<Judged>) -> Self {
        Self {
            scenario: scenario.to_owned(),
            scored: judged.iter().map(|it| it.scored).max(),
            calls: judged.len(),
            failing: judged.iter().filter(|it| !it.observed.id.is_delivered()).count(),
            seconds: judged.iter().map(|it| it.seconds).fold(0.0, f64::max),
            probes: Probes::of(&judged),
            amiss: judged
                .into_iter()
                .filter(|it| it.scored != Scored::Right || it.is_contradicted())
                .collect(),
            not_run: None,
        }
    }
}

/// All scenarios.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// In the order in which they were run.
    pub scenarios: Vec<Rehearsed>,
}

impl Table {
    /// How many scenarios ended so.
    #[must_use]
    pub fn count(&self, scored: Scored) -> usize {
        self.scenarios
            .iter()
            .filter(|it| it.scored == Some(scored))
            .count()
    }

    /// How many wrong diagnoses were sure of themselves.
    #[must_use]
    pub fn confidently_wrong(&self) -> usize {
        let amiss = self.scenarios.iter().flat_map(|it| &it.amiss);
        amiss
            .filter(|it| it.scored == Scored::Wrong && it.confidence == Confidence::High)
            .count()
    }

    /// What came of calls made by an agent.
    #[must_use]
    pub fn probes(&self) -> Probes {
        let each = self.scenarios.iter().map(|it| it.probes);
        each.fold(Probes::default(), |sum, it| Probes {
            made: sum.made + it.made,
            decided: sum.decided + it.decided,
            contradicted: sum.contradicted + it.contradicted,
        })
    }

    /// The longest a diagnosis took, seconds.
    #[must_use]
    pub fn slowest(&self) -> f64 {
        self.scenarios.iter().map(|it| it.seconds).fold(0.0, f64::max)
    }

    /// Whether nine in ten are right, none is wrong and sure of it, none took longer than three seconds, and no agent's call
    /// said what cannot have happened.
    #[must_use]
    pub fn meets_the_measure(&self) -> bool {
        let run = self.scenarios.iter().filter(|it| it.scored.is_some()).count();
        #[expect(clippy::cast_precision_loss, reason = "there are some sixty scenarios")]
        let share = self.count(Scored::Right) as f64 / run.max(1) as f64;
        run > 0
            && share >= RIGHT
            && self.confidently_wrong() == 0
            && self.slowest() < SECONDS
            && self.probes().contradicted == 0
    }

    /// The table for people, without a newline at its end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = self
            .scenarios
            .iter()
            .map(|it| it.scenario.len())
            .max()
            .unwrap_or_default();
        for it in &self.scenarios {
            // Writing to a String cannot fail, here and below.
            let _ = match (&it.scored, &it.not_run) {
                (Some(scored), _) => writeln!(
                    text,
                    "{scored:9}  {:width$}  {:2} of {:2} calls fail  {:4.0} ms",
                    it.scenario,
                    it.failing,
                    it.calls,
                    it.seconds * 1000.0
                ),
                (None, Some(why)) => writeln!(text, "not run    {:width$}  {why}", it.scenario),
                (None, None) => writeln!(text, "no calls   {:width$}", it.scenario),
            };
            for call in &it.amiss {
                let _ = writeln!(
                    text,
                    "           {} {}: is {}, was diagnosed {} ({} confidence)",
                    call.phase, call.call, call.observed, call.diagnosed, call.confidence
                );
                let _ = writeln!(
                    text,
                    "             broken {}; blamed {}",
                    listed(&call.broken),
                    listed(&call.blamed)
                );
                if let Some(probed) = &call.probed {
                    let _ = writeln!(text, "             a call by an agent became {probed}");
                }
            }
        }
        let _ = write!(
            text,
            "\n{} right, {} wrong ({} diagnoses confidently), {} undecided; the slowest diagnosis took {:.0} ms",
            self.count(Scored::Right),
            self.count(Scored::Wrong),
            self.confidently_wrong(),
            self.count(Scored::Undecided),
            self.slowest() * 1000.0
        );
        let probes = self.probes();
        if probes.made > 0 {
            let _ = write!(
                text,
                "\n{} calls by an agent: {} named what happened by themselves, {} said what cannot have happened",
                probes.made, probes.decided, probes.contradicted
            );
        }
        text
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        some => some.join(", "),
    }
}
