//! What results say about a claim.

use serde::Serialize;

use super::claim::{Claim, Grounds, Piece, Shows};
use crate::scenario::verdict::{PhaseResult, ScenarioResult, Verdict};

/// A claim with what the runs say about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimReport {
    /// The claim.
    #[serde(flatten)]
    pub claim: Claim,
    /// What its evidence amounts to.
    pub finding: Finding,
    /// Why it is not decided, one sentence per reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What became of each piece of its evidence, in the order of the ledger.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weighed: Vec<Weighed>,
}

/// What the evidence about a claim amounts to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// All that could be shown speaks for it.
    Reproduced,
    /// Some speaks for it and some against it.
    ReproducedInPart,
    /// All that could be shown speaks against it.
    Refuted,
    /// Nothing could be shown here.
    NotTestableHere,
    /// A scenario that bears on it is falsified, so nothing may be read from it.
    Undecided,
}

/// What became of one piece of evidence.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Weighed {
    /// The piece.
    #[serde(flatten)]
    pub piece: Piece,
    /// Whether it counts.
    pub weight: Weight,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether a piece of evidence counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Its scenario held, on proxies that can decide it.
    Counts,
    /// It was not run, or a stand-in ran in a release's place.
    CannotTell,
    /// Its scenario is falsified.
    Falsified,
}

/// Weighs the evidence about a claim by the results of the scenarios it rests on. A piece counts only when its whole
/// scenario held, its phase made a call, and no proxy stood in for another release.
#[must_use]
pub fn weigh(claim: &Claim, results: &[ScenarioResult]) -> ClaimReport {
    let weighed: Vec<Weighed> = claim
        .evidence()
        .iter()
        .map(|piece| weighed(claim, piece, results))
        .collect();
    let finding = finding(&weighed);
    ClaimReport {
        claim: claim.clone(),
        finding,
        reasons: reasons(claim, finding, &weighed),
        weighed,
    }
}

fn weighed(claim: &Claim, piece: &Piece, results: &[ScenarioResult]) -> Weighed {
    let of_scenario = |result: &&ScenarioResult| result.scenario == piece.scenario;
    let (weight, reason) = match results.iter().find(of_scenario) {
        Some(result) => weight(claim, piece, result),
        None => (
            Weight::CannotTell,
            Some(format!("{} was not run", piece.scenario)),
        ),
    };
    Weighed {
        piece: piece.clone(),
        weight,
        reason,
    }
}

fn weight(claim: &Claim, piece: &Piece, result: &ScenarioResult) -> (Weight, Option<String>) {
    let name = &piece.scenario;
    match result.verdict {
        Verdict::Falsified => return (Weight::Falsified, Some(format!("{name} is falsified"))),
        Verdict::NotRun => {
            let reason = result.reason.as_deref().unwrap_or("it made no call");
            return (Weight::CannotTell, Some(format!("{name} was not run: {reason}")));
        }
        Verdict::Held => {}
    }
    if let Some(undecided) = result.undecided_claims.iter().find(|it| it.claim == claim.id) {
        return (
            Weight::CannotTell,
            Some(format!("{name} held, but {}", undecided.reason)),
        );
    }
    let shows_something = |phase: &&PhaseResult| {
        phase.name == piece.phase && phase.verdict == Verdict::Held && !phase.calls.is_empty()
    };
    if result.phases.iter().any(|phase| shows_something(&phase)) {
        (Weight::Counts, None)
    } else {
        let phase = &piece.phase;
        (
            Weight::CannotTell,
            Some(format!("phase {phase} of {name} made no call")),
        )
    }
}

fn finding(weighed: &[Weighed]) -> Finding {
    if weighed.iter().any(|it| it.weight == Weight::Falsified) {
        return Finding::Undecided;
    }
    let counts = |shows| {
        weighed
            .iter()
            .any(|it| it.weight == Weight::Counts && it.piece.shows == shows)
    };
    match (counts(Shows::Supports), counts(Shows::Contradicts)) {
        (true, false) => Finding::Reproduced,
        (true, true) => Finding::ReproducedInPart,
        (false, true) => Finding::Refuted,
        (false, false) => Finding::NotTestableHere,
    }
}

fn reasons(claim: &Claim, finding: Finding, weighed: &[Weighed]) -> Vec<String> {
    if let Grounds::Untested(untested) = &claim.grounds {
        return vec![untested.needs.to_string()];
    }
    let telling = match finding {
        Finding::Undecided => Weight::Falsified,
        Finding::NotTestableHere => Weight::CannotTell,
        _ => return Vec::new(),
    };
    let mut reasons: Vec<String> = Vec::new();
    for it in weighed.iter().filter(|it| it.weight == telling) {
        reasons.extend(it.reason.clone().filter(|reason| !reasons.contains(reason)));
    }
    reasons
}

