//! The one verdict on a call: what became of it, what is responsible, and how sure that is.

use serde::Serialize;

use super::cause::Cause;
use super::remedy::Remedy;
use crate::outcome::{Outcome, OutcomeId};

/// What became of a call, and why.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Who calls.
    pub from: String,
    /// What is called.
    pub to: String,
    /// What becomes of the call; a delivery where nothing speaks against one, `unknown` where nothing decides.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What kind of thing is responsible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The objects that are, the likeliest first, three at most.
    pub responsible: Vec<Responsible>,
    /// How sure this is.
    pub confidence: Confidence,
    /// What would make it surer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raised_by: Vec<String>,
    /// What it could be, where it is not decided; the likeliest first, three at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<OutcomeId>,
    /// What the verdict rests on, a sentence each.
    pub evidence: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// The scenario of the catalogue that shows the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproduced_by: Option<String>,
}

impl Verdict {
    /// Whether both are of one failure: the same outcome by the same cause.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let first = |it: &Self| it.responsible.first().map(|it| it.object.clone());
        self.outcome.agrees_with(&other.outcome) && self.cause == other.cause && first(self) == first(other)
    }
}

/// Something that is responsible, because the call would go through without it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Responsible {
    /// `Kind/namespace/name`.
    pub object: String,
    /// What kind of cause it is.
    pub cause: Cause,
    /// What becomes of the call without it, or with it set right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<OutcomeId>,
    /// Whether that takes all others that are responsible, too.
    pub together: bool,
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, strum::Display, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Confidence {
    /// One of several, or against other evidence.
    Low,
    /// One source says so, and none speaks against it.
    Medium,
    /// Sources that do not know each other agree, or there is no other possibility.
    High,
}
