//! What came of an exploration.

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::Compared;
use crate::istio::policy::Because;
use crate::outcome::{Outcome, OutcomeId};
use crate::probe::Evidence;
use crate::scenario::Reproduction;

/// What came of an exploration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exploration {
    /// The seed.
    pub seed: u64,
    /// How many meshes were explored.
    pub cases: u32,
    /// How many calls were made in them.
    pub calls: u32,
    /// How many calls had no prediction; they did not vote.
    pub unpredicted: u32,
    /// How often each outcome was observed.
    pub outcomes: BTreeMap<OutcomeId, u32>,
    /// What prediction and observation disagreed about, each kind of disagreement once, by number of case.
    pub disagreements: Vec<Disagreement>,
    /// Wall time, milliseconds.
    pub millis: f64,
}

/// A kind of disagreement, shown by the smallest mesh that was found for it.
#[derive(Clone, Debug, Serialize)]
pub struct Disagreement {
    /// The first case that showed it.
    pub case: u32,
    /// How many calls of all cases showed it.
    pub calls: u32,
    /// The call, as in ids.
    pub call: String,
    /// What was predicted.
    pub predicted: Outcome,
    /// The objects and rules that decided the prediction.
    pub because: Vec<Because>,
    /// What was observed.
    pub observed: Outcome,
    /// What both ends showed of the call.
    pub evidence: Evidence,
    /// The scenario that shows it.
    pub reproduction: Reproduction,
}

impl Exploration {
    /// The share of calls that had no prediction, 0 to 1. The nearer to 1, the less was explored.
    #[must_use]
    pub fn unpredicted_share(&self) -> f64 {
        match self.calls {
            0 => 0.0,
            calls => f64::from(self.unpredicted) / f64::from(calls),
        }
    }

    pub(super) fn count(&mut self, compared: &[Compared]) {
        self.cases += 1;
        for one in compared {
            self.calls += 1;
            self.unpredicted += u32::from(one.predicted.outcome.id == OutcomeId::Unknown);
            *self.outcomes.entry(one.observed.id).or_default() += 1;
        }
    }
}
