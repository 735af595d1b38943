//! Where a scenario runs: the [`Mesh`] trait and its tiers.
//!
//! A mesh is given what should be ([`Desired`]) and makes it so; it answers calls with [`Evidence`] and never with an
//! opinion. Tiers know nothing of each other, and none of them knows scenario, prediction, or expectation.

mod capability;
mod captured;
mod counters;
mod docker;
mod error;
pub mod kubernetes;
mod load;
pub mod local;
mod netns;
mod proxy_logs;
mod reached;
pub mod replay;
mod run_directory;
mod sidecars;
mod watched;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::call::{Call, Connections, PodName};
use crate::envoy::binary::{Overrides, Progress, Provenance, Silent};
use crate::fault::Conditions;
use crate::istio::Topology;
use crate::kernel::Tracer;
use crate::probe::Evidence;
use crate::snapshot::Snapshot;
use crate::visibility::AccessLogs;

pub use capability::Capability;
pub use captured::NetnsError;
pub(crate) use captured::time_of_namespaces;
pub use docker::{ImageError, ProxyImages};
pub use error::MeshError;
pub use load::{Requests, Tally};
pub use proxy_logs::ProxyLogs;
pub use run_directory::{RunDirectory, RunDirectoryError, sweep};
pub use sidecars::{ApplicationError, ApplicationServer, Speaks};

/// Where a scenario runs.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    strum::Display,
    strum::EnumString,
    Eq,
    Hash,
    strum::IntoStaticStr,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Tier {
    /// Real Envoys on loopback ports, control plane and applications in-process.
    Local,
    /// The same in network namespaces, with Istio's capture.
    Netns,
    /// Sidecars in containers.
    Docker,
    /// A kind cluster with real Istio.
    Kind,
    /// An existing cluster.
    Cluster,
    /// Answers from the evidence of an earlier run.
    Replay,
}

impl Tier {
    /// Every tier.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As written on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What a mesh should be: policy, deliberate faults, and the calls that are going to be made.
///
/// The calls are part of it because without interception a port that no Service declares has to be known beforehand.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The objects. What a cluster is given; its istiod finds out what they mean.
    pub snapshot: Arc<Snapshot>,
    /// What they mean: workloads, Services, and the policies between them.
    pub topology: Arc<Topology>,
    /// What is deliberately different.
    pub conditions: Conditions,
    /// The calls of the coming phase.
    pub calls: Vec<Call>,
    /// What calls share.
    pub connections: Connections,
}

/// A proxy of the mesh and where its binary comes from.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Component {
    /// `namespace/name` of the workload.
    pub workload: String,
    /// The Istio release it stands for.
    pub istio: Version,
    /// The Envoy version, as the binary reports it.
    pub envoy: Version,
    /// How faithfully it stands for that release.
    pub provenance: Provenance,
    /// Digest of the binary.
    pub sha256: String,
    /// The container image it is in, with its digest; none where it is a file of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// How meshes are set up, whatever their tier.
#[derive(Clone)]
pub struct Settings {
    /// Binaries that stand in for releases.
    pub overrides: Overrides,
    /// Container images that stand in for releases, where sidecars run in containers.
    pub images: ProxyImages,
    /// Leave logs and configuration behind.
    pub keep: bool,
    /// What the `replay` tier answers from.
    pub recording: Option<replay::Recording>,
    /// The cluster of the `kind` and `cluster` tiers.
    pub place: Option<kubernetes::Place>,
    /// Which access logs proxies write.
    pub access_logs: AccessLogs,
    /// Watches the connections of every call, which must then be the only one that this process makes.
    pub kernel: Option<Arc<Tracer>>,
    /// Listen in on the wire between caller and called pod, and have proxies tell the secrets of their connections meanwhile.
    pub wire: bool,
    /// Told how the download of missing binaries goes.
    pub progress: Arc<dyn Progress + Send + Sync>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            overrides: Overrides::default(),
            images: ProxyImages::default(),
            keep: false,
            recording: None,
            place: None,
            access_logs: AccessLogs::default(),
            kernel: None,
            wire: false,
            progress: Arc::new(Silent),
        }
    }
}

impl Tier {
    /// Whether somebody has to make a cluster before anything runs on it.
    #[must_use]
    pub const fn needs_cluster(self) -> bool {
        matches!(self, Self::Kind | Self::Cluster)
    }

