//! What is said about references that lead nowhere, and about objects that cannot be read.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, SourceText};
use crate::istio::Topology;
use crate::istio::address::AddressError;
use crate::reference::{ReferenceError, most_similar};
use crate::snapshot::YamlError;

/// A name that means no single workload.
pub(super) fn reference(mistake: Diagnostic, error: &ReferenceError, topology: &Topology) -> Diagnostic {
    match error {
        ReferenceError::Unknown { similar, .. } => {
            let mistake = match similar {
                Some(name) => mistake.label(format!("did you mean `{name}`?")),
                None => mistake.label("unknown workload"),
            };
            mistake.help(match listed(topology.workloads.keys()) {
                Some(known) => format!("the manifests hold {known}"),
                None => "the manifests hold no workload".to_owned(),
            })
        }
        ReferenceError::Ambiguous { candidates, .. } => {
            let names: Vec<String> = candidates.iter().map(|w| format!("`{w}`")).collect();
            mistake
                .label("which one?")
                .help(format!("write {}", names.join(" or ")))
        }
    }
}

/// A destination that is none.
pub(super) fn address(mistake: Diagnostic, error: &AddressError, topology: &Topology) -> Diagnostic {
    match error {
        AddressError::Malformed(_) => mistake.label("expected a name and a port").help(
            "write `service:port`, `service.namespace:port`, `host.name:port`, \
             `pod/namespace/workload:port` or `*:port`",
        ),
        AddressError::NoService {
            instead: Some(instead),
            ..
        } => mistake.label(format!("did you mean `{instead}`?")),
        AddressError::NoService { .. } => {
            let known = listed(
                topology
                    .services
                    .keys()
                    .map(|(namespace, name)| format!("{name}.{namespace}")),
            );
            let mistake = mistake.label("unknown Service");
            mistake.maybe_help(known.map(|known| format!("the manifests hold {known}")))
        }
        AddressError::NoPort { ports, port, .. } => {
            let ports: Vec<String> = ports
                .iter()
                .map(|(port, name)| format!("{port} ({name})"))
                .collect();
            let mistake = mistake.label(format!("it has {}", ports.join(", ")));
            mistake.help(format!(
                "for a pod port that no Service declares write `pod/namespace/workload:{port}`"
            ))
        }
        AddressError::NoPod {
            similar: Some(name), ..
        } => mistake.label(format!("did you mean `{name}`?")),
        AddressError::NoPod { .. } => mistake.label("no workload of this name has such a pod"),
        AddressError::NoOrdinal { replicas: 1, .. } => mistake.label("it has one pod, number 0"),
        AddressError::NoOrdinal { replicas, .. } => {
            mistake.label(format!("it has {replicas} pods, counted from 0"))
        }
        AddressError::NothingMatches(_) => mistake.label("`*` stands for nothing here"),
    }
}

/// A mistake in a file of objects, marked to the end of the word it starts at.
pub(super) fn in_file(error: &YamlError, source: &Arc<SourceText>) -> Diagnostic {
    let line = source.line(error.line);
    let line_start = source
        .text
        .get(..line.start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at + 1);
    let whole = source.text.get(line_start..line.end).unwrap_or_default();
    let skipped: usize = whole
        .chars()
        .take(error.column.saturating_sub(1))
        .map(char::len_utf8)
        .sum();
    let start = line_start + skipped;
    let rest = source.text.get(start..line.end).unwrap_or_default();
    let word = rest
        .find(|c: char| c.is_whitespace() || ":,}]".contains(c))
        .unwrap_or(rest.len());
    let mistake = Diagnostic::at(source, start..start + word, error.message.clone());
    match meant(&error.message) {
        Some(word) => mistake.label(format!("did you mean `{word}`?")),
        None => mistake,
    }
}

/// The word that serde would have taken in the place of the one it refused, if one is near.
fn meant(message: &str) -> Option<String> {
    let (refused, known) = message
        .split_once(", expected one of ")
        .or_else(|| message.split_once(", expected "))?;
    let refused = refused.split('`').nth(1)?;
    most_similar(
        refused,
        known.split(',').map(|word| word.trim().trim_matches('`')),
    )
}

fn listed(names: impl Iterator<Item: std::fmt::Display>) -> Option<String> {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
