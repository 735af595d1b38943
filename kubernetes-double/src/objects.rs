//! The objects, their history, and who owns which of their fields.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::kinds::Kind;

/// How an object is found.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// API group; empty for the core.
    pub group: String,
    /// `pods`.
    pub plural: String,
    /// Empty for objects that are in no namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An object and its field managers.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) value: Value,
    /// The leaves that each manager applied.
    pub(crate) owners: BTreeMap<String, BTreeSet<Vec<String>>>,
}

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    /// `ADDED`, `MODIFIED`, or `DELETED`.
    pub(crate) kind: &'static str,
    pub(crate) key: Key,
    pub(crate) value: Value,
}

/// All objects, each change numbered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    kept: BTreeMap<Key, Kept>,
    events: Vec<Event>,
    version: u64,
    /// What happened up to here is forgotten.
    forgotten: u64,
    names: u64,
}

impl Key {
    pub(crate) fn new(kind: &Kind, namespace: Option<&str>, name: &str) -> Self {
        let namespace = namespace.filter(|_| kind.is_namespaced).unwrap_or_default();
        Self {
            group: kind.group.clone(),
            plural: kind.plural.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Objects {
    pub(crate) fn get(&self, key: &Key) -> Option<&Kept> {
        self.kept.get(key)
    }

    /// Those of a kind, of one namespace or of all, in the order of their keys.
    pub(crate) fn of(&self, kind: &Kind, namespace: Option<&str>) -> impl Iterator<Item = (&Key, &Value)> {
        self.kept
            .iter()
            .filter(move |(key, _)| {
                key.group == kind.group
                    && key.plural == kind.plural
                    && namespace.is_none_or(|it| key.namespace == it)
            })
            .map(|(key, kept)| (key, &kept.value))
    }

    /// Every object, whatever it is.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.kept.iter().map(|(key, kept)| (key, &kept.value))
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(crate) fn forget(&mut self) {
        // Something must have happened since, or nothing would be too old.
        self.version += 1;
        self.forgotten = self.version;
        self.events.clear();
    }

    pub(crate) fn events_after(&self, version: u64) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |it| it.version > version)
    }

    /// Creates or replaces, and gives the object what a server gives it.
    pub(crate) fn put(
        &mut self,
        key: Key,
        mut value: Value,
        owners: BTreeMap<String, BTreeSet<Vec<String>>>,
    ) -> Value {
        self.version += 1;
        let old = self.kept.get(&key);
        let was_there = old.is_some();
        let old_metadata =
            |field: &str| old.and_then(|it| it.value.pointer(&format!("/metadata/{field}")).cloned());
        let uid = old_metadata("uid")
            .unwrap_or_else(|| format!("00000000-0000-4000-8000-{:012}", self.version).into());
        let created = old_metadata("creationTimestamp").unwrap_or_else(|| created(self.version).into());
        value["metadata"]["name"] = key.name.as_str().into();
        if !key.namespace.is_empty() {
            value["metadata"]["namespace"] = key.namespace.as_str().into();
        }
        let metadata = &mut value["metadata"];
        // A test may say how old an object is.
        for (field, default) in [("uid", uid), ("creationTimestamp", created)] {
            if metadata[field].is_null() {
                metadata[field] = default;
            }
        }
        metadata["resourceVersion"] = self.version.to_string().into();
        self.events.push(Event {
            version: self.version,
            kind: if was_there { "MODIFIED" } else { "ADDED" },
            key: key.clone(),
            value: value.clone(),
        });
        self.kept.insert(
            key,
            Kept {
                value: value.clone(),
                owners,
            },
        );
        value
    }

    /// Removes an object, and with a namespace all that is in it. One that has finalizers only begins to go.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Value> {
        let kept = self.kept.get(key)?;
        let finalizers = kept
            .value
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array);
        if finalizers.is_some_and(|it| !it.is_empty()) {
            let (mut value, owners) = (kept.value.clone(), kept.owners.clone());
            value["metadata"]["deletionTimestamp"] = created(self.version + 1).into();
            return Some(self.put(key.clone(), value, owners));
        }
        if (key.group.as_str(), key.plural.as_str()) == ("", "namespaces") {
            let within: Vec<Key> = self
                .kept
                .keys()
                .filter(|it| it.namespace == key.name)
                .cloned()
                .collect();
            for it in within {
                self.forget_object(&it);
            }
        }
        self.forget_object(key)
    }

    /// A name that begins with a prefix.
    pub(crate) fn generate(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{:05}", self.names)
    }

    fn forget_object(&mut self, key: &Key) -> Option<Value> {
        let mut value = self.kept.remove(key)?.value;
        self.version += 1;
        value["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.events.push(Event {
            version: self.version,
            kind: "DELETED",
            key: key.clone(),
            value: value.clone(),
        });
        Some(value)
    }
}

/// A time for each change, one second after the other: what is older has a smaller number.
fn created(version: u64) -> String {
    let (hours, minutes, seconds) = (version / 3600 % 24, version / 60 % 60, version % 60);
    format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}Z")
}

/// An object as a version of its kind.
pub(crate) fn at_version(value: &Value, kind: &Kind, version: &str) -> Value {
    let mut value = value.clone();
    value["apiVersion"] = kind.api_version(version).into();
    value["kind"] = kind.kind.as_str().into();
    value
}

/// A list of objects.
pub(crate) fn list(kind: &Kind, version: &str, items: Vec<Value>, metadata: Value) -> Value {
    // Items of a list do not say what they are.
    let bare = items.into_iter().map(|mut it| {
        if let Some(fields) = it.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        it
    });
    json!({
        "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(version),
        "metadata": metadata, "items": bare.collect::<Vec<Value>>(),
    })
}
