//! Selecting workloads by label.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `istio.type.v1beta1.WorkloadSelector`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSelector {
    /// Labels a pod must have; none: every pod.
    pub match_labels: Option<BTreeMap<String, String>>,
}

impl WorkloadSelector {
    /// Whether it selects anything less than everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
    }

    /// Whether `labels` hold everything asked for.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .flatten()
            .all(|(key, value)| labels.get(key) == Some(value))
    }
}
