//! What the command line names: manifests, mesh configuration, workloads, and destinations.

use std::io::Read;
use std::path::Path;

use meshproof::istio::address::AddressError;
use meshproof::reference::ReferenceError;
use meshproof::snapshot::{MeshConfig, Mixed, Snapshot};

use super::Predict;
use crate::exit::BadInput;
use crate::mesh_input::{load_bundle, tell_gaps};

impl Predict {
    /// The objects and the mesh configuration that the command line names.
    pub(super) fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let mut snapshot = Snapshot::new(self.istio.clone());
        // Also where the `istio` ConfigMap is looked for.
        if let Some(namespace) = &self.root_namespace {
            snapshot.mesh.root_namespace.clone_from(namespace);
        }
        if let Some(path) = &self.bundle {
            let mut mixed = Mixed::default();
            load_bundle(path, &mut snapshot, &mut mixed)?;
            tell_gaps(&mixed);
        }
        for path in &self.file {
            let loaded = match path == Path::new("-") {
                true => {
                    let mut text = String::new();
                    std::io::stdin()
                        .read_to_string(&mut text)
                        .map_err(|error| bad(format!("cannot read stdin: {error}")))?;
                    snapshot.add_yaml(&text, "stdin")
                }
                false => snapshot.load_files(std::slice::from_ref(path)),
            };
            loaded.map_err(|error| unreadable(&error))?;
        }
        if let Some(path) = &self.mesh_config {
            let text = std::fs::read_to_string(path)
                .map_err(|error| bad(format!("cannot read {}: {error}", path.display())))?;
            snapshot.mesh = MeshConfig::from_any_yaml(&text, &path.display().to_string())
                .map_err(|error| unreadable(&error))?;
        }
        if let Some(domain) = &self.trust_domain {
            snapshot.mesh.trust_domain.clone_from(domain);
        }
        if let Some(namespace) = &self.root_namespace {
            snapshot.mesh.root_namespace.clone_from(namespace);
        }
        Ok(snapshot)
    }
}

/// A workload that `--from` does not lead to.
pub(crate) fn reference(error: &ReferenceError) -> anyhow::Error {
    match error {
        ReferenceError::Unknown {
            similar: Some(similar),
            ..
        } => bad(format!("{error}; did you mean `{similar}`?")),
        ReferenceError::Unknown { .. } => bad(error),
        ReferenceError::Ambiguous { candidates, .. } => {
            let candidates: Vec<String> = candidates.iter().map(ToString::to_string).collect();
            bad(format!("{error}: {}", candidates.join(", ")))
        }
    }
}

/// A destination that `--to` does not lead to.
pub(crate) fn destination(error: &AddressError) -> anyhow::Error {
    match error {
        AddressError::Malformed(_) => bad(format!(
            "{error}; write svc:port, svc.ns:port, an FQDN with port, *:port, or pod/ns/workload:port"
        )),
        AddressError::NoService {
            instead: Some(similar),
            ..
        }
        | AddressError::NoPod {
            similar: Some(similar),
            ..
        } => bad(format!("{error}; did you mean `{similar}`?")),
        AddressError::NoPort { ports, .. } => {
            let ports: Vec<String> = ports.iter().map(|(port, _)| port.to_string()).collect();
            bad(format!("{error}; it has {}", ports.join(", ")))
        }
        _ => bad(error),
    }
}

/// A message that stands on its own, below the line that says what it is about.
fn unreadable(error: &impl std::fmt::Display) -> anyhow::Error {
    bad(format!("the input cannot be read\n\n{error}"))
}

/// Bad usage or a bad input file.
pub(super) fn bad(message: impl ToString) -> anyhow::Error {
    BadInput(message.to_string()).into()
}
