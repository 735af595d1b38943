//! Server-side apply and merge patches.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

type Leaves = BTreeSet<Vec<String>>;
type Owners = BTreeMap<String, Leaves>;

/// What an apply makes of an object, and who owns its fields then; or the conflicts, as `(manager, field)`.
pub(crate) fn apply(
    old: Option<(&Value, &Owners)>,
    applied: &Value,
    manager: &str,
    is_forced: bool,
) -> Result<(Value, Owners), Vec<(String, String)>> {
    let mut wanted = Leaves::new();
    leaves(applied, &mut Vec::new(), &mut wanted);
    let (mut value, mut owners) = old.map_or_else(
        || (Value::Object(serde_json::Map::new()), Owners::new()),
        |(value, owners)| (value.clone(), owners.clone()),
    );
    let mut conflicts = Vec::new();
    for (other, owned) in &owners {
        let taken = owned
            .iter()
            .filter(|path| wanted.contains(*path) && other != manager);
        let changed = taken.filter(|path| at(&value, path) != at(applied, path));
        conflicts.extend(changed.map(|path| (other.clone(), format!(".{}", path.join(".")))));
    }
    if !conflicts.is_empty() && !is_forced {
        return Err(conflicts);
    }
    let before = owners
        .insert(manager.to_owned(), wanted.clone())
        .unwrap_or_default();
    for (other, owned) in &mut owners {
        if other != manager {
            owned.retain(|path| {
                !conflicts
                    .iter()
                    .any(|(_, field)| *field == format!(".{}", path.join(".")))
            });
        }
    }
    for path in before.difference(&wanted) {
        if !owners.values().any(|it| it.contains(path)) {
            remove(&mut value, path);
        }
    }
    merge(&mut value, applied, false);
    Ok((value, owners))
}

/// Merges a patch: with `removes`, null removes a field (RFC 7386).
pub(crate) fn merge(value: &mut Value, patch: &Value, removes: bool) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    for (key, patched) in patch {
        if patched.is_null() && removes {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), patched, removes);
        }
    }
}

/// Everything that is no map: lists are owned as a whole. What names the object belongs to nobody.
fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Leaves) {
    const NAMING: &[&[&str]] = &[
        &["apiVersion"],
        &["kind"],
        &["metadata", "name"],
        &["metadata", "namespace"],
    ];
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        _ if NAMING.iter().any(|it| it.iter().eq(path.iter())) => {}
        _ => {
            found.insert(path.clone());
        }
    }
}

fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn remove(value: &mut Value, path: &[String]) {
    if let Some((last, parents)) = path.split_last() {
        let parent = parents.iter().try_fold(value, |value, key| value.get_mut(key));
        if let Some(fields) = parent.and_then(Value::as_object_mut) {
            fields.remove(last);
        }
    }
}
