//! What scenarios cost, as measured: by this the matrix is split into jobs of equal length.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::scenario::verdict::{ScenarioResult, Verdict};
use crate::snapshot::{YamlError, from_yaml, to_yaml};

/// Where costs are kept, from the workspace root.
pub const COSTS_FILE: &str = "manifests/costs.yaml";

const HEAD: &str = "\
# What each scenario took when it was measured: milliseconds, with as many at a time as the machine has processors.
# By this the matrix is split. Written by: cargo xtask matrix --record-costs DIR (DIR is of `scenario --all --report DIR`).
";

/// Milliseconds for each scenario.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    millis: BTreeMap<String, u64>,
}

/// The costs could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CostsError {
    /// What is built in cannot be read, which a test rules out.
    #[error(transparent)]
    Yaml(#[from] Box<YamlError>),
    /// They cannot be put into YAML.
    #[error("cannot put costs into YAML: {0}")]
    Write(String),
}

impl Costs {
    /// Those that are built in.
    ///
    /// # Errors
    /// When they cannot be read, which a test rules out.
    pub fn embedded() -> Result<&'static Self, CostsError> {
        static COSTS: LazyLock<Result<Costs, Box<YamlError>>> =
            LazyLock::new(|| from_yaml(include_str!("../../../manifests/costs.yaml"), COSTS_FILE));
        COSTS.as_ref().map_err(|error| CostsError::Yaml(error.clone()))
    }

    /// Of runs that were made; of a scenario that was run several times, the dearest.
    pub fn measured<'a>(results: impl IntoIterator<Item = &'a ScenarioResult>) -> Self {
        let mut costs = Self::default();
        for result in results.into_iter().filter(|it| it.verdict != Verdict::NotRun) {
            let millis = result.millis.max(1.0).round() as u64;
            let known = costs.millis.entry(result.scenario.clone()).or_default();
            *known = millis.max(*known);
        }
        costs
    }

    /// The text of [`COSTS_FILE`].
    ///
    /// # Errors
    /// [`CostsError::Write`], never with what can be measured.
    pub fn to_yaml(&self) -> Result<String, CostsError> {
        to_yaml(self)
            .map(|yaml| format!("{HEAD}{yaml}"))
            .map_err(CostsError::Write)
    }

    /// Milliseconds. A scenario that was never measured counts as the median.
    #[must_use]
    pub fn of(&self, scenario: &str) -> u64 {
        self.millis.get(scenario).copied().unwrap_or_else(|| {
            let mut all: Vec<u64> = self.millis.values().copied().collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(1)
        })
    }

    /// The scenarios that were measured.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.millis.keys().map(String::as_str)
    }
}
