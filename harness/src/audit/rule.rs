//! What a rule is, and how it tells what it found.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::calls::CallGroup;
use super::report::{Finding, Location, Severity};
use super::view::View;
use crate::snapshot::{ObjectRef, Source, Stored};

/// The parts of a report, in its order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each variant is the part it names")]
pub enum Category {
    Calls,
    Policy,
    Injection,
    Versions,
    Certificates,
    Hazards,
}

/// One thing that an audit looks for.
pub struct Rule {
    /// `category.what-is-wrong`.
    pub code: &'static str,
    /// The part of the report it belongs to.
    pub category: Category,
    /// How bad a finding is, at worst.
    pub severity: Severity,
    /// What holds where nothing is found.
    pub title: &'static str,
    /// What is wrong where something is, and what follows.
    pub explanation: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    pub(super) check: Check,
}

/// How a rule looks.
pub(super) enum Check {
    /// At the mesh.
    Mesh(fn(&View<'_>, &mut Findings<'_>)),
    /// At calls that fail: whether it is this rule that explains a group of them, and how bad that is. The first rule
    /// that does takes the group.
    Failing(fn(&CallGroup, &View<'_>) -> Option<Severity>),
}

/// Collects what one rule finds.
pub(super) struct Findings<'r> {
    rule: &'r Rule,
    pub(super) found: Vec<Finding>,
    pub(super) needs: BTreeSet<String>,
}

impl<'r> Findings<'r> {
    pub(super) const fn new(rule: &'r Rule) -> Self {
        Self {
            rule,
            found: Vec::new(),
            needs: BTreeSet::new(),
        }
    }

    /// Something wrong with an object.
    pub(super) fn at(
        &mut self,
        object: &ObjectRef,
        stored: &Stored,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.about(&object.to_string(), &stored.source, message)
    }

    /// Something wrong with what is called `object`.
    pub(super) fn about(
        &mut self,
        object: &str,
        source: &Source,
        message: impl Into<String>,
    ) -> &mut Finding {
        let finding = self.mesh(message);
        finding.id = format!("{}@{object}", finding.code);
        finding.object = Some(object.to_owned());
        finding.location = Location::of(source);
        finding
    }

    /// Something wrong with the mesh as a whole.
    pub(super) fn mesh(&mut self, message: impl Into<String>) -> &mut Finding {
        self.found.push(Finding {
            code: self.rule.code.to_owned(),
            id: self.rule.code.to_owned(),
            severity: self.rule.severity,
            object: None,
            message: message.into(),
            remedy: self.rule.remedy.to_owned(),
            source: self.rule.source.to_owned(),
            location: None,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// The rule cannot be decided without this.
    pub(super) fn needs(&mut self, what: impl Into<String>) {
        self.needs.insert(what.into());
    }
}

impl Finding {
    /// Tells two findings about one object apart.
    pub(super) fn detail(&mut self, what: impl fmt::Display) -> &mut Self {
        self.id = format!("{}#{what}", self.id);
        self
    }

    pub(super) const fn severity(&mut self, severity: Severity) -> &mut Self {
        self.severity = severity;
        self
    }

    pub(super) fn remedy(&mut self, remedy: impl Into<String>) -> &mut Self {
        self.remedy = remedy.into();
        self
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Calls => "calls",
            Self::Policy => "policy",
            Self::Injection => "injection",
            Self::Versions => "versions",
            Self::Certificates => "certificates",
            Self::Hazards => "hazards",
        })
    }
}
