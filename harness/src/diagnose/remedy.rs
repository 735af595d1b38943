//! What to do about a cause: `manifests/remedies.yaml`, filled in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::change::Change;
use super::ends;
use crate::call::Call;
use crate::istio::Topology;
use crate::outcome::OutcomeId;
use crate::snapshot::ObjectRef;

const FILE: &str = "manifests/remedies.yaml";

/// Every remedy, in the order of the file.
#[derive(Clone, Debug)]
pub struct Remedies {
    entries: Vec<Entry>,
}

/// The remedies cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{FILE}: {0}")]
pub struct RemediesError(String);

/// What to do about one kind of cause.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The cause.
    pub cause: Cause,
    /// Only for these outcomes; none: for all.
    #[serde(default)]
    pub outcomes: Vec<OutcomeId>,
    /// What to do, in words.
    pub action: String,
    /// The commands that do it.
    pub commands: Vec<String>,
    /// The commands that undo it.
    pub rollback: Vec<String>,
    /// What of it a machine may do once somebody has said yes; absent where a person must.
    pub safe: Option<Safe>,
    /// The phase in which the catalogue shows that it helps.
    pub proven: Proof,
}

/// Why a machine may do it: it changes one object of policy, restarts nothing, and is undone by writing what was there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Safe {
    /// What it does to the object.
    pub edit: Edit,
    /// Why that is safe.
    pub because: String,
}

/// What is done to the object that is responsible.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// It is deleted.
    Delete,
    /// A DestinationRule has its clients speak mTLS, on all of its ports and to all of its subsets.
    Mutual,
}

/// A phase of a scenario.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The scenario.
    pub scenario: String,
    /// The phase in which calls go through again.
    pub phase: String,
}

/// What to do about one failure.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remedy {
    /// What to do, in words.
    pub action: String,
    /// The commands that do it. What they do not know is in capitals.
    pub commands: Vec<String>,
    /// The commands that undo it.
    pub rollback: Vec<String>,
    /// Whether `--apply` offers it.
    pub safe: bool,
    /// What `--apply` does to `object`, and why that is safe.
    #[serde(skip)]
    pub edit: Option<Safe>,
    /// The phase of the catalogue in which it was shown to help.
    pub proven: Proof,
    /// The object that it changes.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub object: Option<ObjectRef>,
    #[serde(skip)]
    pub(super) reproduced_by: Option<String>,
}

impl Remedies {
    /// The remedies that are built into meshproof.
    ///
    /// # Errors
    /// When the embedded file is invalid, which its test excludes.
    pub fn embedded() -> Result<&'static Self, RemediesError> {
        static REMEDIES: LazyLock<Result<Remedies, RemediesError>> =
            LazyLock::new(|| Remedies::parse(include_str!("../../../manifests/remedies.yaml")));
        REMEDIES.as_ref().map_err(Clone::clone)
    }

    fn parse(yaml: &str) -> Result<Self, RemediesError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            remedies: Vec<Entry>,
        }
        let file: File = serde_saphyr::from_str(yaml).map_err(|error| RemediesError(error.to_string()))?;
        Ok(Self {
            entries: file.remedies,
        })
    }

    /// Every remedy.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn remedy(
        &self,
        cause: Cause,
        outcome: OutcomeId,
        call: &Call,
        change: Option<&Change>,
        topology: &Topology,
    ) -> Option<Remedy> {
        let is_for = |it: &&Entry| it.cause == cause && it.outcomes.contains(&outcome);
        let of_all = |it: &&Entry| it.cause == cause && it.outcomes.is_empty();
        let entry = self
            .entries
            .iter()
            .find(is_for)
            .or_else(|| self.entries.iter().find(of_all))?;
        let object = change
            .map(|it| it.object(topology))
            .or_else(|| called(call, topology));
        let words = words(object.as_ref(), call, change);
        let fill = |texts: &[String]| texts.iter().map(|text| filled(text, &words)).collect();
        // What helps must be what the entry is about: a rule may be at fault in both ways.
        let edit = entry.safe.clone().filter(|safe| match safe.edit {
            Edit::Delete => matches!(change, Some(Change::Without(_))),
            Edit::Mutual => matches!(change, Some(Change::Mutual(_))),
        });
        Some(Remedy {
            action: filled(&entry.action, &words),
            commands: fill(&entry.commands),
            rollback: fill(&entry.rollback),
            safe: edit.is_some(),
            edit,
            reproduced_by: Some(entry.proven.scenario.clone()),
            proven: entry.proven.clone(),
            object,
        })
    }
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn as_text<S: serde::Serializer>(object: &Option<ObjectRef>, serializer: S) -> Result<S::Ok, S::Error> {
    match object {
        Some(object) => serializer.collect_str(object),
        None => serializer.serialize_none(),
    }
}

/// The workload that is called.
fn called(call: &Call, topology: &Topology) -> Option<ObjectRef> {
    let servers = ends::servers(topology, call);
    Some(topology.workloads.get(servers.first()?)?.object.clone())
}

fn words(object: Option<&ObjectRef>, call: &Call, change: Option<&Change>) -> BTreeMap<&'static str, String> {
    let mut words = BTreeMap::from([
        ("client", call.from.to_string()),
        ("port", call.to.port().to_string()),
    ]);
    if let Some(object) = object {
        words.insert("object", object.to_string());
        words.insert("kind", object.kind.to_lowercase());
        words.insert("name", object.name.clone());
        words.insert("namespace", object.namespace.clone().unwrap_or_default());
    }
    if let Some(Change::Alias(domain)) = change {
        words.insert("domain", domain.clone());
    }
    words
}

/// A text with what stands in braces replaced; what is not known stays, in capitals.
fn filled(text: &str, words: &BTreeMap<&'static str, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((word, behind)) = after.split_once('}').filter(|(it, _)| is_word(it)) else {
            filled.push_str(before);
            filled.push('{');
            rest = after;
            continue;
        };
        filled.push_str(before);
        match words.get(word) {
            Some(known) => filled.push_str(known),
            None => filled.push_str(&word.to_uppercase()),
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_filled_in_and_nothing_else_is_touched() {
        let words = BTreeMap::from([("name", "strict".to_owned())]);
        let text = r#"kubectl patch {kind} {name} -p '{"spec":{"mtls":null}}'"#;
        assert_eq!(
            filled(text, &words),
            r#"kubectl patch KIND strict -p '{"spec":{"mtls":null}}'"#
        );
    }
}
