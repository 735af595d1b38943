//! What an audit found.

use std::fmt;
use std::path::PathBuf;

use jiff::civil::Date;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::rule::Category;
use crate::call::Call;
use crate::outcome::Outcome;
use crate::snapshot::Source;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Not what its author meant, without harm so far.
    Low,
    /// Breaks under circumstances.
    Medium,
    /// Breaks calls, now or with the upgrade.
    High,
}

/// Something wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// The rule or hazard, for example `policy.disable-to-strict`.
    pub code: String,
    /// The finding among all others, stable from run to run: the code, the object, and what of it.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// The object, `Kind/namespace/name`; absent where it is about the mesh.
    pub object: Option<String>,
    /// What is wrong, and what follows.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Where the rule comes from: `file@tag`, or a specification.
    pub source: String,
    /// Where the object was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// A line of a file.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Location {
    /// The file, as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
}

/// One line of the report: a rule, and how it ended.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// The rule's or hazard's code.
    pub code: String,
    /// Which part of the report it belongs to.
    pub category: Category,
    /// What is asserted.
    pub title: String,
    /// How it ended.
    pub status: Status,
    /// What it needs and the input does not hold, where it could not be decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing was found.
    Passed,
    /// The input does not hold what is needed to decide, and what it holds is in order.
    CannotTell,
    /// Something was found.
    Found,
}

/// A call that fails, or whose outcome the upgrade changes: one for many that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskyCall {
    /// One of the calls.
    pub call: Call,
    /// How many are like it.
    pub alike: usize,
    /// What becomes of it at the current release.
    pub now: Outcome,
    /// What becomes of it at the target release.
    pub then: Outcome,
    /// The findings that it belongs to, by id.
    pub findings: Vec<String>,
}

/// A risky call, made on real proxies of both releases.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// The findings that it belongs to, by id.
    pub findings: Vec<String>,
    /// The call.
    pub call: Call,
    /// What became of it at the current release.
    pub now: Outcome,
    /// What became of it at the target release.
    pub then: Outcome,
    /// Whether both are what was predicted.
    pub confirmed: bool,
    /// The scenario that makes it again.
    pub scenario: PathBuf,
}

/// A finding that the owner of the mesh has accepted.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Accepted {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why it is accepted.
    pub reason: String,
    /// Until when, if that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

/// The result of an audit.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The release the mesh is at.
    pub current: Version,
    /// How the current release is known, where nobody said it.
    pub current_from: Option<String>,
    /// The release it is to go to.
    pub target: Version,
    /// Every rule, in the order of the categories.
    pub checks: Vec<Check>,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// What is accepted.
    pub accepted: Vec<Accepted>,
    /// Calls that fail or change.
    pub calls: Vec<RiskyCall>,
    /// Those of them that were made on real proxies.
    pub replayed: Vec<Replayed>,
    /// What could not be read or predicted: with any, the report is incomplete.
    pub incomplete: Vec<String>,
    /// What the reader must know about the whole: entries of the baseline that accept nothing, say.
    pub notes: Vec<String>,
}

impl Report {
    /// How to go back, in a sentence.
    #[must_use]
    pub fn rollback(&self) -> String {
        let (current, target) = (&self.current, &self.target);
        if (current.major, current.minor) == (target.major, target.minor) {
            return format!("a patch goes back as it came: istiod to {current}, then restart workloads");
        }
        format!(
            "restart workloads on {current} proxies first (a proxy must not be ahead of istiod), then istiod to {current}; \
             keep the {current} revision installed until the upgrade has proven itself"
        )
    }

    /// The greatest severity found, leaving out what is accepted.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|it| it.severity).max()
    }
}

impl Severity {
    /// From the worst.
    pub const ALL: [Self; 4] = [Self::High, Self::Medium, Self::Low, Self::Info];

    /// As in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Location {
    /// Where an object was written; nothing where that is not known.
    pub(super) fn of(source: &Source) -> Option<Self> {
        (!source.file.is_empty()).then(|| Self {
            file: source.file.clone(),
            line: source.line,
        })
    }
}
