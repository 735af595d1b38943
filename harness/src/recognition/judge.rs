//! What logs tell of one call, against what became of it.

use serde::Serialize;

use crate::logs::{About, Correlation, Finding, Patterns, Scanner};
use crate::mesh::ProxyLogs;
use crate::outcome::{Outcome, OutcomeId};
use crate::probe::Evidence;
use crate::probe::evidence::Connect;

use super::Shown;

/// What logs tell of a call; of a failure, the better the earlier.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Of a failure: its outcome, and no other.
    Named,
    /// Of a failure: that it is one of several, the right one among them.
    Candidate,
    /// Of a failure: nothing.
    Missed,
    /// Of a failure: nothing, or another one, and no proxy could do better (`manifests/logs/unseen.yaml`).
    Unseen,
    /// Of a failure: another one, or another side.
    Mistaken,
    /// Of a healthy call: nothing.
    Silent,
    /// Of a healthy call: a failure.
    FalseAlarm,
    /// Nothing could tell: no proxy saw the call.
    NoProxy,
}

impl Told {
    /// As written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Candidate => "candidate",
            Self::Missed => "missed",
            Self::Unseen => "unseen",
            Self::Mistaken => "mistaken",
            Self::Silent => "silent",
            Self::FalseAlarm => "false alarm",
            Self::NoProxy => "no proxy",
        }
    }

    /// Whether a failure was not told of, or told wrongly.
    #[must_use]
    pub const fn is_miss(self) -> bool {
        matches!(self, Self::Missed | Self::Mistaken)
    }

    pub(super) const fn is_wrong(self) -> bool {
        self.is_miss() || matches!(self, Self::FalseAlarm)
    }
}

/// Whether a proxy saw anything of the call. Of a caller that was refused at the first door none did, be it the door of
/// its own sidecar.
pub(super) fn has_witness(evidence: &Evidence) -> bool {
    let has_proxy = evidence.client_proxy.is_some() || evidence.server_proxy.is_some();
    has_proxy && evidence.caller.connect == Connect::Connected
}

/// What is found in the lines of both ends, read together.
pub(crate) fn findings(patterns: &'static Patterns, shown: Shown, logs: &[ProxyLogs]) -> Vec<Finding> {
    let scanner = Scanner::new(patterns);
    let mut correlation = Correlation::default();
    let mut settled = Vec::new();
    for proxy in logs {
        let text = shown.lines(proxy).join("\n");
        scanner.scan(&proxy.pod, text.as_bytes(), &mut |finding| {
            correlation.add(finding, &mut |it| settled.push(it));
        });
    }
    correlation.finish(&mut |it| settled.push(it));
    settled
}

/// What they tell of a call that became `observed`.
pub(super) fn judge(observed: &Outcome, findings: &[Finding]) -> Told {
    if observed.id.is_delivered() {
        // An application that answers with an error did fail, and not by mTLS.
        let of_mtls = |it: &&Finding| it.about == About::Mtls || observed.id != OutcomeId::HttpError;
        return match findings.iter().find(of_mtls) {
            Some(_) => Told::FalseAlarm,
            None => Told::Silent,
        };
    }
    let readings: Vec<Told> = findings.iter().map(|it| reading(observed, it)).collect();
    if readings.contains(&Told::Mistaken) {
        return Told::Mistaken;
    }
    readings.into_iter().min().unwrap_or(Told::Missed)
}

/// What one finding tells.
fn reading(observed: &Outcome, finding: &Finding) -> Told {
    if let (Some(one), Some(other)) = (finding.side, observed.side)
        && one != other
    {
        return Told::Mistaken;
    }
    let could_be = |id: OutcomeId| observed.id == id || observed.candidates.contains(&id);
    match finding.outcome {
        OutcomeId::Unknown if finding.candidates.iter().any(|id| could_be(*id)) => Told::Candidate,
        OutcomeId::Unknown => Told::Mistaken,
        named if named == observed.id => Told::Named,
        named if could_be(named) => Told::Candidate,
        _ => Told::Mistaken,
    }
}

#[cfg(test)]
mod tests;