    /// What the tier can do beyond calls between sidecars.
    #[must_use]
    pub const fn capabilities(self) -> &'static [Capability] {
        match self {
            Self::Local => local::CAPABILITIES,
            Self::Netns => netns::CAPABILITIES,
            Self::Replay => replay::CAPABILITIES,
            Self::Docker => docker::CAPABILITIES,
            Self::Kind => kubernetes::OF_KIND,
            Self::Cluster => kubernetes::OF_CLUSTER,
        }
    }

    /// Whether this machine can run the tier: measured, for those of which it depends on the machine.
    ///
    /// # Errors
    /// What is missing, or forbidden.
    pub async fn measure(self) -> Result<(), MeshError> {
        match self {
            Self::Netns => {
                // What once could be made can be made again.
                static MEASURED: OnceCell<()> = OnceCell::const_new();
                MEASURED.get_or_try_init(captured::measure).await?;
                Ok(())
            }
            Self::Docker => {
                static MEASURED: OnceCell<()> = OnceCell::const_new();
                MEASURED.get_or_try_init(docker::measure).await?;
                Ok(())
            }
            Self::Local | Self::Kind | Self::Cluster | Self::Replay => Ok(()),
        }
    }

    /// Sets up an empty mesh of this tier.
    ///
    /// # Errors
    /// What the tier could not set up.
    pub fn open(self, settings: &Settings) -> Result<Box<dyn Mesh>, MeshError> {
        let mesh = self.open_unwatched(settings)?;
        Ok(match &settings.kernel {
            Some(kernel) => Box::new(watched::WatchedMesh::new(mesh, Arc::clone(kernel))),
            None => mesh,
        })
    }

    fn open_unwatched(self, settings: &Settings) -> Result<Box<dyn Mesh>, MeshError> {
        match self {
            Self::Local => Ok(Box::new(local::LocalMesh::new(settings.clone())?)),
            Self::Replay => {
                let recording = settings.recording.clone().unwrap_or_default();
                Ok(Box::new(replay::ReplayMesh::new(recording)))
            }
            Self::Netns => Ok(Box::new(netns::NetnsMesh::new(settings.clone())?)),
            Self::Docker => Ok(Box::new(docker::DockerMesh::new(settings.clone())?)),
            Self::Kind | Self::Cluster => Ok(Box::new(kubernetes::KubernetesMesh::new(self, settings)?)),
        }
    }

    /// Why the tier cannot show a state, or hold load on its calls; `None`: it can.
    #[must_use]
    pub fn objection(self, desired: &Desired, is_under_load: bool) -> Option<String> {
        match self {
            Self::Kind | Self::Cluster if is_under_load => Some(kubernetes::LOAD.to_owned()),
            Self::Kind | Self::Cluster => kubernetes::beyond(self, desired),
            Self::Local | Self::Netns | Self::Docker | Self::Replay => None,
        }
    }

    /// Whether runs share what one of them may change, so that there is one at a time.
    #[must_use]
    pub const fn is_one_at_a_time(self) -> bool {
        matches!(self, Self::Kind)
    }
}

/// A mesh that scenarios run on.
#[async_trait]
pub trait Mesh: Send {
    /// The tier.
    fn tier(&self) -> Tier;

    /// Brings the mesh into the desired state and returns once that state is in force, not merely acknowledged.
    ///
    /// # Errors
    /// When the state cannot be reached; what is then running is torn down by [`Mesh::down`] or by dropping the mesh.
    async fn apply(&mut self, desired: Desired) -> Result<(), MeshError>;

    /// Makes one of the desired calls over a fresh connection and gathers what both ends showed.
    ///
    /// # Errors
    /// When the call could not be made at all, or evidence could not be read. A refused call is no error.
    async fn call(&mut self, call: &Call) -> Result<Evidence, MeshError>;

    /// What Istio would have had the proxies at both ends of the last call log of it, where the settings ask for that.
    fn logs_of_call(&mut self) -> Vec<ProxyLogs> {
        Vec::new()
    }

    /// What each proxy has in force, as Envoy's `/config_dump` tells it: what a cluster shows too. Private keys are redacted.
    ///
    /// # Errors
    /// When a proxy does not answer.
    async fn config_dumps(&mut self) -> Result<Vec<(PodName, String)>, MeshError> {
        Ok(Vec::new())
    }

    /// Brings the mesh through `states`, one after the other, each in force before the next, while every call of `load`
    /// is made over and over by callers that never pause.
    ///
    /// The load begins in the first state. In each state some requests begin and end while it is in force, before the
    /// next change begins. One tally for each state, for each call of `load`; a call may go to any endpoint.
    ///
    /// # Errors
    /// As [`Mesh::apply`]; and when requests could not be made at all, or took so long that too few of them ended.
    async fn apply_under_load(
        &mut self,
        states: Vec<Desired>,
        load: &[Call],
    ) -> Result<Vec<Vec<Tally>>, MeshError>;

    /// Keeps everything that somebody would ask for next of the last call, and says where; `None` where nothing more is
    /// known than its evidence holds.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn keep_evidence(&mut self, _: &Call) -> Result<Option<PathBuf>, MeshError> {
        Ok(None)
    }

    /// The proxies running now.
    fn components(&self) -> Vec<Component>;

    /// The image of the nodes of the cluster, with tag and digest, where that is known.
    fn node_image(&self) -> Option<&str> {
        None
    }

    /// Where logs and configuration of this run are, for those who keep them.
    fn directory(&self) -> Option<&Path>;

    /// Ends everything the mesh started.
    async fn down(&mut self);
}
