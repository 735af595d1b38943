//! A disagreement as a scenario that anybody can run.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::check::{Compared, Scene};
use super::run::ExploreError;
use crate::call::{Call, CallKind, Connections, Destination, Payload, WorkloadName};
use crate::istio::predict;
use crate::scenario::format::{ApiVersion, InlineObject, Kind, Metadata, Spec};
use crate::scenario::{Expectation, Phase, ScenarioFile, State};
use crate::snapshot;

/// A scenario that shows a disagreement, and the manifest it starts from.
#[derive(Clone, Debug, Serialize)]
pub struct Reproduction {
    /// The scenario's name.
    pub name: String,
    /// The scenario file. It expects what is predicted.
    pub scenario: String,
    /// The manifest beside it: namespaces, workloads, Services, mesh configuration.
    pub manifest: String,
}

impl Reproduction {
    pub(super) fn of(
        scene: &Scene<'_>,
        shown: &Compared,
        name: String,
        seed: u64,
        case: u32,
    ) -> Result<Self, ExploreError> {
        let base = scene.base();
        let mut documents = Vec::new();
        for object in &base {
            documents.push(text(object)?);
        }
        let predicted = &shown.predicted.outcome;
        let because: Vec<String> = shown
            .predicted
            .because
            .iter()
            .map(|step| match &step.object {
                Some(object) => format!("{} of {object}", step.rule),
                None => step.rule.to_string(),
            })
            .collect();
        let file = ScenarioFile {
            api_version: ApiVersion::V1Alpha1,
            kind: Kind::Scenario,
            metadata: Metadata {
                name: name.clone(),
                title: format!("Predicted {predicted}, observed {}", shown.observed),
                description: format!(
                    "Case {case} of seed {seed}, shrunk. The prediction rests on {}.",
                    because.join(", ")
                ),
                claims: Vec::new(),
                tags: vec!["explored".to_owned()],
            },
            spec: Spec {
                istio: scene.world.release.to_string(),
                needs: Vec::new(),
                manifests: vec![format!("./{name}.mesh.yaml")],
                phases: phases(scene, shown, &scene.state_of(&base)?),
            },
        };
        Ok(Self {
            scenario: text(&file)?,
            manifest: documents.join("---\n"),
            name,
        })
    }

    /// Writes both files into a folder and returns the path of the scenario.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(format!("{}.mesh.yaml", self.name)), &self.manifest)?;
        let path = folder.join(format!("{}.yaml", self.name));
        std::fs::write(&path, &self.scenario)?;
        Ok(path)
    }
}

/// Without policies and faults some call is delivered; with them, the call in question is made.
fn phases(scene: &Scene<'_>, shown: &Compared, control: &State) -> Vec<Phase> {
    let conditions = control.conditions();
    let delivered = candidates(shown, control).into_iter().find_map(|call| {
        let outcome = predict(&control.topology, &conditions, &call).outcome;
        outcome
            .id
            .is_delivered()
            .then(|| Expectation::of(&call, &outcome))
    });
    let empty = Phase {
        name: "control".to_owned(),
        delete: Vec::new(),
        manifests: Vec::new(),
        apply: Vec::new(),
        heal: None,
        inject: Vec::new(),
        rotate: Vec::new(),
        connections: Connections::Fresh,
        expect: delivered.into_iter().collect(),
    };
    let explored = Phase {
        name: "explored".to_owned(),
        apply: scene.policies().into_iter().map(InlineObject).collect(),
        inject: scene.faults(),
        expect: vec![Expectation::of(&shown.call, &shown.predicted.outcome)],
        ..empty.clone()
    };
    vec![empty, explored]
}

/// Calls of which one is delivered where there is no policy: the one in question, else plaintext to any pod.
fn candidates(shown: &Compared, control: &State) -> Vec<Call> {
    let caller = &shown.call.from;
    let plaintext = |server: &WorkloadName, port| Call {
        kind: CallKind::RawPlaintext,
        ..Call::app(
            caller.clone(),
            Destination::Pod {
                pod: server.pod(0),
                port,
            },
        )
    };
    let mut candidates = vec![shown.call.clone()];
    for (server, workload) in &control.topology.workloads {
        let port = workload.container_ports.first().copied().unwrap_or(8080);
        let call = plaintext(server, port);
        let line = Call {
            payload: Payload::Tcp,
            ..call.clone()
        };
        candidates.extend([call, line]);
    }
    candidates
}

fn text(value: &impl Serialize) -> Result<String, ExploreError> {
    snapshot::to_yaml(value).map_err(ExploreError::Reproduction)
}
