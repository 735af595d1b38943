//! Watching: what happens to objects, as it happens.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::answer::watch_expired;
use crate::double::Shared;
use crate::objects::at_version;
use crate::read::selects;
use crate::request::Asked;

/// How long a watch lasts that does not say so.
const LONGEST: Duration = Duration::from_secs(300);

type Lines = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// Sends events until the time is over, the server stops, or nobody listens.
pub(crate) async fn watch(shared: Arc<Shared>, asked: Asked, lines: Lines) {
    let seconds = asked.query.get("timeoutSeconds").and_then(|it| it.parse().ok());
    let lasts = seconds.map_or(LONGEST, Duration::from_secs);
    // The end of a watch is no error: the client asks again.
    let _ = tokio::time::timeout(lasts, events(&shared, &asked, &lines)).await;
}

async fn events(shared: &Shared, asked: &Asked, lines: &Lines) -> Option<()> {
    let mut changed = shared.changed.subscribe();
    let (first, mut seen) = beginning(shared, asked);
    for event in first {
        send(lines, &event).await?;
    }
    let mut seen = seen.take()?;
    loop {
        let (events, now): (Vec<Value>, u64) = {
            let state = shared.state();
            if seen < state.objects.forgotten() {
                (vec![watch_expired(seen, state.objects.forgotten())], u64::MAX)
            } else {
                let new = state.objects.events_after(seen).filter(|it| {
                    it.key.group == asked.kind.group
                        && it.key.plural == asked.kind.plural
                        && asked
                            .namespace
                            .as_ref()
                            .is_none_or(|place| it.key.namespace == *place)
                        && selects(asked, &it.key, &it.value)
                });
                let new = new.map(|it| event(it.kind, &it.value, asked));
                (new.collect(), state.objects.version())
            }
        };
        for event in events {
            send(lines, &event).await?;
        }
        if now == u64::MAX {
            return None;
        }
        seen = now;
        tokio::select! {
            changed = changed.changed() => changed.ok()?,
            () = lines.closed() => return None,
        }
    }
}

/// What a watch begins with, and the version that it has seen then; `None`: it is over.
fn beginning(shared: &Shared, asked: &Asked) -> (Vec<Value>, Option<u64>) {
    let state = shared.state();
    let query = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
    let version: Option<u64> = query("resourceVersion").parse().ok().filter(|it| *it > 0);
    let now = state.objects.version();
    let wants_all = query("sendInitialEvents") == "true" || version.is_none();
    if wants_all {
        let there = state.objects.of(&asked.kind, asked.namespace.as_deref());
        let mut events: Vec<Value> = there
            .filter(|(key, value)| selects(asked, key, value))
            .map(|(_, value)| event("ADDED", value, asked))
            .collect();
        if query("sendInitialEvents") == "true" {
            events.push(bookmark(asked, now));
        }
        return (events, Some(now));
    }
    match version {
        Some(version) if version < state.objects.forgotten() => {
            (vec![watch_expired(version, state.objects.forgotten())], None)
        }
        version => (Vec::new(), version),
    }
}

fn event(kind: &str, value: &Value, asked: &Asked) -> Value {
    json!({"type": kind, "object": at_version(value, &asked.kind, &asked.version)})
}

fn bookmark(asked: &Asked, version: u64) -> Value {
    json!({"type": "BOOKMARK", "object": {
        "apiVersion": asked.kind.api_version(&asked.version), "kind": asked.kind.kind,
        "metadata": {
            "annotations": {"k8s.io/initial-events-end": "true"},
            "resourceVersion": version.to_string(),
        },
    }})
}

async fn send(lines: &Lines, event: &Value) -> Option<()> {
    lines.send(Ok(Bytes::from(format!("{event}\n")))).await.ok()
}
