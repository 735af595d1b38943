//! Logs of containers: what there is, or as it comes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::answer::{Answer, Body};
use crate::double::{Cut, Shared, State};
use crate::read;
use crate::request::Asked;

/// As far as seconds: what `sinceTime` is compared by.
const SECONDS: usize = "2026-11-22T04:50:42".len();

type Chunks = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// What a container has logged so far.
pub(crate) fn log(state: &State, asked: &Asked) -> Answer {
    let pod = Asked {
        subresource: None,
        ..asked.clone()
    };
    let found = read::get(&state.objects, &pod);
    if found.code != 200 {
        return found;
    }
    let container = asked.query.get("container").map(String::as_str);
    match state.logs.get(&key(asked)) {
        Some(text) => Answer::text(&as_asked(text, asked)),
        None if has_started(&found, container) => Answer::text(""),
        None => Answer::bad_request(&format!(
            "container \"{}\" in pod \"{}\" is waiting to start: ContainerCreating",
            container.unwrap_or_default(),
            asked.name.as_deref().unwrap_or_default(),
        )),
    }
}

/// Whether the status of a pod says that a container of this name runs or ran.
fn has_started(pod: &Answer, container: Option<&str>) -> bool {
    let Body::Json(pod) = &pod.body else { return false };
    [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ]
    .iter()
    .filter_map(|list| pod["status"][list].as_array())
    .flatten()
    .filter(|it| container.is_none_or(|name| it["name"] == name))
    .any(|it| it["state"]["waiting"].is_null() && !it["state"].is_null())
}

/// Sends what a container has logged, and what it logs from then on: until its pod is gone, its log is another, nobody
/// listens, or the connection is cut.
pub(crate) async fn follow(shared: Arc<Shared>, asked: Asked, chunks: Chunks) {
    let mut changed = shared.changed.subscribe();
    let mut told = String::new();
    loop {
        let (answer, whole, cut) = {
            let state = shared.state();
            let whole = state.logs.get(&key(&asked)).cloned().unwrap_or_default();
            (log(&state, &asked), whole, state.cut)
        };
        let new = whole.strip_prefix(&told).map(|new| as_asked(new, &asked));
        let (200, Body::Text(_), Some(new)) = (answer.code, answer.body, new) else {
            return;
        };
        let new = match cut {
            Cut::Silent => String::new(),
            Cut::After(0) | Cut::MidwayAfter(0) => new.chars().take(new.chars().count() / 2).collect(),
            _ => new,
        };
        if !new.is_empty() && chunks.send(Ok(Bytes::from(new))).await.is_err() {
            return;
        }
        match cut {
            Cut::Silent => {}
            Cut::After(0) | Cut::MidwayAfter(0) => {
                let _ = chunks.send(Err(std::io::Error::other("cut midway"))).await;
                return;
            }
            _ => told = whole,
        }
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { return },
            () = chunks.closed() => return,
        }
    }
}

/// The time of the line of this number among all.
pub(crate) fn time(number: u64) -> String {
    let (seconds, millis) = (number / 1000, number % 1000);
    let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}000000Z")
}

fn key(asked: &Asked) -> (String, String, Option<String>) {
    (
        asked.namespace.clone().unwrap_or_default(),
        asked.name.clone().unwrap_or_default(),
        asked.query.get("container").cloned(),
    )
}

/// The lines from `sinceTime` on, in whole seconds as a kubelet counts, with their stamps if asked for.
fn as_asked(text: &str, asked: &Asked) -> String {
    let since = asked.query.get("sinceTime").map(|it| seconds(it).to_owned());
    let is_stamped = asked.query.get("timestamps").is_some_and(|it| it == "true");
    text.split_inclusive('\n')
        .filter(|line| since.as_deref().is_none_or(|since| seconds(line) >= since))
        .map(|line| match line.split_once(' ') {
            Some((_, line)) if !is_stamped => line,
            _ => line,
        })
        .collect()
}

fn seconds(stamp: &str) -> &str {
    stamp.get(..SECONDS).unwrap_or(stamp)
}
