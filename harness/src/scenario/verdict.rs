//! What a run showed: the result of a scenario, its phases, and its calls, as the JSON of the design has it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::under_load::call_of;
use super::{Expected, Failures};
use crate::call::CallKind;
use crate::mesh::replay::{RecordedPhase, Recording};
use crate::mesh::{Component, ProxyLogs, Tally, Tier};
use crate::outcome::{Outcome, OutcomeId};
use crate::probe::Evidence;

/// Whether something is as expected.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was run is as expected and as predicted.
    Held,
    /// It was not run; the reason says why.
    NotRun,
    /// Something is not as expected, or not as predicted.
    Falsified,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::NotRun => "not-run",
            Self::Falsified => "falsified",
        })
    }
}

/// What a falsified call contradicts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The scenario expected something else.
    Expectation,
    /// The expectation holds, but policy resolution predicted something else.
    Prediction,
}

/// The result of one scenario on one tier.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioResult {
    /// The scenario's name.
    pub scenario: String,
    /// Where it ran.
    pub tier: Tier,
    /// The worst verdict of its phases.
    pub verdict: Verdict,
    /// Why it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The releases it was run with in place of those that the scenario names.
    #[serde(default, skip_serializing_if = "ReleaseOverrides::is_none")]
    pub releases: ReleaseOverrides,
    /// Whether what it breaks was left out, so that it had to be falsified.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_faults: bool,
    /// Every proxy that took part, with its provenance.
    pub components: Vec<Component>,
    /// Claims of the source documents that this run bears on but cannot decide, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided_claims: Vec<UndecidedClaim>,
    /// The phases that ran.
    pub phases: Vec<PhaseResult>,
    /// Wall time, milliseconds.
    pub millis: f64,
    /// The command that runs it again.
    pub reproduce: String,
    /// Where logs and configuration were left, if they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
}

/// Releases in place of those that a scenario names.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ReleaseOverrides {
    /// The control plane's, in place of `spec.istio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istio: Option<Version>,
    /// Of the sidecars of workloads that mostly call, whatever they pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Version>,
    /// Of the sidecars of workloads that are mostly called, whatever they pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Version>,
}

impl ReleaseOverrides {
    /// The scenario as it is written.
    pub const NONE: Self = Self {
        istio: None,
        client: None,
        server: None,
    };

    /// Whether the scenario is run as it is written.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Each by the name of its flag.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, &Option<Version>); 3] {
        [
            ("istio", &self.istio),
            ("client", &self.client),
            ("server", &self.server),
        ]
    }
}

impl ScenarioResult {
    /// Calls whose outcome in `other`, a run of the same scenario, is another one: id, outcome here, outcome there.
    #[must_use]
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<(&'a str, &'a Outcome, &'a Outcome)> {
        let theirs: BTreeMap<&str, &Outcome> = other.observed().collect();
        self.observed()
            .filter_map(|(id, ours)| {
                let theirs = *theirs.get(id)?;
                (!ours.agrees_with(theirs)).then_some((id, ours, theirs))
            })
            .collect()
    }

    /// The run as the `replay` tier answers from it.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let phases = self.phases.iter().map(|phase| {
            let before_call = format!("{}::{}::", self.scenario, phase.name);
            let calls = phase.calls.iter().filter_map(|call| {
                let written = call.id.strip_prefix(&before_call)?;
                Some((written.to_owned(), call.evidence.clone()))
            });
            let loads = phase.loads.iter().filter_map(|load| {
                let written = load.id.strip_prefix(&before_call).and_then(call_of)?;
                let tallies = load.steps.iter().map(|step| step.tally.clone()).collect();
                Some((written.to_owned(), tallies))
            });
            RecordedPhase {
                calls: calls.collect(),
                loads: loads.collect(),
            }
        });
        Recording {
            components: self.components.clone(),
            phases: phases.collect(),
        }
    }

    /// What was observed, by the id of the call.
    pub(crate) fn observed(&self) -> impl Iterator<Item = (&str, &Outcome)> {
        let calls = self.phases.iter().flat_map(|phase| &phase.calls);
        calls.filter_map(|call| Some((call.id.as_str(), call.observed.as_ref()?)))
    }
}

/// A claim that a run cannot decide.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UndecidedClaim {
    /// Its id.
    pub claim: String,
    /// Why not.
    pub reason: String,
}

