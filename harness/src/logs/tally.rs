//! Findings, summed up in bounded space.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::outcome::{OutcomeId, Side};

use super::finding::{Finding, View};
use super::patterns::About;

/// What stands for every upstream beyond the limit.
const OTHERS: &str = "(others)";
/// How many callers a row names.
const WORKLOADS: usize = 5;

/// Findings by outcome and upstream.
#[derive(Clone, Debug)]
pub struct Tally {
    limit: usize,
    rows: BTreeMap<Key, Row>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    about: About,
    outcome: OutcomeId,
    candidates: Vec<OutcomeId>,
    side: Option<Side>,
    view: View,
    upstream: Option<String>,
    namespace: Option<String>,
}

/// How often something happened, and when.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What happened.
    pub outcome: OutcomeId,
    /// With `unknown`: what it could be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<OutcomeId>,
    /// The end that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Whether it is a failure of mTLS.
    pub about: About,
    /// Who saw it: requests of a client, connections of a server, lines of a component.
    pub view: View,
    /// Where the calls went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How often.
    pub count: u64,
    /// When first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// When last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Some of those who called or wrote the lines.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub workloads: BTreeSet<String>,
    /// Whether there are more of them.
    pub more_workloads: bool,
    /// The pattern that named the first of them.
    pub pattern: String,
    /// The first line of them.
    pub sample: String,
}

impl Tally {
    /// At most `limit` rows with an upstream of their own; what comes after them is summed up as others.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            rows: BTreeMap::new(),
        }
    }

    /// Counts a finding.
    pub fn add(&mut self, finding: Finding) {
        let mut key = Key {
            about: finding.about,
            outcome: finding.outcome,
            candidates: finding.candidates,
            side: finding.side,
            view: finding.view,
            upstream: finding.upstream,
            namespace: finding.namespace,
        };
        if self.rows.len() >= self.limit && !self.rows.contains_key(&key) {
            key.upstream = Some(OTHERS.to_owned());
            key.namespace = None;
        }
        let row = self.rows.entry(key).or_insert_with_key(|key| Row {
            outcome: key.outcome,
            candidates: key.candidates.clone(),
            side: key.side,
            about: key.about,
            view: key.view,
            upstream: key.upstream.clone(),
            namespace: key.namespace.clone(),
            count: 0,
            first: None,
            last: None,
            workloads: BTreeSet::new(),
            more_workloads: false,
            pattern: finding.pattern,
            sample: finding.sample,
        });
        row.count += 1;
        if let Some(time) = finding.time {
            if row.first.as_ref().is_none_or(|first| time < *first) {
                row.first = Some(time.clone());
            }
            if row.last.as_ref().is_none_or(|last| time > *last) {
                row.last = Some(time);
            }
        }
        if let Some(workload) = finding.workload
            && !row.workloads.contains(&workload)
        {
            if row.workloads.len() < WORKLOADS {
                row.workloads.insert(workload);
            } else {
                row.more_workloads = true;
            }
        }
    }

    /// The rows, those of mTLS first, and of them the most frequent first.
    #[must_use]
    pub fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by_key(|row| (row.about, std::cmp::Reverse(row.count)));
        rows
    }
}

#[cfg(test)]
mod tests;
