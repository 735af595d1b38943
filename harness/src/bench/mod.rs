//! Measuring: scenarios against their floor, proxies against each other, tiers, what proxies' logs cost, and the large mesh that
//! audits are measured on.
//!
//! A ratio between two figures of one machine and one moment means something on any machine; the figures alone do not.

mod clean_mesh;
mod local;
mod memory;
mod pair;
mod processor;
pub mod proxies;
mod spread;
pub mod tiers;
pub mod visibility;

pub use clean_mesh::clean_mesh;
pub use local::{BenchError, LocalBench, PhaseBench, RATIO_GOAL, local};
pub use memory::{PeakMemory, peak_of_this};
pub use spread::Spread;

/// The middle figure; of two middle ones their mean. Zero if there is none.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let upper = figures.len() / 2;
    match (figures.get(upper.wrapping_sub(1)), figures.get(upper)) {
        (Some(below), Some(above)) if figures.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (_, Some(middle)) => *middle,
        (_, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_not_moved_by_one_bad_round() {
        assert_eq!(median([3.0, 100.0, 1.0].into_iter()), 3.0);
        assert_eq!(median([4.0, 1.0, 2.0, 100.0].into_iter()), 3.0);
        assert_eq!(median([7.0].into_iter()), 7.0);
    }
}
