//! What of a scenario file could be read: each entry by itself, so that a mistake in one hides none in another.

use semver::Version;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::format::Expectation;
use crate::fault::{Fault, Restart, Rotation};

/// A scenario file with gaps where it has mistakes.
pub(super) struct Draft {
    pub(super) name: Option<String>,
    pub(super) istio: Option<String>,
    pub(super) release: Option<Version>,
    pub(super) manifests: Entries<String>,
    pub(super) phases: Vec<PhaseDraft>,
}

/// A phase with gaps.
pub(super) struct PhaseDraft {
    pub(super) name: Option<String>,
    pub(super) delete: Entries<String>,
    pub(super) manifests: Entries<String>,
    pub(super) apply: Entries<Value>,
    pub(super) heal: Entries<String>,
    pub(super) inject: Entries<Fault>,
    pub(super) rotate: Entries<Rotation>,
    pub(super) restart: Entries<Restart>,
    pub(super) expect: Entries<Expectation>,
}

/// The entries of a list that could be read, each with its place in the list.
pub(super) struct Entries<T> {
    pub(super) read: Vec<(usize, T)>,
    /// Whether there are others: then nothing can be said about the list as a whole.
    pub(super) gaps: bool,
}

impl Draft {
    pub(super) fn of(file: &Value) -> Self {
        let spec = &file["spec"];
        let istio = text(&spec["istio"]);
        Self {
            name: text(&file["metadata"]["name"]),
            release: istio.as_deref().and_then(|written| Version::parse(written).ok()),
            istio,
            manifests: Entries::of(&spec["manifests"]),
            phases: spec["phases"]
                .as_array()
                .into_iter()
                .flatten()
                .map(PhaseDraft::of)
                .collect(),
        }
    }

    /// Whether a phase's expectations or faults have gaps: then nothing can be said about what a scenario lacks.
    pub(super) fn has_gaps(&self) -> bool {
        self.phases
            .iter()
            .any(|phase| phase.expect.gaps || phase.inject.gaps || phase.heal.gaps)
    }
}

impl PhaseDraft {
    fn of(phase: &Value) -> Self {
        Self {
            name: text(&phase["name"]),
            delete: Entries::of(&phase["delete"]),
            manifests: Entries::of(&phase["manifests"]),
            apply: Entries::of(&phase["apply"]),
            heal: Entries::of(&phase["heal"]),
            inject: Entries::of(&phase["inject"]),
            rotate: Entries::one_or_many(&phase["rotate"]),
            restart: Entries::one_or_many(&phase["restart"]),
            expect: Entries::of(&phase["expect"]),
        }
    }

    /// Whether it does anything, as far as could be read.
    pub(super) fn does_something(&self) -> bool {
        let objects = self.delete.is_given() || self.manifests.is_given() || self.apply.is_given();
        let certificates = self.heal.is_given() || self.inject.is_given() || self.rotate.is_given();
        objects || certificates || self.restart.is_given()
    }
}

impl<T: DeserializeOwned> Entries<T> {
    /// Of a value that may stand alone or in a list.
    fn one_or_many(given: &Value) -> Self {
        match given {
            Value::Object(_) => Self::of(&Value::Array(vec![given.clone()])),
            other => Self::of(other),
        }
    }

    fn of(list: &Value) -> Self {
        let one = std::slice::from_ref(list);
        let (items, absent) = match list {
            Value::Null => (&[][..], false),
            Value::Array(items) => (items.as_slice(), false),
            Value::String(_) => (one, false),
            _ => (&[][..], true),
        };
        let read: Vec<(usize, T)> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Some((index, serde_json::from_value(item.clone()).ok()?)))
            .collect();
        Self {
            gaps: absent || read.len() < items.len(),
            read,
        }
    }
}

impl<T> Entries<T> {
    fn is_given(&self) -> bool {
        self.gaps || !self.read.is_empty()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.read.iter().map(|(_, value)| value)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
