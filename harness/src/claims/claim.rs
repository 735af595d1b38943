//! A claim, whether it is so, and what decides it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that a document says about Istio mTLS.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// Its id, for example `P02`.
    pub id: String,
    /// Who says it.
    pub document: Document,
    /// What it says, in our words.
    pub claim: String,
    /// Whether it is so.
    pub verdict: Verdict,
    /// What is so.
    pub instead: String,
    /// Where that was read or measured.
    pub source: String,
    /// What decides it.
    #[serde(flatten)]
    pub grounds: Grounds,
}

/// Who says it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// A runbook for mTLS failures.
    Runbook,
    /// A postmortem of an outage.
    Postmortem,
}

/// Whether a claim is so.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    True,
    /// In part, or under conditions it does not name.
    Partly,
    /// It is not.
    False,
    /// It gives no data to judge it by.
    Unverifiable,
    /// It is code that cannot run as printed.
    Broken,
}

/// What decides a claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grounds {
    /// Phases of scenarios, and what it means when they hold.
    Evidence(Vec<Piece>),
    /// No scenario can.
    Untested(Untested),
}

/// What a held phase means for a claim.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The scenario.
    pub scenario: String,
    /// Its phase.
    pub phase: String,
    /// Whether the phase, when it holds, speaks for the claim or against it.
    pub shows: Shows,
    /// What the phase shows.
    pub because: String,
}

/// Whether something speaks for a claim or against it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    /// For it.
    Supports,
    /// Against it.
    Contradicts,
}

/// Why no scenario decides a claim.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Untested {
    /// What it would need.
    pub needs: Obstacle,
    /// How it would be decided then.
    pub how: String,
}

/// What a scenario does not have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// The objects and tools of a cluster.
    Cluster,
    /// A real istiod over time.
    ControlPlane,
    /// Real interception.
    Interception,
    /// The kernel's view of connections.
    KernelWitness,
    /// Requests that are mirrored.
    Mirroring,
    /// Texts of logs, which are decided by recordings.
    LogTexts,
    /// Printed code.
    Code,
    /// Dates, threads and release notes.
    Record,
    /// Data that the document does not give.
    Data,
    /// Another product.
    OtherProduct,
}

impl Claim {
    /// Phases that bear on it; empty for a claim that no scenario can decide.
    #[must_use]
    pub fn evidence(&self) -> &[Piece] {
        match &self.grounds {
            Grounds::Evidence(pieces) => pieces,
            Grounds::Untested(_) => &[],
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::True => "true",
            Self::Partly => "partly",
            Self::False => "false",
            Self::Unverifiable => "unverifiable",
            Self::Broken => "broken",
        })
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Runbook => "runbook",
            Self::Postmortem => "postmortem",
        })
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cluster => "it is about objects and tools of a cluster",
            Self::ControlPlane => "it needs a real istiod",
            Self::Interception => "it needs real interception",
            Self::KernelWitness => "it needs the kernel's view of connections",
            Self::Mirroring => "it needs mirrored requests",
            Self::LogTexts => "it is about texts of logs, which recordings decide",
            Self::Code => "it is about printed code, which no call can try",
            Self::Record => "it is about dates, threads and release notes",
            Self::Data => "it gives no data to hold a measurement against",
            Self::OtherProduct => "it is about another product",
        })
    }
}
