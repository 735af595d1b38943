//! Which scenarios are run where, with which releases: `matrix.yaml`, checked and multiplied out.
//!
//! A row of the file is the product of its lists. Of the pairings of control plane and sidecars only those are kept that
//! Istio supports; exclusions have a reason and a last day.

mod check;
mod cost;
mod exclusion;
mod format;
mod github;
mod kubernetes;
mod load;
mod pairing;
mod shard;
mod text;

#[cfg(test)]
mod tests;

use semver::Version;
use serde::Serialize;

pub use cost::{COSTS_FILE, Costs, CostsError};
pub use exclusion::Exclusion;
pub use format::Platform;
pub use github::github;
pub use kubernetes::{IndexedJob, ManifestError};
pub use load::{MATRIX_FILE, SCHEMA_FILE, load, schema_text};
pub use pairing::Unsupported;
pub use shard::{Shard, ShardError};
pub use text::MatrixTable;

use crate::mesh::Tier;
use crate::scenario::verdict::ReleaseOverrides;

/// The matrix of a workspace. Every release, scenario and tag in it is one that there is.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// What is run, in the order of the file.
    pub rows: Vec<Row>,
    /// What is left out for now, in the order of the file.
    pub exclusions: Vec<Exclusion>,
}

/// Scenarios, where they run, and the releases they run with.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name, unique.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it runs.
    pub tier: Tier,
    /// The systems it runs on, each with the label of its GitHub runner.
    pub runners: Vec<(Platform, String)>,
    /// Into how many jobs it is split on each system.
    pub shards: usize,
    /// What is run.
    pub cells: Vec<Cell>,
    /// Pairings of its lists that Istio does not support.
    pub unsupported: Vec<Unsupported>,
}

/// A scenario in a setting.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Cell {
    /// On which system.
    pub platform: Platform,
    /// The minor release of Kubernetes, for tiers that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Version>,
    /// The releases in place of the scenario's own.
    pub releases: ReleaseOverrides,
    /// The scenario.
    pub scenario: String,
}

impl Cell {
    /// The minor release of Kubernetes as people write it: `1.32`.
    #[must_use]
    pub fn kubernetes_minor(&self) -> Option<String> {
        self.kubernetes.as_ref().map(exclusion::short)
    }
}

impl Matrix {
    /// The row of that name.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// What is run on a system, with the tier of each.
    pub fn on(&self, platform: Platform) -> impl Iterator<Item = (Tier, &Cell)> {
        self.rows
            .iter()
            .flat_map(move |row| row.on(platform).map(|cell| (row.tier, cell)))
    }
}

impl Row {
    /// What is run on a system.
    pub fn on(&self, platform: Platform) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.platform == platform)
    }
}
