//! Writing: creation, replacement, patches, server-side apply, deletion.

use serde_json::{Value, json};

use crate::answer::{Answer, Body};
use crate::apply::{apply, merge};
use crate::double::State;
use crate::objects::{Kept, Key, at_version};
use crate::read::selects;
use crate::request::{Asked, Verb};

/// Carries out a request that changes something, or with `dryRun` answers as if it had.
pub(crate) fn write(state: &mut State, asked: &Asked, media_type: &str, body: &[u8]) -> Answer {
    if asked.query.get("dryRun").map(String::as_str) == Some("All") || is_dry_deletion(asked, body) {
        return state.tried(|state| carry_out(state, asked, media_type, body));
    }
    carry_out(state, asked, media_type, body)
}

/// Deletions say it in their options.
fn is_dry_deletion(asked: &Asked, body: &[u8]) -> bool {
    let options: Value = serde_saphyr::from_slice(body).unwrap_or_default();
    asked.verb == Verb::Delete && options["dryRun"][0] == "All"
}

fn carry_out(state: &mut State, asked: &Asked, media_type: &str, body: &[u8]) -> Answer {
    match asked.verb {
        Verb::Delete => return delete(state, asked, body),
        Verb::DeleteCollection => return delete_collection(state, asked),
        _ => {}
    }
    let Ok(sent) = serde_saphyr::from_slice::<Value>(body) else {
        return Answer::bad_request(
            "the object provided is unrecognized: couldn't get version/kind; json parse error",
        );
    };
    let told = sent.pointer("/metadata/name").and_then(Value::as_str);
    let name = match asked.name.as_deref().or(told) {
        Some(name) => name.to_owned(),
        None => match sent.pointer("/metadata/generateName").and_then(Value::as_str) {
            Some(prefix) => state.objects.generate(prefix),
            None => return Answer::bad_request("name or generateName is required"),
        },
    };
    let key = Key::new(&asked.kind, asked.namespace.as_deref(), &name);
    let namespace = asked.namespace.as_deref().filter(|_| asked.verb == Verb::Create);
    if let Some(namespace) = namespace.filter(|it| !state.has_namespace(it)) {
        let namespaces = state.kind("", "namespaces");
        return Answer::not_found(&namespaces, namespace);
    }
    let old = state.objects.get(&key).cloned();
    let place = asked.namespace.as_deref().filter(|_| old.is_none());
    if let Some(namespace) = place.filter(|it| state.is_terminating(it)) {
        return Answer::terminating(&asked.kind, &name, namespace);
    }
    match (asked.verb, old) {
        (Verb::Create, Some(_)) => Answer::already_exists(&asked.kind, &name),
        (Verb::Create, None) => created(state.put(key, sent), asked),
        (Verb::Update, None) => Answer::not_found(&asked.kind, &name),
        (Verb::Update, Some(old)) => update(state, asked, key, &old, sent),
        (_, old) => patch(state, asked, media_type, key, old, &sent),
    }
}

fn update(state: &mut State, asked: &Asked, key: Key, old: &Kept, sent: Value) -> Answer {
    let version = |value: &Value| value.pointer("/metadata/resourceVersion").cloned();
    if version(&sent).is_some_and(|it| Some(it) != version(&old.value)) {
        return Answer::stale(&asked.kind, &key.name);
    }
    let value = as_subresource(asked, &old.value, sent);
    ok(state.put(key, value), asked)
}

fn patch(
    state: &mut State,
    asked: &Asked,
    media_type: &str,
    key: Key,
    old: Option<Kept>,
    sent: &Value,
) -> Answer {
    match media_type {
        "application/apply-patch+yaml" => {
            let Some(manager) = asked.query.get("fieldManager") else {
                return Answer::bad_request("fieldManager is required for apply patch");
            };
            let is_forced = asked.query.get("force").map(String::as_str) == Some("true");
            let is_new = old.is_none();
            let before = old.as_ref().map(|it| (&it.value, &it.owners));
            match apply(before, sent, manager, is_forced) {
                Err(conflicts) => Answer::apply_conflict(&conflicts),
                Ok((value, owners)) => {
                    let value = state.put_owned(key, value, owners);
                    if is_new {
                        created(value, asked)
                    } else {
                        ok(value, asked)
                    }
                }
            }
        }
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            let Some(old) = old else {
                return Answer::not_found(&asked.kind, &key.name);
            };
            let mut value = old.value.clone();
            let mut sent = sent.clone();
            if media_type.contains("strategic") {
                keep_conditions(&value, &mut sent);
            }
            merge(&mut value, &sent, true);
            let value = as_subresource(asked, &old.value, value);
            ok(state.put(key, value), asked)
        }
        _ => Answer::media_type(),
    }
}

