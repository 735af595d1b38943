//! The daemon, and the thread that speaks with it.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder,
};
use testcontainers::core::client::{ClientError, docker_client_instance};
use tokio::runtime::{Builder, Handle, Runtime};

use super::DockerError;

/// Names the run that a container belongs to, by its directory.
pub(super) const RUN: &str = "meshproof.run";

/// The name of the threads that speak with Docker.
const THREAD: &str = "docker";

/// How long the daemon may take to remove what a run left. Measured: 0.3 s for a container.
const REMOVED_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether that is done.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The thread that speaks with Docker. It lives as long as the process, so that what was begun comes to its end although
/// who asked for it is gone.
pub(super) fn speaking() -> Result<&'static Handle, DockerError> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD)
            .enable_all()
            .build()
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(DockerError::Thread {
            source: std::io::Error::new(error.kind(), error.to_string()),
        }),
    }
}

/// Does `work` on that thread, to its end even where nobody waits for it any more.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, DockerError>> + Send + 'static,
) -> Result<T, DockerError> {
    speaking()?.spawn(work).await.map_err(|error| DockerError::Lost {
        said: error.to_string(),
    })?
}

/// Does `work` on that thread and waits for it, where nothing can be awaited.
pub(super) fn now(work: impl Future<Output = ()> + Send + 'static) {
    let Ok(speaking) = speaking() else { return };
    let (ended, end) = channel();
    speaking.spawn(async move {
        work.await;
        // Fails only where the wait was too long.
        let _ = ended.send(());
    });
    // What is still there then is found by its label later.
    let wait = || {
        let _ = end.recv_timeout(REMOVED_WITHIN);
    };
    match std::thread::current().name() == Some(THREAD) {
        // A container that nobody waits for any more is dropped where it was started, which must not wait for itself.
        true => tokio::task::block_in_place(wait),
        false => wait(),
    }
}

/// The daemon, wherever testcontainers finds it: `DOCKER_HOST`, its own settings, or the usual socket.
pub(super) async fn daemon() -> Result<Docker, DockerError> {
    docker_client_instance().await.map_err(|error| match error {
        ClientError::Init(Error::SocketNotFoundError(socket)) => DockerError::Unreachable {
            said: format!("no socket at {socket}"),
        },
        other => DockerError::Unreachable {
            said: other.to_string(),
        },
    })
}

/// Asks the daemon whether it is there.
///
/// # Errors
/// When it is not, or refuses.
pub(crate) async fn ping() -> Result<(), DockerError> {
    to_its_end(async {
        let answered = daemon().await?.ping().await;
        answered.map(drop).map_err(|error| match error {
            Error::DockerResponseServerError { message, .. } => DockerError::Refused { said: message },
            other => DockerError::Unreachable { said: whole(&other) },
        })
    })
    .await
}

/// What an error says, with what it says it comes from.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        source = cause.source();
    }
    said
}

/// Removes every container of a run, and returns once they are gone.
pub(super) async fn remove_all(run: &str) {
    let Ok(docker) = daemon().await else { return };
    let deadline = Instant::now() + REMOVED_WITHIN;
    loop {
        let left = containers(&docker, &format!("{RUN}={run}")).await;
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        for id in left {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            // Fails only where it is being removed already.
            let _ = docker.remove_container(&id, Some(options)).await;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Removes the containers of a run whose harness is gone, by the directory it had.
pub(crate) fn remove_abandoned(folder: &Path) {
    let run = folder.display().to_string();
    now(async move { remove_all(&run).await });
}

async fn containers(docker: &Docker, label: &str) -> Vec<String> {
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&by(label))
        .build();
    let listed = docker.list_containers(Some(options)).await.unwrap_or_default();
    listed.into_iter().filter_map(|container| container.id).collect()
}

fn by(label: &str) -> HashMap<String, Vec<String>> {
    [("label".to_owned(), vec![label.to_owned()])].into()
}

/// What is there of any run, in words: containers, and networks and volumes should there ever be some. Nothing where
/// there is no Docker.
pub(crate) async fn left() -> BTreeSet<String> {
    let found = to_its_end(async {
        let docker = daemon().await?;
        let mut found = BTreeSet::new();
        let of_run = containers(&docker, RUN).await;
        found.extend(of_run.into_iter().map(|id| format!("container {id}")));
        let options = ListNetworksOptionsBuilder::new().filters(&by(RUN)).build();
        let networks = docker.list_networks(Some(options)).await.unwrap_or_default();
        let names = networks.into_iter().filter_map(|network| network.name);
        found.extend(names.map(|name| format!("network {name}")));
        let options = ListVolumesOptionsBuilder::new().filters(&by(RUN)).build();
        let volumes = docker.list_volumes(Some(options)).await.ok();
        let volumes = volumes.and_then(|it| it.volumes).unwrap_or_default();
        found.extend(
            volumes
                .into_iter()
                .map(|volume| format!("volume {}", volume.name)),
        );
        Ok(found)
    });
    found.await.unwrap_or_default()
}
