//! The `docker` tier: the sidecars of the `netns` tier as containers of `istio/proxyv2`, so that a release is run by its own
//! proxy.
//!
//! The pod of a sidecar is a container that holds its network and does nothing else, as the pause container of Kubernetes
//! does; application and dialler are the harness, in that network, as on `netns`. The sidecar is a second container in
//! the same network. A pod without sidecar has no container. No network of Docker is used: the bridge between pods is
//! that of the `netns` tier, so nothing depends on how the daemon makes its own.

mod images;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use semver::Version;

use super::captured::{self, Captured, Room, Rooms, namespace};
use super::sidecars::SidecarMesh;
use super::{Capability, MeshError, Settings, Tier};
use crate::call::PodName;
use crate::child::Running;
use crate::docker::{self, Container, ContainersOfRun, DockerError, Image, Start};
use crate::envoy::binary::EnvoyBinary;
use crate::envoy::process::{Host, Program};
use crate::istio::Workload;
use crate::network_namespace::NetworkNamespace;

pub use images::{ImageError, ProxyImages};

/// Capture, policy in the root namespace, and the proxies of releases; no istiod, no webhook.
pub(super) const CAPABILITIES: &[Capability] = &[
    Capability::Interception,
    Capability::RootNamespace,
    Capability::ReleaseProxy,
];

/// In a run directory, says that containers belong to it.
pub(super) const MARKER: &str = "containers";

/// A mesh of sidecars in containers.
pub(crate) type DockerMesh = SidecarMesh<Captured<Containers>>;

impl DockerMesh {
    /// Prepares an empty mesh. Nothing runs yet but its control plane.
    ///
    /// # Errors
    /// When the run directory or the control-plane socket cannot be made.
    pub(crate) fn new(settings: Settings) -> Result<Self, MeshError> {
        Self::over(Captured::of(Containers::default()), settings)
    }
}

/// Whether this machine has what the tier needs: Docker, and the right to enter the networks of its containers.
///
/// # Errors
/// What is missing, or forbidden.
pub(crate) async fn measure() -> Result<(), MeshError> {
    docker::ping().await?;
    if !nix::unistd::geteuid().is_root() {
        let source = io::ErrorKind::PermissionDenied.into();
        return Err(DockerError::Closed { source }.into());
    }
    Ok(captured::measure().await?)
}

/// Namespaces that containers hold.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    run: Option<Arc<ContainersOfRun>>,
    folder: PathBuf,
    images: BTreeMap<Version, Image>,
}

impl Containers {
    /// The containers of this run. From the first on, the run directory says so.
    fn run(&mut self) -> Result<Arc<ContainersOfRun>, MeshError> {
        if let Some(run) = &self.run {
            return Ok(Arc::clone(run));
        }
        let marker = self.folder.join(MARKER);
        std::fs::write(&marker, "")
            .map_err(|source| crate::envoy::ProcessError::Write { path: marker, source })?;
        let run = Arc::new(ContainersOfRun::new(self.folder.clone()));
        Ok(Arc::clone(self.run.insert(run)))
    }
}

#[async_trait]
impl Rooms for Containers {
    const TIER: Tier = Tier::Docker;
    type Room = PodContainer;

    fn settle(&mut self, folder: &Path) {
        folder.clone_into(&mut self.folder);
    }

    async fn binaries(
        &mut self,
        releases: Vec<Version>,
        settings: &Settings,
    ) -> Result<BTreeMap<Version, EnvoyBinary>, MeshError> {
        let run = self.run()?;
        let mut binaries = BTreeMap::new();
        for release in releases {
            let image = Image::find(&settings.images.of(&release)).await?;
            let binary = images::proxy_of(&run, &image, &release).await?;
            self.images.insert(release.clone(), image);
            binaries.insert(release, binary);
        }
        Ok(binaries)
    }

    async fn rooms(&mut self, pods: &[(PodName, &Workload)]) -> Result<Vec<PodContainer>, MeshError> {
        let run = self.run()?;
        let rooms = pods.iter().map(|(_, workload)| {
            let image = workload.proxy_release().and_then(|it| self.images.get(it));
            PodContainer::new(Arc::clone(&run), image.cloned())
        });
        try_join_all(rooms).await
    }
}

/// The network of a pod, and the container that holds it.
#[derive(Debug)]
pub(crate) struct PodContainer {
    namespace: NetworkNamespace,
    held: Option<(Container, Image)>,
    run: Arc<ContainersOfRun>,
}

impl PodContainer {
    /// With an image there is a container, else a namespace alone.
    async fn new(run: Arc<ContainersOfRun>, image: Option<Image>) -> Result<Self, MeshError> {
        let Some(image) = image else {
            let namespace = namespace().await?;
            return Ok(Self {
                namespace,
                held: None,
                run,
            });
        };
        let container = run.start(&image, Start::Network).await?;
        let path = PathBuf::from(format!("/proc/{}/ns/net", container.process));
        let entered = NetworkNamespace::existing(path).await;
        Ok(Self {
            namespace: entered.map_err(|source| DockerError::Closed { source })?,
            held: Some((container, image)),
            run,
        })
    }
}

#[async_trait]
impl Room for PodContainer {
    fn namespace(&self) -> &NetworkNamespace {
        &self.namespace
    }

    fn host(&self) -> Arc<dyn Host> {
        match &self.held {
            Some((container, image)) => Arc::new(Beside {
                network_of: container.id.clone(),
                image: image.clone(),
                run: Arc::clone(&self.run),
            }),
            None => Arc::new(self.namespace.clone()),
        }
    }

    async fn leave(self) {
        if let Some((mut container, _)) = self.held {
            container.stop().await;
        }
    }
}

/// A second container in the network of a pod.
#[derive(Debug)]
struct Beside {
    network_of: String,
    image: Image,
    run: Arc<ContainersOfRun>,
}

#[async_trait]
impl Host for Beside {
    async fn start(&self, program: Program<'_>) -> io::Result<Box<dyn Running>> {
        let words = std::iter::once(program.binary.as_os_str())
            .chain(program.arguments.iter().map(AsRef::as_ref))
            .map(|word| word.to_string_lossy().into_owned());
        let start = Start::Command {
            network_of: self.network_of.clone(),
            command: words.collect(),
            log: program.log.display().to_string(),
        };
        let started = self.run.start(&self.image, start).await;
        Ok(Box::new(started.map_err(io::Error::other)?))
    }
}
