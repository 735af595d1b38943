//! What can go wrong with a cluster, and what to do about it.

use std::path::PathBuf;

use semver::Version;

use super::CommandError;
use crate::kubernetes::KubernetesError;
use crate::pki::PkiError;
use crate::snapshot::YamlError;

/// Why there is no cluster as asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no home folder.
    #[error("there is no home folder to keep clusters in: set XDG_DATA_HOME")]
    NoHome,
    /// The name is no name of a cluster.
    #[error(
        "`{name}` is no name of a cluster: use lower-case letters, digits and `-`, at most 40, a letter first"
    )]
    Name {
        /// As given.
        name: String,
    },
    /// No release was asked for.
    #[error("no release of Istio to install: name one with --istio")]
    NoRelease,
    /// There is no such release.
    #[error("there is no Istio {release}{}; `{meshproof} releases` lists them", nearest.as_ref().map(|it| format!(" (the nearest is {it})")).unwrap_or_default(), meshproof = crate::invocation::command())]
    UnknownRelease {
        /// As given.
        release: Version,
        /// What was probably meant.
        nearest: Option<Version>,
    },
    /// No node image fits all releases.
    #[error("{asked} supported by Istio {releases} and run by kind; possible {}", if possible.is_empty() { "is none: use a cluster for each".to_owned() } else { format!("are --kubernetes {possible}") })]
    NotSupported {
        /// What was looked for.
        asked: String,
        /// The releases.
        releases: String,
        /// Kubernetes minors that would do.
        possible: String,
    },
    /// A program is missing.
    #[error("{program} is not to be found: {remedy}")]
    Missing {
        /// The program.
        program: String,
        /// What to do.
        remedy: String,
    },
    /// A program is of the wrong version.
    #[error("{} is {found}, and {needed} is needed: {remedy}", path.display())]
    WrongVersion {
        /// The program.
        path: PathBuf,
        /// What it says of itself.
        found: String,
        /// What would do.
        needed: String,
        /// What to do.
        remedy: String,
    },
    /// Docker does not answer.
    #[error("docker does not answer ({said}): start it, and see that `docker version` names a server")]
    NoDocker {
        /// What it said.
        said: String,
    },
    /// There is a cluster of this name that was made by somebody else.
    #[error("there is a kind cluster {name} that was not made here: choose another name with --name")]
    Foreign {
        /// The name.
        name: String,
    },
    /// The cluster runs another Kubernetes.
    #[error(
        "the cluster {name} runs Kubernetes {found}, not {asked}: choose another name with --name, or remove it with `{meshproof} cluster down {name}`",
        meshproof = crate::invocation::command()
    )]
    OtherKubernetes {
        /// Its name.
        name: String,
        /// What it runs.
        found: Version,
        /// What was asked for.
        asked: Version,
    },
    /// There is no cluster of this name.
    #[error("no cluster {name} was made here; {}", if known.is_empty() { "there is none at all".to_owned() } else { format!("there are: {}", known.join(", ")) })]
    Unknown {
        /// As given.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Another command is at it.
    #[error("another command is working on the cluster {name}: wait for it to end")]
    Busy {
        /// Its name.
        name: String,
    },
    /// A file of ours cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    File {
        /// `read`, `write`, …
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A state file is damaged.
    #[error("the state of a cluster in {} cannot be read ({message}): remove the cluster with `kind delete cluster --name {name}`, and then the folder", path.display())]
    State {
        /// The cluster.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A program failed or stalled.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The API server.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// A certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The table of releases.
    #[error(transparent)]
    Releases(#[from] Box<YamlError>),
    /// kind's configuration cannot be written.
    #[error("the configuration of kind cannot be written: {0}")]
    Config(String),
    /// The cluster could not be made, and could not be removed either.
    #[error(
        "{cause}; and what there is of the cluster {name} could not be removed: {removal}; remove it with `{meshproof} cluster down {name}`",
        meshproof = crate::invocation::command()
    )]
    Left {
        /// Its name.
        name: String,
        /// Why it could not be made.
        cause: Box<ClusterError>,
        /// Why it could not be removed.
        removal: Box<ClusterError>,
    },
}

impl ClusterError {
    /// Whether the command line is wrong.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Name { .. }
                | Self::NoRelease
                | Self::UnknownRelease { .. }
                | Self::NotSupported { .. }
                | Self::OtherKubernetes { .. }
                | Self::Foreign { .. }
                | Self::Unknown { .. }
        )
    }

    /// Whether this machine lacks something.
    #[must_use]
    pub const fn is_machine(&self) -> bool {
        matches!(
            self,
            Self::NoHome
                | Self::Missing { .. }
                | Self::WrongVersion { .. }
                | Self::NoDocker { .. }
                | Self::Kubernetes(_)
        )
    }
}
