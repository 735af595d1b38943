//! One line, read: what it says in the words of outcomes.

use serde_json::{Map, Value};

use crate::outcome::OutcomeId;

use super::access::{Access, host};
use super::envelope::{Inner, Origin, unwrap};
use super::finding::{Connection, Finding, View};
use super::patterns::{About, Pattern, Patterns, Silence, Statement};

/// How much of a line is kept as a sample, bytes.
const SAMPLE: usize = 600;

/// What a suspect line turned out to be.
pub(super) enum Reading {
    /// It tells of a failure.
    Failure(Box<Finding>),
    /// A pattern names it, and it is no failure.
    Nothing(Silence),
    /// No pattern names it.
    Unnamed,
}

/// Reads a line. It may be of anything, in any state.
pub(super) fn read(patterns: &Patterns, line: &str, source: &str) -> Reading {
    let (origin, inner) = unwrap(line);
    let access = match &inner {
        Inner::Text(text) => Access::from_text(text),
        Inner::Json(map) => Access::from_json(map),
    };
    let component;
    let telling = match (&access, &inner) {
        (Some(access), _) => access.telling.as_str(),
        (None, Inner::Text(text)) => text.as_ref(),
        (None, Inner::Json(map)) => {
            component = of_component(map).unwrap_or_else(|| line.to_owned());
            component.as_str()
        }
    };
    let Some(pattern) = patterns.name(telling.as_bytes()) else {
        return Reading::Unnamed;
    };
    let view = access.as_ref().map_or(View::Component, Access::view);
    let has_server_name = access.as_ref().is_some_and(|it| it.server_name.is_some());
    match pattern.statement(view, has_server_name) {
        Statement::Nothing(silence) => Reading::Nothing(*silence),
        statement => {
            let time = match &access {
                Some(access) => access.time.clone(),
                None => time_of(telling),
            };
            let mut finding = named(pattern, statement, view);
            finding.time = time;
            finding.sample = sample(line);
            source.clone_into(&mut finding.source);
            place(&mut finding, access.as_ref(), origin, view);
            Reading::Failure(Box::new(finding))
        }
    }
}

fn named(pattern: &Pattern, statement: &Statement, view: View) -> Finding {
    let (outcome, candidates, by) = match statement {
        Statement::Failure {
            outcome,
            candidates,
            by,
        } => (*outcome, candidates.clone(), *by),
        Statement::Nothing(_) => (None, Vec::new(), None),
    };
    Finding {
        time: None,
        outcome: outcome.unwrap_or(OutcomeId::Unknown),
        side: by.and_then(|by| by.side(view)),
        candidates,
        about: pattern.about,
        view,
        layer: pattern.layer,
        upstream: None,
        namespace: None,
        workload: None,
        request_id: None,
        pattern: pattern.id.clone(),
        corroborated: 0,
        sample: String::new(),
        source: String::new(),
        connection: Connection::default(),
    }
}

/// Adds where it happened.
fn place(finding: &mut Finding, access: Option<&Access>, origin: Origin, view: View) {
    finding.namespace = origin.namespace;
    finding.workload = origin.pod;
    let Some(access) = access else { return };
    if access.is_behind_the_server() {
        // The server's proxy could not reach its own application: plaintext on the pod's loopback, no mTLS.
        finding.about = About::Other;
        finding.outcome = OutcomeId::Unknown;
        finding.candidates = vec![
            OutcomeId::ConnectionRefused,
            OutcomeId::ConnectionReset,
            OutcomeId::ProtocolMismatch,
        ];
        finding.side = None;
        return;
    }
    let own = match view {
        View::Client => &access.down_remote,
        _ => &access.down_local,
    };
    finding.workload = finding
        .workload
        .take()
        .or_else(|| own.as_deref().map(|it| host(it).to_owned()));
    match access.service() {
        Some((service, namespace)) => {
            finding.upstream = Some(service);
            finding.namespace = namespace.or(finding.namespace.take());
        }
        None => {
            let address = match view {
                View::Client => &access.up_host,
                _ => &access.down_local,
            };
            finding.upstream.clone_from(address);
        }
    }
    finding.request_id.clone_from(&access.request_id);
    finding.connection = access.connection(view);
}

/// A component's JSON line as its text would be: time, level, scope, message.
fn of_component(map: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| map.get(key).and_then(Value::as_str);
    let message = text("msg").or_else(|| text("message"))?;
    let part = |key: &str| text(key).unwrap_or_default();
    let error = text("error").map_or_else(String::new, |it| format!("\terror=\"{it}\""));
    let time = text("time")
        .or_else(|| text("timestamp"))
        .or_else(|| text("ts"))
        .unwrap_or_default();
    Some(format!(
        "{time}\t{}\t{}\t{message}{error}",
        part("level"),
        part("scope")
    ))
}

/// The time with which a component's line begins.
fn time_of(line: &str) -> Option<String> {
    let word = line.split(['\t', ' ']).next()?;
    word.parse::<jiff::Timestamp>().ok().map(|_| word.to_owned())
}

/// The line for people: shortened, and without the query of its path, which may hold what nobody should read.
fn sample(line: &str) -> String {
    let printable = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    let mut text = String::new();
    let mut in_query = false;
    for c in line.trim_end().chars() {
        if text.len() >= SAMPLE {
            text.push('…');
            break;
        }
        in_query = (in_query && !matches!(c, ' ' | '"' | '\\')) || c == '?';
        match c {
            '?' => text.push_str("?…"),
            _ if in_query => {}
            _ => text.push(printable(c)),
        }
    }
    text
}

#[cfg(test)]
mod tests;
