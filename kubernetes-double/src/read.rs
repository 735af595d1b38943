//! Reading: one object, or pages of many.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::objects::{Key, Objects, at_version, list};
use crate::request::Asked;

pub(crate) fn get(objects: &Objects, asked: &Asked) -> Answer {
    let name = asked.name.clone().unwrap_or_default();
    let key = Key::new(&asked.kind, asked.namespace.as_deref(), &name);
    match objects.get(&key) {
        Some(kept) => Answer::ok(at_version(&kept.value, &asked.kind, &asked.version)),
        None => Answer::not_found(&asked.kind, &name),
    }
}

/// One page. The continue token says at which version the list began, and the last key of the page before it; a version of
/// -1 goes on without consistency.
pub(crate) fn page(objects: &Objects, asked: &Asked) -> Answer {
    let token = asked.query.get("continue").filter(|it| !it.is_empty());
    let (version, after) = match token.map(|it| it.split_once('/')) {
        None => (objects.version(), None),
        Some(Some((version, after))) => match version.parse::<i64>() {
            Ok(-1) => (objects.version(), Some(after.to_owned())),
            Ok(version) if version.unsigned_abs() < objects.forgotten() => {
                return Answer::continue_expired(&format!("-1/{after}"));
            }
            Ok(version) => (version.unsigned_abs(), Some(after.to_owned())),
            Err(_) => return Answer::bad_request("continue key is not valid"),
        },
        Some(None) => return Answer::bad_request("continue key is not valid"),
    };
    let limit = asked
        .query
        .get("limit")
        .and_then(|it| it.parse().ok())
        .filter(|it| *it > 0);
    let limit: usize = limit.unwrap_or(usize::MAX);
    let selected: Vec<(&Key, &Value)> = objects
        .of(&asked.kind, asked.namespace.as_deref())
        .filter(|(key, value)| selects(asked, key, value))
        .filter(|(key, _)| after.as_ref().is_none_or(|it| place(key) > *it))
        .collect();
    let remaining = selected.len().saturating_sub(limit);
    let page = &selected[..selected.len().min(limit)];
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some((last, _)) = page.last().filter(|_| remaining > 0) {
        metadata["continue"] = format!("{version}/{}", place(last)).into();
        metadata["remainingItemCount"] = remaining.into();
    }
    let items = page.iter().map(|(_, value)| (*value).clone()).collect();
    Answer::ok(list(&asked.kind, &asked.version, items, metadata))
}

/// Whether label and field selectors let an object through.
pub(crate) fn selects(asked: &Asked, key: &Key, value: &Value) -> bool {
    let query = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
    let is_selected = |selector: &str, of: &dyn Fn(&str) -> Option<String>| {
        selector.split(',').filter(|it| !it.is_empty()).all(|term| {
            if let Some((name, wanted)) = term.split_once("!=") {
                of(name).as_deref() != Some(wanted)
            } else if let Some((name, wanted)) = term.split_once('=') {
                of(name).as_deref() == Some(wanted.trim_start_matches('='))
            } else {
                of(term).is_some()
            }
        })
    };
    let label = |name: &str| value["metadata"]["labels"][name].as_str().map(str::to_owned);
    let field = |name: &str| match name {
        "metadata.name" => Some(key.name.clone()),
        "metadata.namespace" => Some(key.namespace.clone()),
        other => value
            .pointer(&format!("/{}", other.replace('.', "/")))
            .and_then(Value::as_str)
            .map(str::to_owned),
    };
    is_selected(query("labelSelector"), &label) && is_selected(query("fieldSelector"), &field)
}

fn place(key: &Key) -> String {
    format!("{}/{}", key.namespace, key.name)
}
