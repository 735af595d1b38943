//! Where a mesh is read from: manifests, a bundle, a cluster.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use meshproof::kubernetes::{Context, KubernetesError};
use meshproof::snapshot::{BundleError, Mixed, Scope, Snapshot};
use semver::Version;

use crate::exit::BadInput;
use crate::interrupt::Interruptible;

/// What the command line names. Manifests beside a bundle or a cluster go on top of it: as it would be with them.
#[derive(Args, Debug)]
pub(crate) struct MeshInput {
    /// Manifests: files, folders with everything below them, or - for stdin
    #[arg(short, long = "file", value_name = "PATH", num_args = 1.., required_unless_present_any = ["bundle", "context"])]
    file: Vec<PathBuf>,

    /// A bundle of `cargo xtask snapshot`, or an archive of `istioctl bug-report`
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    bundle: Option<PathBuf>,

    /// A cluster, by the name of its context in the kubeconfig; nothing of it is changed
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,

    /// The kubeconfig [default: what kubectl reads]
    #[arg(long, value_name = "FILE", requires = "context")]
    kubeconfig: Option<PathBuf>,

    /// Only this namespace of the cluster, and that of the control plane; can be given several times
    #[arg(short, long, value_name = "NAMESPACE", requires = "context")]
    namespace: Vec<String>,

    /// The namespace of the cluster's control plane [default: istio-system]
    #[arg(long, value_name = "NAMESPACE", requires = "context")]
    istio_namespace: Option<String>,

    /// Read the Secrets of istiod's signing bundle too, of which only certificates are kept
    #[arg(long, requires = "context")]
    secrets: bool,
}

impl MeshInput {
    /// Reads it all; `None`: interrupted.
    pub(crate) fn read(&self, release: &Version) -> anyhow::Result<Option<(Snapshot, Mixed)>> {
        let mut snapshot = Snapshot::new(release.clone());
        let mut mixed = Mixed::default();
        if let Some(context) = &self.context {
            let read = self.read_cluster(context, &mut snapshot, &mut mixed);
            match Interruptible::new()?.run(read)? {
                None => return Ok(None),
                Some(read) => read?,
            }
        }
        if let Some(path) = &self.bundle {
            load_bundle(path, &mut snapshot, &mut mixed)?;
        }
        for path in &self.file {
            if path == Path::new("-") {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .map_err(|error| bad(format!("cannot read stdin: {error}")))?;
                snapshot.add_mixed(&text, "stdin", &mut mixed);
                continue;
            }
            // What is named and is not there is a slip of the command line; what is below it, of the input.
            if let Err(error) = std::fs::metadata(path) {
                return Err(bad(format!("cannot read {}: {error}", path.display())));
            }
            snapshot.load_mixed(std::slice::from_ref(path), &mut mixed);
        }
        if snapshot.objects().next().is_none() && mixed.unread.is_empty() && mixed.plain.is_empty() {
            return Err(bad(
                "the input holds no object; name manifests, or folders that hold some",
            ));
        }
        Ok(Some((snapshot, mixed)))
    }

    async fn read_cluster(
        &self,
        context: &str,
        snapshot: &mut Snapshot,
        mixed: &mut Mixed,
    ) -> Result<(), KubernetesError> {
        let context = Context::open(context, self.kubeconfig.as_deref()).await?;
        let default = Scope::default();
        let scope = Scope {
            namespaces: self.namespace.clone(),
            control_plane: self.istio_namespace.clone().unwrap_or(default.control_plane),
            secrets: self.secrets,
        };
        // Where mesh-wide policies are, unless the mesh configuration says otherwise.
        snapshot.mesh.root_namespace.clone_from(&scope.control_plane);
        snapshot.load_cluster(&context, &scope, mixed).await
    }
}

/// Reads a bundle; one that cannot be read is bad input.
pub(crate) fn load_bundle(path: &Path, snapshot: &mut Snapshot, mixed: &mut Mixed) -> anyhow::Result<()> {
    snapshot.load_bundle(path, mixed).map_err(|error| match error {
        BundleError::Write(_) => error.into(),
        error => bad(error),
    })
}

/// Lists what could not be read, where nothing else does.
#[expect(clippy::print_stderr, reason = "the command's warnings")]
pub(crate) fn tell_gaps(mixed: &Mixed) {
    for gap in &mixed.unread {
        eprintln!("warning: {gap}");
    }
}

fn bad(message: impl ToString) -> anyhow::Error {
    BadInput(message.to_string()).into()
}