/// A strategic merge replaces those conditions of the status that are of a type it names.
fn keep_conditions(old: &Value, sent: &mut Value) {
    const CONDITIONS: &str = "/status/conditions";
    let Some(new) = sent.pointer_mut(CONDITIONS).and_then(Value::as_array_mut) else {
        return;
    };
    let named: Vec<Value> = new.iter().map(|it| it["type"].clone()).collect();
    let others = old.pointer(CONDITIONS).and_then(Value::as_array);
    let others = others
        .into_iter()
        .flatten()
        .filter(|it| !named.contains(&it["type"]));
    new.extend(others.cloned());
}

/// Status is changed by its subresource alone, and nothing else by it.
fn as_subresource(asked: &Asked, old: &Value, new: Value) -> Value {
    let status_of = |value: &Value| value.get("status").cloned();
    let (mut value, status) = match asked.subresource.as_deref() {
        Some("status") => (old.clone(), status_of(&new)),
        Some("ephemeralcontainers") => (with_ephemeral(old, &new), status_of(old)),
        _ => {
            let status = status_of(old).or_else(|| status_of(&new));
            (new, status)
        }
    };
    if let Some(status) = status {
        value["status"] = status;
    }
    value
}

/// Ephemeral containers are added, and never changed or taken away; those that a strategic merge does not name stay.
fn with_ephemeral(old: &Value, new: &Value) -> Value {
    const LIST: &str = "/spec/ephemeralContainers";
    let list = |of: &Value| {
        of.pointer(LIST)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut all = list(old);
    let known: Vec<Value> = all.iter().map(|it| it["name"].clone()).collect();
    all.extend(list(new).into_iter().filter(|it| !known.contains(&it["name"])));
    let mut value = old.clone();
    value["spec"]["ephemeralContainers"] = all.into();
    value
}

fn delete(state: &mut State, asked: &Asked, body: &[u8]) -> Answer {
    let name = asked.name.clone().unwrap_or_default();
    let key = Key::new(&asked.kind, asked.namespace.as_deref(), &name);
    let options: Value = serde_saphyr::from_slice(body).unwrap_or_default();
    let is_as_seen = |field: &str| {
        let wanted = options.pointer(&format!("/preconditions/{field}"));
        let kept = state.objects.get(&key);
        wanted.is_none() || wanted == kept.and_then(|it| it.value.pointer(&format!("/metadata/{field}")))
    };
    if state.objects.get(&key).is_some() && !(is_as_seen("uid") && is_as_seen("resourceVersion")) {
        return Answer::stale(&asked.kind, &name);
    }
    match state.take(&key) {
        None => Answer::not_found(&asked.kind, &name),
        Some(value) => ok(value, asked),
    }
}

fn delete_collection(state: &mut State, asked: &Asked) -> Answer {
    let selected = state.objects.of(&asked.kind, asked.namespace.as_deref());
    let keys: Vec<Key> = selected
        .filter(|(key, value)| selects(asked, key, value))
        .map(|(key, _)| key.clone())
        .collect();
    for key in keys {
        state.objects.remove(&key);
    }
    Answer::ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
}

fn ok(value: Value, asked: &Asked) -> Answer {
    Answer::ok(at_version(&value, &asked.kind, &asked.version))
}

fn created(value: Value, asked: &Asked) -> Answer {
    Answer {
        code: 201,
        body: Body::Json(at_version(&value, &asked.kind, &asked.version)),
    }
}
