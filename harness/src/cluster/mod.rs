//! Clusters of kind with Istio in them, for the `kind` tier: made, listed and removed.
//!
//! What makes them are the programs kind, istioctl and docker, each called through the one command runner of this module:
//! bounded in time, in a process group of its own, and logged. A cluster has a folder of its own, with its kubeconfig and
//! the steps that were done; no kubeconfig of the user's is read or written.

mod certificates;
mod error;
mod fetch;
mod folder;
mod kind_config;
mod make;
mod mirror;
mod plan;
mod runner;
mod tools;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::Version;

pub use error::ClusterError;
pub use fetch::{Fetched, Program, Sources, fetch};
pub use kind_config::KindConfig;
pub use plan::Plan;
pub use runner::CommandError;

use folder::{Folder, folders};
use runner::Runner;
use tools::{Docker, Kind, Tools};

/// The clusters of a user.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// Holds a folder for each cluster.
    root: PathBuf,
    tools: Tools,
    limits: Limits,
}

/// How long programs may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For an answer from this machine.
    ask: Duration,
    /// For what may pull a small image.
    mirror: Duration,
    /// For a cluster: its image has some 400 MB to 1 GB.
    create: Duration,
    /// For a revision of Istio: its image has some 100 MB. istioctl itself gives up a minute earlier.
    install: Duration,
    delete: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ask: Duration::from_secs(30),
            mirror: Duration::from_secs(180),
            create: Duration::from_secs(900),
            install: Duration::from_secs(420),
            delete: Duration::from_secs(120),
        }
    }
}

/// A cluster that can be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cluster {
    /// Its name with kind.
    pub name: String,
    /// Its kubeconfig, which only its user may read.
    pub kubeconfig: PathBuf,
    /// Its context there.
    pub context: String,
    /// The Kubernetes release in it.
    pub kubernetes: Version,
    /// The Istio releases in it, each a revision of its own, oldest first.
    pub istio: Vec<Version>,
}

/// A cluster as it was found.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its name with kind.
    pub name: String,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// The Kubernetes release in it.
    pub kubernetes: Version,
    /// The image of its nodes, with tag and digest.
    pub node_image: String,
    /// The Istio releases in it.
    pub istio: Vec<Version>,
    /// Whether it can be used.
    pub condition: Condition,
}

/// What has become of a cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Condition {
    /// Every step was done, and kind knows it.
    Ready,
    /// It was not made to the end: the next `up` repairs or replaces it.
    HalfMade,
    /// kind no longer knows it.
    Gone,
}

impl Clusters {
    /// Those of the user: in `meshproof/clusters` of the user's data folder, made by programs from `meshproof/tools` there,
    /// or else from `PATH`.
    ///
    /// # Errors
    /// When there is no home folder.
    pub fn user() -> Result<Self, ClusterError> {
        use etcetera::BaseStrategy as _;
        let data = etcetera::choose_base_strategy()
            .map_err(|_| ClusterError::NoHome)?
            .data_dir()
            .join("meshproof");
        let path = std::env::var_os("PATH").unwrap_or_default();
        Ok(Self::at(data.join("clusters"), data.join("tools"), path))
    }

    /// Those in the folder `root`, made by programs from `tools`, or else from the folders of `path`.
    #[must_use]
    pub fn at(root: PathBuf, tools: PathBuf, path: OsString) -> Self {
        Self {
            root,
            tools: Tools::new(tools, path),
            limits: Limits::default(),
        }
    }

    /// Where programs are looked for before `PATH`.
    #[must_use]
    pub fn tools(&self) -> &Path {
        self.tools.folder()
    }

    /// With other bounds, as tests need them.
    #[cfg(test)]
    fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What there is, by name.
    ///
    /// # Errors
    /// When kind cannot be asked, or the folders cannot be read.
    pub async fn list(&self) -> Result<Vec<Found>, ClusterError> {
        let folders = folders(&self.root)?;
        if folders.is_empty() {
            return Ok(Vec::new());
        }
        let kind = self.kind(&self.runner())?;
        let known = kind.clusters(self.limits.ask).await?;
        let found = folders.into_iter().map(|folder| {
            let state = folder.state()?;
            Ok(Found {
                condition: match (known.contains(&folder.name), state.is_ready) {
                    (false, _) => Condition::Gone,
                    (true, true) => Condition::Ready,
                    (true, false) => Condition::HalfMade,
                },
                kubeconfig: folder.kubeconfig(),
                kubernetes: state.node.kubernetes.clone(),
                node_image: state.node.image.clone(),
                istio: state.istio(),
                name: folder.name,
            })
        });
        found.collect()
    }

    /// Removes a cluster that was made here, and its folder; the last one takes the registry's container along.
    ///
    /// # Errors
    /// When there is none of this name, or kind cannot remove it: then the folder stays.
    pub async fn down(&self, name: &str) -> Result<(), ClusterError> {
        let folder = Folder::at(&self.root, name)?;
        if !folder.exists() {
            return Err(ClusterError::Unknown {
                name: name.to_owned(),
                known: folders(&self.root)?.into_iter().map(|it| it.name).collect(),
            });
        }
        let _lock = folder.lock()?;
        self.remove(&folder).await
    }

    /// Removes what an interrupted [`Self::up`] had begun. A cluster that was ready before stays.
    ///
    /// # Errors
    /// As [`Self::down`].
    pub async fn clear_interrupted(&self, name: &str) -> Result<(), ClusterError> {
        let folder = Folder::at(&self.root, name)?;
        if !folder.exists() || folder.state()?.is_ready {
            return Ok(());
        }
        let _lock = folder.lock()?;
        self.remove(&folder).await
    }

    async fn remove(&self, folder: &Folder) -> Result<(), ClusterError> {
        let runner = Runner::new(folder.log());
        let kind = self.kind(&runner)?;
        kind.delete(&folder.name, &folder.kubeconfig(), self.limits.delete)
            .await?;
        folder.remove()?;
        if folders(&self.root)?.is_empty() {
            let docker = Docker::new(self.tools.program("docker")?, self.runner());
            mirror::remove(&docker, self.limits.delete).await?;
        }
        Ok(())
    }

    fn kind(&self, runner: &Runner) -> Result<Kind, ClusterError> {
        Ok(Kind::new(self.tools.program("kind")?, runner.clone()))
    }

    /// For commands that belong to no cluster.
    fn runner(&self) -> Runner {
        Runner::new(self.root.join("commands.log"))
    }
}