/// The result of one phase.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PhaseResult {
    /// Its name.
    pub name: String,
    /// The worst verdict of its calls and loads.
    pub verdict: Verdict,
    /// Faults active in it.
    pub faults: Vec<String>,
    /// The objects in it that decide about mTLS: `PeerAuthentication/payments/strict`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The loads that were held on its calls while it did what it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<LoadResult>,
    /// Its calls.
    pub calls: Vec<CallResult>,
    /// Wall time of reaching the state and making the calls, milliseconds.
    pub millis: f64,
}

/// The result of one call.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CallResult {
    /// Its id.
    pub id: String,
    /// `namespace/name` of the caller.
    pub from: String,
    /// Where it went, with the full host name.
    pub to: String,
    /// Who originated the bytes.
    pub call: CallKind,
    /// What was expected.
    pub expected: Expected,
    /// What policy resolution predicted.
    pub predicted: Outcome,
    /// What the evidence says; absent where nothing was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Outcome>,
    /// The verdict.
    pub verdict: Verdict,
    /// What a falsified call contradicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Wall time of the call and its evidence, milliseconds.
    pub millis: f64,
    /// `file:line` of the expectation.
    pub location: String,
    /// What both ends showed.
    pub evidence: Evidence,
    /// What Istio would have had both ends log, where that was asked for. Nothing is judged by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<ProxyLogs>,
    /// The folder with what else is known of a call that was not as expected, on tiers where more is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_evidence: Option<PathBuf>,
}

/// The result of the load on one call.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LoadResult {
    /// Its id.
    pub id: String,
    /// `namespace/name` of the caller.
    pub from: String,
    /// Where requests went, with the full host name.
    pub to: String,
    /// How many may fail.
    pub expected: Failures,
    /// The state before, and each step of what was done.
    pub steps: Vec<LoadStep>,
    /// The verdict.
    pub verdict: Verdict,
    /// What a falsified load contradicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// `file:line` of the expectation.
    pub location: String,
}

impl LoadResult {
    /// How many requests ended since the first step began.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.steps.iter().skip(1).map(|step| step.tally.made()).sum()
    }

    /// How many of them failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.steps.iter().skip(1).map(|step| step.tally.failed()).sum()
    }
}

/// The requests of a load in one state.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LoadStep {
    /// What was done; `before` for the state before.
    pub name: String,
    /// What policy resolution predicts of the call in this state.
    pub predicted: Outcome,
    /// What became of the requests.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Judges one call. A prediction that is `unknown` does not vote.
#[must_use]
pub fn judge(expected: &Expected, predicted: &Outcome, observed: &Outcome) -> (Verdict, Option<Cause>) {
    if !expected.holds_for(observed) {
        return (Verdict::Falsified, Some(Cause::Expectation));
    }
    let votes = predicted.id != OutcomeId::Unknown;
    if votes && !predicted.agrees_with(observed) {
        return (Verdict::Falsified, Some(Cause::Prediction));
    }
    (Verdict::Held, None)
}

/// The verdict on several: the worst of them, and `not-run` for none.
#[must_use]
pub fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    verdicts.into_iter().max().unwrap_or(Verdict::NotRun)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Side;

    fn expecting(outcome: OutcomeId, side: Option<Side>) -> Expected {
        Expected {
            outcome,
            side,
            candidates: Vec::new(),
        }
    }

    #[test]
    fn a_wrong_side_falsifies_the_expectation() {
        let expected = expecting(OutcomeId::SanMismatch, Some(Side::Server));
        let observed = Outcome::refused(OutcomeId::SanMismatch, Side::Client);
        let (verdict, cause) = judge(&expected, &observed, &observed);
        assert_eq!((verdict, cause), (Verdict::Falsified, Some(Cause::Expectation)));
    }

    #[test]
    fn a_prediction_that_disagrees_falsifies_even_when_the_expectation_holds() {
        let expected = expecting(OutcomeId::Mtls, None);
        let predicted = Outcome::of(OutcomeId::Plaintext);
        let (verdict, cause) = judge(&expected, &predicted, &Outcome::of(OutcomeId::Mtls));
        assert_eq!((verdict, cause), (Verdict::Falsified, Some(Cause::Prediction)));
    }

    #[test]
    fn an_unknown_prediction_does_not_vote() {
        let expected = expecting(OutcomeId::Mtls, None);
        let predicted = Outcome::unknown(Vec::new(), "a Sidecar resource is present");
        assert_eq!(
            judge(&expected, &predicted, &Outcome::of(OutcomeId::Mtls)),
            (Verdict::Held, None)
        );
    }

    #[test]
    fn nothing_run_is_not_held() {
        assert_eq!(worst([]), Verdict::NotRun);
        assert_eq!(
            worst([Verdict::Held, Verdict::Falsified, Verdict::NotRun]),
            Verdict::Falsified
        );
    }
}
