//! The folder of a cluster: its kubeconfig, what kind was told, the log of commands, and the steps that were done.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};

use super::ClusterError;
use crate::istio::NodeImage;

/// kind makes it part of names of hosts, which have 63 characters.
const LONGEST_NAME: usize = 40;

/// What was done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// kind made the cluster.
    Cluster,
    /// Its node asks the registry of this machine first.
    Mirror,
    /// Its authority is plugged in.
    Certificates,
    /// This release runs in it.
    Istio(Version),
}

/// What is known of a cluster. Written after each step, so that it never says more than was done.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct State {
    pub(super) node: NodeImage,
    pub(super) done: Vec<Step>,
    /// Whether everything that was asked for when it was made was done.
    pub(super) is_ready: bool,
}

impl State {
    pub(super) fn istio(&self) -> Vec<Version> {
        let installed = self.done.iter().filter_map(|step| match step {
            Step::Istio(version) => Some(version.clone()),
            Step::Cluster | Step::Mirror | Step::Certificates => None,
        });
        let mut installed: Vec<Version> = installed.collect();
        installed.sort();
        installed
    }
}

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) name: String,
    path: PathBuf,
}

/// Held while a command works on a cluster.
///
/// Closing the file would not do: a child that another thread is just starting holds the file open too, until it calls
/// exec.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Cannot fail for a lock that is held; and the file is closed next.
        let _ = self.0.unlock();
    }
}

impl Folder {
    pub(super) fn at(root: &Path, name: &str) -> Result<Self, ClusterError> {
        let is_name = name.len() <= LONGEST_NAME
            && name.starts_with(|it: char| it.is_ascii_lowercase())
            && !name.ends_with('-')
            && name
                .chars()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-');
        if !is_name {
            return Err(ClusterError::Name {
                name: name.to_owned(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            path: root.join(name),
        })
    }

    /// Whether a cluster was begun in it.
    pub(super) fn exists(&self) -> bool {
        self.state_file().is_file()
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("commands.log")
    }

    pub(super) fn kind_config(&self) -> PathBuf {
        self.path.join("kind.yaml")
    }

    /// kind writes kubeconfigs for their user alone; this does not rely on it.
    pub(super) fn protect_kubeconfig(&self) -> Result<(), ClusterError> {
        let path = self.kubeconfig();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))
            .map_err(|source| failed("protect", &path, source))
    }

    pub(super) fn create(&self) -> Result<(), ClusterError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|source| failed("make", &self.path, source))
    }

    /// One command at a time. The lock is beside the folder, since the folder may be removed under it.
    pub(super) fn lock(&self) -> Result<Lock, ClusterError> {
        let path = self.path.with_extension("lock");
        let file = File::create(&path).map_err(|source| failed("write", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(ClusterError::Busy {
                name: self.name.clone(),
            }),
            Err(std::fs::TryLockError::Error(source)) => Err(failed("lock", &path, source)),
        }
    }

    pub(super) fn state(&self) -> Result<State, ClusterError> {
        let path = self.state_file();
        let text = std::fs::read_to_string(&path).map_err(|source| failed("read", &path, source))?;
        serde_json::from_str(&text).map_err(|error| ClusterError::State {
            name: self.name.clone(),
            path,
            message: error.to_string(),
        })
    }

    /// Replaces the state as a whole: a reader sees the old one or the new one.
    pub(super) fn write(&self, state: &State) -> Result<(), ClusterError> {
        let path = self.state_file();
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(&serde_json::to_vec_pretty(state)?)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| failed("write", &path, source))
    }

    pub(super) fn remove(&self) -> Result<(), ClusterError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(failed("remove", &self.path, source)),
            _ => Ok(()),
        }
    }

    fn state_file(&self) -> PathBuf {
        self.path.join("state.json")
    }
}

/// The folders of all clusters, by name.
pub(super) fn folders(root: &Path) -> Result<Vec<Folder>, ClusterError> {
    let entries = match std::fs::read_dir(root) {
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| failed("read", root, source))?,
    };
    let names = entries
        .flatten()
        .filter_map(|it| it.file_name().into_string().ok());
    let mut folders: Vec<Folder> = names
        .filter_map(|name| Folder::at(root, &name).ok())
        .filter(Folder::exists)
        .collect();
    folders.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(folders)
}

pub(super) fn failed(verb: &'static str, path: &Path, source: std::io::Error) -> ClusterError {
    ClusterError::File {
        verb,
        path: path.to_owned(),
        source,
    }
}