impl Finding {
    /// As written in JSON, with spaces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::ReproducedInPart => "reproduced in part",
            Self::Refuted => "refuted",
            Self::NotTestableHere => "not testable here",
            Self::Undecided => "undecided",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::claim::{Document, Verdict as IsSo};
    use super::*;
    use crate::mesh::Tier;
    use crate::scenario::verdict::{CallResult, ReleaseOverrides, UndecidedClaim};

    fn claim() -> Claim {
        let piece = |phase: &str, shows| Piece {
            scenario: "story".to_owned(),
            phase: phase.to_owned(),
            shows,
            because: "it is seen".to_owned(),
        };
        Claim {
            id: "X1".to_owned(),
            document: Document::Runbook,
            claim: "c".to_owned(),
            verdict: IsSo::Partly,
            instead: "i".to_owned(),
            source: "s".to_owned(),
            grounds: Grounds::Evidence(vec![
                piece("for", Shows::Supports),
                piece("against", Shows::Contradicts),
            ]),
        }
    }

    fn call() -> CallResult {
        serde_json::from_value(serde_json::json!({
            "id": "story::p::a->b", "from": "n/a", "to": "b:80", "call": "app",
            "expected": {"outcome": "mtls"}, "predicted": {"outcome": "mtls"},
            "verdict": "held", "millis": 1.0, "location": "f:1", "evidence": {}
        }))
        .unwrap()
    }

    fn result(verdict: Verdict, phases: &[&str]) -> ScenarioResult {
        let phase = |name: &&str| PhaseResult {
            name: (*name).to_owned(),
            verdict: Verdict::Held,
            faults: Vec::new(),
            policies: Vec::new(),
            loads: Vec::new(),
            calls: vec![call()],
            millis: 1.0,
        };
        ScenarioResult {
            scenario: "story".to_owned(),
            tier: Tier::Local,
            verdict,
            reason: (verdict == Verdict::NotRun).then(|| "no such tier".to_owned()),
            releases: ReleaseOverrides::NONE,
            without_faults: false,
            node_image: None,
            components: Vec::new(),
            undecided_claims: Vec::new(),
            phases: phases.iter().map(phase).collect(),
            millis: 1.0,
            reproduce: String::new(),
            kept: None,
        }
    }

    #[test]
    fn a_finding_follows_from_the_phases_that_held() {
        let cases = [
            (vec!["for", "against"], Finding::ReproducedInPart),
            (vec!["for"], Finding::Reproduced),
            (vec!["against"], Finding::Refuted),
            (vec!["other"], Finding::NotTestableHere),
        ];
        for (phases, expected) in cases {
            let report = weigh(&claim(), &[result(Verdict::Held, &phases)]);
            assert_eq!(report.finding, expected, "{phases:?}");
        }
    }

    #[test]
    fn nothing_is_read_from_a_falsified_scenario() {
        let report = weigh(&claim(), &[result(Verdict::Falsified, &["for", "against"])]);
        assert_eq!(
            (report.finding, report.reasons),
            (Finding::Undecided, vec!["story is falsified".to_owned()])
        );
    }

    #[test]
    fn a_phase_without_calls_shows_nothing() {
        let mut held = result(Verdict::Held, &["for"]);
        held.phases[0].calls.clear();
        assert_eq!(weigh(&claim(), &[held]).finding, Finding::NotTestableHere);
    }

    #[test]
    fn what_a_stand_in_showed_and_what_was_not_run_says_why_it_does_not_count() {
        let mut by_stand_in = result(Verdict::Held, &["for", "against"]);
        by_stand_in.undecided_claims = vec![UndecidedClaim {
            claim: "X1".to_owned(),
            reason: "Envoy 1.36.4 stands in for Istio 1.24.0".to_owned(),
        }];
        let cases = [
            (
                vec![by_stand_in],
                "story held, but Envoy 1.36.4 stands in for Istio 1.24.0",
            ),
            (
                vec![result(Verdict::NotRun, &[])],
                "story was not run: no such tier",
            ),
            (vec![], "story was not run"),
        ];
        for (results, reason) in cases {
            let report = weigh(&claim(), &results);
            assert_eq!(
                (report.finding, report.reasons),
                (Finding::NotTestableHere, vec![reason.to_owned()])
            );
        }
    }
}
