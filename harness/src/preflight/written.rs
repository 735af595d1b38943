//! A risky call as a scenario that anybody can run.

use std::path::{Path, PathBuf};

use semver::Version;
use serde_json::Value;

use super::{ReplayError, at};
use crate::audit::{Report, RiskyCall};
use crate::call::{Call, CallKind, Destination};
use crate::fault::Conditions;
use crate::istio::{Topology, predict};
use crate::outcome::Outcome;
use crate::scenario::Expectation;
use crate::scenario::format::When;
use crate::snapshot::{Object, Snapshot, Stored, to_yaml};

/// A scenario and the manifest beside it.
pub(super) struct Written {
    name: String,
    scenario: String,
    manifest: String,
}

/// Without policies something is delivered; with them the call ends as predicted, at either release.
pub(super) fn scenario(
    name: &str,
    least: &Snapshot,
    risky: &RiskyCall,
    report: &Report,
) -> Result<Written, ReplayError> {
    let is_policy = |it: &&Stored| {
        matches!(
            it.object,
            Object::DestinationRule(_) | Object::PeerAuthentication(_) | Object::VirtualService(_)
        )
    };
    let mut stored: Vec<&Stored> = least.objects().map(|(_, stored)| stored).collect();
    stored.sort_by_key(|it| it.age);
    let (policies, base): (Vec<&Stored>, Vec<&Stored>) = stored.into_iter().partition(is_policy);
    let mut without = Snapshot::new(report.current.clone());
    without.mesh = least.mesh.clone();
    for it in &base {
        without.apply_from(it.object.clone(), it.source.clone());
    }
    let control = delivered(&at(&without, &report.current), risky);
    let apply = policies
        .iter()
        .map(|it| manifest(it))
        .collect::<Result<Vec<Value>, _>>()?;
    let mut phases = Vec::new();
    if let Some((call, outcome)) = control {
        phases.push(
            serde_json::json!({"name": "control", "expect": [value(&Expectation::of(&call, &outcome))?]}),
        );
    }
    let with_releases = expectations(least, risky, report);
    let with_releases = with_releases.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    phases.push(serde_json::json!({"name": "risky", "apply": apply, "expect": with_releases}));
    let file = serde_json::json!({
        "apiVersion": "meshproof.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {
            "name": name,
            "title": match risky.now.agrees_with(&risky.then) {
                true => format!("Ends as {}", risky.now),
                false => format!("Ends as {}, then as {}", risky.now, risky.then),
            },
            "description": format!(
                "Found by preflight from {} to {} ({}). Run it with --istio {} too.",
                report.current, report.target, risky.findings.join(", "), report.target
            ),
            "tags": ["preflight"],
        },
        "spec": {
            "istio": report.current.to_string(),
            "manifests": [format!("./{name}.mesh.yaml")],
            "phases": phases,
        },
    });
    let documents = base
        .iter()
        .map(|it| yaml(&manifest(it)?))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Written {
        name: name.to_owned(),
        scenario: yaml(&file)?,
        manifest: documents.join("---\n"),
    })
}

impl Written {
    /// Writes both files; the path of the scenario.
    pub(super) fn write(&self, folder: &Path) -> Result<PathBuf, ReplayError> {
        let write = |name: String, text: &str| {
            let path = folder.join(name);
            let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
            written
                .map(|()| path.clone())
                .map_err(|source| ReplayError::Write {
                    path: path.display().to_string(),
                    source,
                })
        };
        write(format!("{}.mesh.yaml", self.name), &self.manifest)?;
        write(format!("{}.yaml", self.name), &self.scenario)
    }
}

/// One expectation where both releases agree, else one for each, told apart by the sidecar that follows the release.
fn expectations(least: &Snapshot, risky: &RiskyCall, report: &Report) -> Vec<Expectation> {
    if risky.now.agrees_with(&risky.then) {
        return vec![Expectation::of(&risky.call, &risky.now)];
    }
    let topology = at(least, &report.current);
    let follows = |release: Option<&Version>| release == Some(&report.current);
    let client = topology.workloads.get(&risky.call.from);
    let by_client = follows(client.and_then(|it| it.proxy_release()));
    let when = |bound: String| When {
        client: by_client.then(|| bound.clone()),
        server: (!by_client).then_some(bound),
        ..When::default()
    };
    let at = |outcome: &Outcome, bound: String| Expectation {
        when: Some(when(bound)),
        ..Expectation::of(&risky.call, outcome)
    };
    vec![
        at(&risky.now, format!("<{}", report.target)),
        at(&risky.then, format!(">={}", report.target)),
    ]
}

/// The call itself if it is delivered without policies, else plaintext straight at a pod.
fn delivered(topology: &Topology, risky: &RiskyCall) -> Option<(Call, Outcome)> {
    let straight = topology.workloads.iter().map(|(server, workload)| Call {
        kind: CallKind::RawPlaintext,
        endpoint: None,
        to: Destination::Pod {
            pod: server.pod(0),
            port: workload.container_ports.first().copied().unwrap_or(8080),
        },
        ..risky.call.clone()
    });
    let outcome = |call: &Call| predict(topology, &Conditions::default(), call).outcome;
    std::iter::once(risky.call.clone())
        .chain(straight)
        .map(|call| (outcome(&call), call))
        .find_map(|(outcome, call)| outcome.id.is_delivered().then_some((call, outcome)))
}

fn manifest(stored: &Stored) -> Result<Value, ReplayError> {
    stored
        .object
        .to_manifest()
        .map_err(|error| ReplayError::Scenario(error.to_string()))
}

fn value(expectation: &Expectation) -> Result<Value, ReplayError> {
    serde_json::to_value(expectation).map_err(|error| ReplayError::Scenario(error.to_string()))
}

fn yaml(value: &Value) -> Result<String, ReplayError> {
    to_yaml(value).map_err(ReplayError::Scenario)
}
