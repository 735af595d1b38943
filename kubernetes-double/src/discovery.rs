//! What the server says of itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::kinds::Kind;

/// The answer about a path that is no resource; `None`: it is none of discovery's.
pub(crate) fn discover(path: &str, kinds: &[Kind], release: &str) -> Option<Answer> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(Answer::ok(version(release))),
        ["api"] => Some(Answer::ok(json!({"kind": "APIVersions", "versions": ["v1"]}))),
        ["apis"] => Some(Answer::ok(groups(kinds))),
        ["api", version] => resources(kinds, "", version),
        ["apis", group, version] => resources(kinds, group, version),
        ["healthz" | "livez" | "readyz"] => Some(Answer::text("ok")),
        _ => None,
    }
}

fn version(release: &str) -> Value {
    let mut numbers = release.trim_start_matches('v').split('.');
    json!({"major": numbers.next(), "minor": numbers.next(), "gitVersion": release, "platform": "linux/amd64"})
}

fn groups(kinds: &[Kind]) -> Value {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in kinds.iter().filter(|it| !it.group.is_empty()) {
        let versions = groups.entry(&kind.group).or_default();
        for version in &kind.versions {
            if !versions.contains(&version.as_str()) {
                versions.push(version);
            }
        }
    }
    let groups = groups.into_iter().map(|(group, versions)| {
        let named =
            |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
        json!({
            "name": group,
            "versions": versions.iter().map(named).collect::<Vec<Value>>(),
            "preferredVersion": versions.first().map(named),
        })
    });
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<Value>>()})
}

fn resources(kinds: &[Kind], group: &str, version: &str) -> Option<Answer> {
    let of_it = kinds
        .iter()
        .filter(|it| it.group == group && it.versions.iter().any(|served| served == version));
    let resources: Vec<Value> = of_it
        .map(|it| {
            json!({
                "name": it.plural, "singularName": "", "namespaced": it.is_namespaced, "kind": it.kind,
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            })
        })
        .collect();
    let version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    (!resources.is_empty()).then(|| {
        Answer::ok(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources,
        }))
    })
}
