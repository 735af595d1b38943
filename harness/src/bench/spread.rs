//! What rounds of measuring gave, and whether two of these differ.

use serde::Serialize;

use super::median;

/// Rounds below which no difference is stated: that all of three lie apart from all of three others happens by chance once
/// in ten times, with four once in 35.
const ENOUGH_ROUNDS: usize = 4;

/// The values of a figure in all rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Self {
        Self {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            median: median(values.iter().copied()),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// By how many percent the median is above (below: negative) that of `base`; nothing within the noise of so many rounds,
    /// and where the base is zero.
    pub(super) fn delta_percent(&self, base: &Self, rounds: usize) -> Option<f64> {
        let is_told = rounds >= ENOUGH_ROUNDS && self.is_apart_from(base) && base.median != 0.0;
        is_told.then(|| (self.median / base.median - 1.0) * 100.0)
    }

    /// Whether no value of one lies among those of the other.
    fn is_apart_from(&self, other: &Self) -> bool {
        self.min > other.max || self.max < other.min
    }
}
