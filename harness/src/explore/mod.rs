//! Differential exploration: random small meshes in which every prediction is held against real proxies.
//!
//! Prediction and local mesh read the same policy resolution, but only one of them has TLS stacks, listener filters
//! and codecs in it. Wherever the two disagree, one of them is wrong. A disagreement is shrunk to the least mesh
//! that shows it and written down as a scenario.
//!
//! A `World` is a population of workloads that a block of cases shares, so that proxies are started
//! once and moved from state to state. A `Case` is what is done to it: Services, policies, mesh
//! configuration, certificate faults, and the calls that are made. Both are drawn from a seed and their number alone,
//! so a case is the same whatever ran before it and however many run beside it.

mod calls;
mod case;
mod check;
mod draw;
mod faults;
mod policies;
mod reproduction;
mod run;
mod shrink;
mod tally;
mod world;

#[cfg(test)]
mod tests;

pub use run::{ExploreError, Options, explore};
pub use tally::{Disagreement, Exploration};
