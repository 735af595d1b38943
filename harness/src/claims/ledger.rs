//! The ledger, read from `manifests/claims.yaml`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize;

use super::claim::{Claim, Document, Grounds, Piece, Shows, Untested, Verdict};
use crate::scenario::Catalogue;

/// The file, from the workspace root.
const FILE: &str = "manifests/claims.yaml";

/// Every claim, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    claims: Vec<Claim>,
}

/// The ledger cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LedgerError {
    /// It is no ledger.
    #[error("{FILE}: {0}")]
    Yaml(String),
    /// A claim that contradicts itself or another.
    #[error("{FILE}: claim {id}: {problem}")]
    Claim {
        /// Its id.
        id: String,
        /// What is wrong.
        problem: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    claims: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    document: Document,
    claim: String,
    verdict: Verdict,
    instead: String,
    source: String,
    evidence: Option<Vec<Piece>>,
    untested: Option<Untested>,
}

impl Ledger {
    /// The ledger that is built into meshproof.
    ///
    /// # Errors
    /// When the embedded file is invalid, which its test excludes.
    pub fn embedded() -> Result<&'static Self, LedgerError> {
        static LEDGER: LazyLock<Result<Ledger, LedgerError>> =
            LazyLock::new(|| Ledger::parse(include_str!("../../../manifests/claims.yaml")));
        LEDGER.as_ref().map_err(Clone::clone)
    }

    /// Reads and validates a ledger.
    pub(super) fn parse(yaml: &str) -> Result<Self, LedgerError> {
        let file: File =
            serde_saphyr::from_str(yaml).map_err(|error| LedgerError::Yaml(error.to_string()))?;
        let mut seen = BTreeSet::new();
        let mut claims = Vec::new();
        for entry in file.claims {
            if !seen.insert(entry.id.clone()) {
                return Err(LedgerError::Claim {
                    id: entry.id,
                    problem: "is there twice",
                });
            }
            claims.push(entry.into_claim()?);
        }
        Ok(Self { claims })
    }

    /// Every claim, in the order of the file.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The claim with that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.id == id)
    }

    /// The id most similar to one that is not there.
    #[must_use]
    pub fn similar(&self, id: &str) -> Option<String> {
        crate::reference::most_similar(id, self.claims.iter().map(|claim| claim.id.as_str()))
    }

    /// Where ledger and scenarios are out of step, one sentence each: a claim or phase that one names and the other
    /// does not have, and links that only one side knows.
    #[must_use]
    pub fn disagreements(&self, catalogue: &Catalogue) -> Vec<String> {
        let mut found = Vec::new();
        for scenario in &catalogue.scenarios {
            let name = scenario.name();
            for id in &scenario.file.metadata.claims {
                match self.get(id) {
                    None => found.push(format!(
                        "scenario {name} names claim {id}, which {FILE} does not have"
                    )),
                    Some(claim) if !claim.evidence().iter().any(|piece| piece.scenario == name) => {
                        found.push(format!(
                            "scenario {name} names claim {id}; add to its `evidence` in {FILE} what a held phase of it shows"
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        for claim in &self.claims {
            found.extend(
                claim
                    .evidence()
                    .iter()
                    .filter_map(|piece| dangling(claim, piece, catalogue)),
            );
        }
        found
    }
}

impl Entry {
    fn into_claim(self) -> Result<Claim, LedgerError> {
        let problem = self.problem();
        let grounds = match (self.evidence, self.untested) {
            (Some(pieces), None) if !pieces.is_empty() => Ok(Grounds::Evidence(pieces)),
            (None, Some(untested)) => Ok(Grounds::Untested(untested)),
            _ => Err("needs either `evidence` or `untested`"),
        };
        match (grounds, problem) {
            (Ok(grounds), None) => Ok(Claim {
                id: self.id,
                document: self.document,
                claim: self.claim,
                verdict: self.verdict,
                instead: self.instead,
                source: self.source,
                grounds,
            }),
            (Err(problem), _) | (_, Some(problem)) => Err(LedgerError::Claim { id: self.id, problem }),
        }
    }

    /// A verdict and its evidence must be of one mind.
    fn problem(&self) -> Option<&'static str> {
        let pieces = self.evidence.as_deref().unwrap_or_default();
        let any = |shows| pieces.iter().any(|piece| piece.shows == shows);
        match self.verdict {
            Verdict::True if any(Shows::Contradicts) => Some("is true, yet evidence contradicts it"),
            Verdict::False | Verdict::Broken if any(Shows::Supports) => {
                Some("is not true, yet evidence supports it")
            }
            Verdict::Unverifiable if !pieces.is_empty() => Some("is unverifiable, yet has evidence"),
            _ => None,
        }
    }
}

fn dangling(claim: &Claim, piece: &Piece, catalogue: &Catalogue) -> Option<String> {
    let (id, name) = (&claim.id, &piece.scenario);
    let Some(scenario) = catalogue.get(name) else {
        return Some(format!(
            "{FILE}: claim {id} rests on scenario {name}, which does not exist"
        ));
    };
    if !scenario
        .file
        .spec
        .phases
        .iter()
        .any(|phase| phase.name == piece.phase)
    {
        let phase = &piece.phase;
        return Some(format!(
            "{FILE}: claim {id} rests on {name}, which has no phase {phase}"
        ));
    }
    (!scenario.file.metadata.claims.contains(id))
        .then(|| format!("{FILE}: claim {id} rests on {name}, whose `metadata.claims` does not name it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn catalogue() -> Catalogue {
        let root = crate::scenario::workspace_root(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        Catalogue::load(&root).unwrap()
    }

    fn entry(verdict: &str, rest: &str) -> String {
        format!(
            "claims: [{{id: X1, document: runbook, claim: c, verdict: {verdict}, instead: i, source: s, {rest}}}]"
        )
    }

    fn piece(scenario: &str, phase: &str, shows: &str) -> String {
        format!("evidence: [{{scenario: {scenario}, phase: {phase}, shows: {shows}, because: b}}]")
    }

    #[test]
    fn ledger_and_scenarios_are_in_step_both_ways() {
        let found = Ledger::embedded().unwrap().disagreements(&catalogue());
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn both_documents_are_covered_whole() {
        let ledger = Ledger::embedded().unwrap();
        let count = |document| {
            ledger
                .claims()
                .iter()
                .filter(|claim| claim.document == document)
                .count()
        };
        assert_eq!((count(Document::Runbook), count(Document::Postmortem)), (22, 48));
    }

    #[test]
    fn a_claim_that_contradicts_itself_is_refused() {
        let cases = [
            (
                entry("\"true\"", &piece("a", "b", "contradicts")),
                "is true, yet evidence contradicts it",
            ),
            (
                entry("\"false\"", &piece("a", "b", "supports")),
                "is not true, yet evidence supports it",
            ),
            (
                entry("broken", &piece("a", "b", "supports")),
                "is not true, yet evidence supports it",
            ),
            (
                entry("unverifiable", &piece("a", "b", "supports")),
                "is unverifiable, yet has evidence",
            ),
            (
                entry("partly", "evidence: []"),
                "needs either `evidence` or `untested`",
            ),
            (
                entry(
                    "partly",
                    &format!(
                        "{}, untested: {{needs: data, how: h}}",
                        piece("a", "b", "supports")
                    ),
                ),
                "needs either `evidence` or `untested`",
            ),
        ];
        for (yaml, problem) in cases {
            let expected = LedgerError::Claim {
                id: "X1".to_owned(),
                problem,
            };
            assert_eq!(Ledger::parse(&yaml), Err(expected), "{yaml}");
        }
        assert!(matches!(
            Ledger::parse("claims: [{id: X1, verdikt: partly}]"),
            Err(LedgerError::Yaml(_))
        ));
    }

    #[test]
    fn every_link_that_only_one_side_knows_is_named() {
        let cases = [
            (piece("no-such", "control", "supports"), "which does not exist"),
            (
                piece("baseline-strict", "no-such", "supports"),
                "which has no phase no-such",
            ),
            (
                piece("baseline-strict", "control", "supports"),
                "does not name it",
            ),
        ];
        for (rest, problem) in cases {
            let found = Ledger::parse(&entry("partly", &rest))
                .unwrap()
                .disagreements(&catalogue());
            assert!(
                found
                    .iter()
                    .any(|it| it.contains("claim X1") && it.ends_with(problem)),
                "{found:?}"
            );
            assert!(
                found
                    .iter()
                    .any(|it| it.contains("scenario baseline-strict names claim R01")),
                "{found:?}"
            );
        }
    }
}
