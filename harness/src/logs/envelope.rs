//! What stands around a log line: prefixes of `kubectl logs`, `stern` and container runtimes, JSON of log shippers.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Which container wrote a line, as far as its wrapping tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Origin {
    pub(super) namespace: Option<String>,
    pub(super) pod: Option<String>,
}

/// A line without its wrapping.
pub(super) enum Inner<'a> {
    Text(Cow<'a, str>),
    Json(Map<String, Value>),
}

/// How many wrappings may be nested: a shipper's JSON around a runtime's prefix around a line.
const NESTED: usize = 4;

/// Takes the wrapping off.
pub(super) fn unwrap(line: &str) -> (Origin, Inner<'_>) {
    let mut origin = Origin::default();
    let mut inner = Inner::Text(without_colour(line));
    for _ in 0..NESTED {
        inner = match inner {
            Inner::Text(text) => {
                let rest = strip(&text, &mut origin);
                let json = rest
                    .strip_prefix('{')
                    .and_then(|_| serde_json::from_str(rest.trim_end()).ok());
                match json {
                    Some(map) => Inner::Json(map),
                    None if rest.len() == text.len() => return (origin, Inner::Text(text)),
                    None => Inner::Text(Cow::Owned(rest.to_owned())),
                }
            }
            Inner::Json(mut map) => match wrapped(&mut map, &mut origin) {
                Some(text) => Inner::Text(Cow::Owned(text)),
                None => return (origin, Inner::Json(map)),
            },
        };
    }
    (origin, inner)
}

/// The line in a shipper's JSON: of a container runtime (`log`, `stream`) or of stern (`message`, `podName`).
fn wrapped(map: &mut Map<String, Value>, origin: &mut Origin) -> Option<String> {
    let text = |map: &mut Map<String, Value>, key: &str| match map.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    if map.contains_key("stream") && map.contains_key("log") {
        return text(map, "log");
    }
    if map.contains_key("podName") && map.contains_key("message") {
        origin.namespace = text(map, "namespace");
        origin.pod = text(map, "podName");
        return text(map, "message");
    }
    None
}

/// The line without one prefix; as it is if it has none.
fn strip<'a>(line: &'a str, origin: &mut Origin) -> &'a str {
    // `kubectl logs --prefix`
    if let Some((inside, rest)) = line.strip_prefix("[pod/").and_then(|rest| rest.split_once("] ")) {
        origin.pod = inside.split('/').next().map(str::to_owned);
        return rest;
    }
    // `kubectl logs --timestamps`, and the runtime's own files
    if let Some(rest) = stamp(line).and_then(|length| line[length..].strip_prefix(' ')) {
        let runtime = ["stdout F ", "stderr F ", "stdout P ", "stderr P "];
        let bare = runtime.into_iter().find_map(|prefix| rest.strip_prefix(prefix));
        return bare.unwrap_or(rest);
    }
    if begins(line) {
        return line;
    }
    // `stern`: pod and container, or namespace before them
    let mut rest = line;
    let mut words = Vec::new();
    while words.len() < 3
        && let Some((word, after)) = rest.split_once(' ')
        && is_name(word)
    {
        words.push(word);
        rest = after;
        if !begins(rest) {
            continue;
        }
        match words[..] {
            [pod, _] => origin.pod = Some(pod.to_owned()),
            [namespace, pod, _] => {
                origin.namespace = Some(namespace.to_owned());
                origin.pod = Some(pod.to_owned());
            }
            _ => continue,
        }
        return rest;
    }
    line
}

/// Whether a proxy's line begins here.
fn begins(text: &str) -> bool {
    text.starts_with("[20") || text.starts_with('{') || stamp(text).is_some()
}

/// The length of a time of RFC 3339 at the start.
fn stamp(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|it| it.iter().all(u8::is_ascii_digit))
    };
    if !(digits(0..4) && bytes.get(4) == Some(&b'-') && digits(5..7) && bytes.get(10) == Some(&b'T')) {
        return None;
    }
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (end <= 40).then_some(end)
}

fn is_name(word: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (1..=253).contains(&word.len()) && word.bytes().all(fits)
}

/// The text without the escape sequences with which terminals are coloured.
fn without_colour(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split("\u{1b}[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part
            .find(|c: char| c.is_ascii_alphabetic())
            .map_or(0, |end| end + 1);
        plain.push_str(&part[end..]);
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests;
