//! What came of it.

use std::collections::BTreeMap;

use serde::Serialize;

/// An alert that reached the webhook.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Its labels, the name among them as `alertname`.
    pub labels: BTreeMap<String, String>,
    /// What it says in a line.
    pub summary: String,
    /// When it came, seconds after the fault; before it, absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many workloads there were.
    pub workloads: usize,
    /// The broken ones, each with the seconds from the fault to the first alert that points to it; `null` if none came.
    pub broken: BTreeMap<String, Option<f64>>,
    /// What was wrong with them.
    pub fault: String,
    /// How long detection may take, seconds.
    pub deadline_seconds: f64,
    /// From the fault to the first call that failed; `null` if none did.
    pub first_failure_seconds: Option<f64>,
    /// Calls made while nothing was broken.
    pub healthy_calls: u64,
    /// Calls made after.
    pub calls: u64,
    /// Of those, how many failed.
    pub failed_calls: u64,
    /// How long it took until the mesh stood and its monitoring knew it.
    pub setup_seconds: f64,
    /// Alerts while nothing was broken.
    pub false_alarms: Vec<Alert>,
    /// Alerts after.
    pub alerts: Vec<Alert>,
    /// What fired in Prometheus in the end, how many of each name: those, too, that the route keeps back.
    pub firing: BTreeMap<String, f64>,
}

impl Report {
    /// From the fault until an alert pointed to each broken workload; `None` if some were not noticed in time.
    #[must_use]
    pub fn time_to_detection(&self) -> Option<f64> {
        let times: Option<Vec<f64>> = self.broken.values().copied().collect();
        let slowest = times?.into_iter().fold(0.0, f64::max);
        (slowest <= self.deadline_seconds).then_some(slowest)
    }

    /// Whether all that was broken was noticed in time, and nothing before.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.time_to_detection().is_some() && self.false_alarms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_broken_must_be_noticed_in_time_and_nothing_before() {
        let report = |times: &[Option<f64>], false_alarms: Vec<Alert>| Report {
            workloads: 10,
            broken: times
                .iter()
                .enumerate()
                .map(|(number, time)| (format!("w{number}"), *time))
                .collect(),
            fault: "expired-leaf".to_owned(),
            deadline_seconds: 120.0,
            first_failure_seconds: Some(1.0),
            healthy_calls: 10,
            calls: 10,
            failed_calls: 2,
            setup_seconds: 1.0,
            false_alarms,
            alerts: Vec::new(),
            firing: BTreeMap::new(),
        };
        let alarm = Alert {
            labels: BTreeMap::new(),
            summary: "nothing happened".to_owned(),
            seconds: None,
        };
        for (times, detected) in [
            (vec![Some(60.0)], Some(60.0)),
            (vec![Some(60.0), Some(80.0)], Some(80.0)),
            (vec![Some(60.0), None], None),
            (vec![Some(121.0)], None),
        ] {
            assert_eq!(report(&times, Vec::new()).time_to_detection(), detected);
            assert_eq!(report(&times, Vec::new()).is_held(), detected.is_some());
            assert!(!report(&times, vec![alarm.clone()]).is_held());
        }
    }
}
