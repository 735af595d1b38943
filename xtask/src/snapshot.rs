//! `cargo xtask snapshot`: a mesh in one file, to be looked at elsewhere or later.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use meshproof::istio::releases::{self, VERIFIED};
use meshproof::preflight::{IncidentError, incident};
use meshproof::snapshot::{Mixed, Names, Snapshot as Mesh};
use semver::Version;

use crate::exit::{BadInput, Exit};
use crate::mesh_input::{MeshInput, tell_gaps};
use crate::output::outln;
use crate::predict::{destination, reference};

/// Save a cluster or manifests as one redacted bundle, or one call of them as a scenario.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask snapshot --context staging -o staging.bundle                 a cluster, read-only (manifests/rbac/preflight.yaml)
  cargo xtask snapshot --context staging -o staging.bundle --hash-names    with hashes for the names people gave
  cargo xtask snapshot --bundle staging.bundle --call checkout,payment:8080 -o outage.yaml
                                                                           the least mesh in which this call ends the same

A bundle holds what an audit looks at: no Secret's data but public certificates, no environment, arguments or probes of
containers, no ConfigMap but Istio's. preflight and predict take it with --bundle.")]
pub(crate) struct Snapshot {
    #[command(flatten)]
    mesh: MeshInput,

    /// The bundle, or the scenario, to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Write hashes in place of names: alike within the bundle, different in the next
    #[arg(long)]
    hash_names: bool,

    /// Write this call as a scenario instead: the calling workload, a comma, and the destination
    #[arg(long, value_name = "FROM,TO", value_parser = call, conflicts_with = "hash_names")]
    call: Option<(String, String)>,

    /// The release the mesh is at, for --call
    #[arg(long, value_name = "VERSION", value_parser = releases::parse, default_value_t = VERIFIED, requires = "call")]
    istio: Version,
}

impl Snapshot {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Some((mesh, mixed)) = self.mesh.read(&self.istio)? else {
            return Ok(Exit::Interrupted);
        };
        tell_gaps(&mixed);
        match &self.call {
            Some((from, to)) => self.scenario(&mesh, from, to),
            None => self.bundle(&mesh, &mixed),
        }
    }

    fn bundle(&self, mesh: &Mesh, mixed: &Mixed) -> anyhow::Result<Exit> {
        let names = if self.hash_names {
            Names::Hashed
        } else {
            Names::Kept
        };
        // Under its name only once it is whole, and readable for its owner alone.
        let mut file =
            tempfile::NamedTempFile::new_in(self.folder()).map_err(|error| self.unwritable(&error))?;
        mesh.write_bundle(mixed, names, Timestamp::now(), &mut file)?;
        let bytes = file.as_file().metadata()?.len();
        file.persist(&self.output)
            .map_err(|error| self.unwritable(&error.error))?;
        outln!(
            "{}: {} objects, {} kB{}",
            self.output.display(),
            mesh.objects().count(),
            bytes.div_ceil(1024),
            match mixed.unread.len() {
                0 => String::new(),
                many => format!(", and {many} gaps, which an audit of it will list"),
            }
        );
        Ok(Exit::Held)
    }

    fn scenario(&self, mesh: &Mesh, from: &str, to: &str) -> anyhow::Result<Exit> {
        let name = self.output.file_stem().and_then(|it| it.to_str());
        let is_yaml = self.output.extension().is_some_and(|it| it == "yaml");
        let Some(name) = name.filter(|_| is_yaml) else {
            let message = "-o must name a .yaml file: a scenario is called like its file";
            return Err(BadInput(message.to_owned()).into());
        };
        let found = incident(mesh, from, to, name).map_err(|error| match error {
            IncidentError::Caller(error) => reference(&error),
            IncidentError::Destination(error) => destination(&error),
            IncidentError::Unpredicted(_) => BadInput(error.to_string()).into(),
            IncidentError::Reproduction(error) => error.into(),
        })?;
        let path = found.write(self.folder())?;
        outln!("{}", path.display());
        outln!(
            "run it: {} scenario --file {}",
            meshproof::invocation::command(),
            path.display()
        );
        Ok(Exit::Held)
    }

    fn folder(&self) -> &Path {
        match self.output.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    fn unwritable(&self, error: &std::io::Error) -> anyhow::Error {
        BadInput(format!("cannot write {}: {error}", self.output.display())).into()
    }
}

fn call(text: &str) -> Result<(String, String), String> {
    let parts = text
        .split_once(',')
        .filter(|(from, to)| !from.is_empty() && !to.is_empty());
    let (from, to) =
        parts.ok_or("write the calling workload, a comma, and the destination: checkout,payment:8080")?;
    Ok((from.to_owned(), to.to_owned()))
}
