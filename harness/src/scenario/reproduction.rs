//! A scenario that a program writes down, so that anybody can run what it found.

use std::path::{Path, PathBuf};

use semver::Version;
use serde::Serialize;
use serde_json::Value;

use super::format::{ApiVersion, Expectation, Kind, Metadata, Phase, ScenarioFile, Spec};
use super::state::State;
use crate::call::{Call, CallKind, Destination, Payload};
use crate::istio::predict;
use crate::snapshot::to_yaml;

/// A scenario file, and the manifest its mesh starts from.
#[derive(Clone, Debug, Serialize)]
pub struct Reproduction {
    /// The scenario's name.
    pub name: String,
    /// The scenario file.
    pub scenario: String,
    /// The manifest beside it.
    pub manifest: String,
}

/// A scenario could not be written down.
#[derive(Debug, thiserror::Error)]
pub enum ReproductionError {
    /// Something in it is no YAML. A fault of meshproof.
    #[error("cannot write a scenario down: {0}")]
    Yaml(String),
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Reproduction {
    /// The scenario of these phases in a mesh of these objects.
    pub(crate) fn new(
        metadata: Metadata,
        release: &Version,
        objects: &[Value],
        phases: Vec<Phase>,
    ) -> Result<Self, ReproductionError> {
        let name = metadata.name.clone();
        let file = ScenarioFile {
            api_version: ApiVersion::V1Alpha1,
            kind: Kind::Scenario,
            metadata,
            spec: Spec {
                istio: release.to_string(),
                needs: Vec::new(),
                manifests: vec![format!("./{}", manifest_of(&name))],
                phases,
            },
        };
        let documents = objects.iter().map(yaml).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            scenario: yaml(&file)?,
            manifest: documents.join("---\n"),
            name,
        })
    }

    /// Writes both files into a folder, which is made if it is not there; the path of the scenario.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, ReproductionError> {
        let write = |name: String, text: &str| {
            let path = folder.join(name);
            let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
            written
                .map(|()| path.clone())
                .map_err(|source| ReproductionError::Write {
                    path: path.display().to_string(),
                    source,
                })
        };
        write(manifest_of(&self.name), &self.manifest)?;
        write(format!("{}.yaml", self.name), &self.scenario)
    }
}

/// The phase that shows a working mesh: `call` itself if it is delivered in `state`, else plaintext straight at a pod.
/// `None` where nothing is delivered.
pub(crate) fn control(state: &State, call: &Call) -> Option<Phase> {
    let straight = state.topology.workloads.iter().flat_map(|(server, workload)| {
        let port = workload.container_ports.first().copied().unwrap_or(8080);
        let pod = server.pod(0);
        [Payload::Http, Payload::Tcp].map(|payload| Call {
            kind: CallKind::RawPlaintext,
            payload,
            ..Call::app(
                call.from.clone(),
                Destination::Pod {
                    pod: pod.clone(),
                    port,
                },
            )
        })
    });
    let conditions = state.conditions();
    let delivered = std::iter::once(call.clone()).chain(straight).find_map(|call| {
        let outcome = predict(&state.topology, &conditions, &call).outcome;
        outcome
            .id
            .is_delivered()
            .then(|| Expectation::of(&call, &outcome))
    })?;
    Some(Phase {
        name: "control".to_owned(),
        expect: vec![delivered],
        ..Phase::default()
    })
}

fn manifest_of(name: &str) -> String {
    format!("{name}.mesh.yaml")
}

fn yaml(value: &impl Serialize) -> Result<String, ReproductionError> {
    to_yaml(value).map_err(ReproductionError::Yaml)
}
