//! A container, and all of a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use testcontainers::bollard::models::HostConfig;
use testcontainers::core::{ExecCommand, Mount};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::daemon::{RUN, daemon, now, remove_all, speaking, to_its_end, whole};
use super::{DockerError, Image};
use crate::child::Running;

/// How many containers of a run are started at once.
const AT_ONCE: u32 = 4;

/// The shell that containers are started by.
const SHELL: &str = "/bin/sh";

/// What a container runs.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// Nothing, in a network of its own without any interface: what other containers, and the harness, go into.
    Network,
    /// A command, in the network of another container. What it complains of goes into the file `log`.
    Command {
        /// The id of the other container.
        network_of: String,
        /// The command with its arguments.
        command: Vec<String>,
        /// Where it says what it has to say. The shell opens it, so that a line that is written is there.
        log: String,
    },
}

/// The containers of one run. All of them are gone once this is dropped.
#[derive(Debug)]
pub(crate) struct ContainersOfRun {
    folder: PathBuf,
    /// A permit is held by whoever starts a container.
    starting: Arc<Semaphore>,
}

impl ContainersOfRun {
    /// None yet. Each sees the folder at the path that it has here.
    pub(crate) fn new(folder: PathBuf) -> Self {
        let permits = usize::try_from(AT_ONCE).unwrap_or(1);
        Self {
            folder,
            starting: Arc::new(Semaphore::new(permits)),
        }
    }

    /// Starts a container.
    ///
    /// # Errors
    /// When Docker does not start it.
    pub(crate) fn start(
        &self,
        image: &Image,
        start: Start,
    ) -> impl Future<Output = Result<Container, DockerError>> + Send + use<> {
        let (starting, folder, image) = (Arc::clone(&self.starting), self.folder.clone(), image.clone());
        to_its_end(async move {
            let _permit = starting.acquire_owned().await;
            Container::start(&image, start, &folder).await
        })
    }
}

impl Drop for ContainersOfRun {
    fn drop(&mut self) {
        let (starting, run) = (Arc::clone(&self.starting), run_of(&self.folder));
        now(async move {
            // Who is given up while starting is not removed by anybody else.
            let _all = starting.acquire_many(AT_ONCE).await;
            remove_all(&run).await;
        });
    }
}

/// A container that runs. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    /// Of its first process, as the system of the daemon numbers them.
    pub(crate) process: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Held(Box<ContainerAsync<GenericImage>>),
    Going(JoinHandle<()>),
    Gone,
}

impl Container {
    async fn start(image: &Image, start: Start, folder: &Path) -> Result<Self, DockerError> {
        let failed = |error: &dyn std::error::Error| DockerError::Start {
            image: image.named.clone(),
            said: whole(error),
        };
        let (network, script, mut arguments) = match start {
            Start::Network => ("none".to_owned(), "read -r until_its_input_ends", Vec::new()),
            Start::Command {
                network_of,
                mut command,
                log,
            } => {
                command.insert(0, log);
                let script = r#"log=$1; shift; exec "$@" >/dev/null 2>>"$log""#;
                (format!("container:{network_of}"), script, command)
            }
        };
        let mut command = vec!["-c".to_owned(), script.to_owned(), "meshproof".to_owned()];
        command.append(&mut arguments);
        let run = run_of(folder);
        let started = image
            .generic()
            .with_entrypoint(SHELL)
            .with_cmd(command)
            .with_label(RUN, &run)
            .with_open_stdin(true)
            // The run directory is the harness's alone; marks on what a proxy sends take this capability, and nothing else.
            .with_user("0:0")
            .with_cap_drop("ALL")
            .with_cap_add("NET_ADMIN")
            .with_mount(Mount::bind_mount(&run, &run))
            .with_host_config_modifier(move |config: &mut HostConfig| {
                // testcontainers would make a network of this name, and publish ports of it.
                config.network_mode = Some(network.clone());
                config.publish_all_ports = None;
                config.port_bindings = None;
            })
            .start()
            .await
            .map_err(|error| failed(&error))?;
        let inspected = daemon().await?.inspect_container(started.id(), None).await;
        let state = inspected.map_err(|error| failed(&error))?.state;
        let process = state.and_then(|state| state.pid).unwrap_or_default();
        Ok(Self {
            id: started.id().to_owned(),
            process: u32::try_from(process).unwrap_or_default(),
            state: State::Held(Box::new(started)),
        })
    }

    /// What a command says that is run in it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(crate) async fn said_by(&mut self, command: [String; 2]) -> Result<String, String> {
        let State::Held(container) = &self.state else {
            return Err("the container is gone".to_owned());
        };
        let running = container.exec(ExecCommand::new(command)).await;
        let said = running.map_err(|error| whole(&error))?.stdout_to_vec().await;
        let said = said.map_err(|error| whole(&error))?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

#[async_trait]
impl Running for Container {
    fn id(&self) -> Option<u32> {
        is_there(self.process).then_some(self.process)
    }

    fn ended(&mut self) -> Option<String> {
        let is_there = matches!(self.state, State::Held(_)) && is_there(self.process);
        (!is_there).then(|| format!("container {}", self.id))
    }

    fn kill(&mut self) {
        match (std::mem::replace(&mut self.state, State::Gone), speaking()) {
            (State::Held(container), Ok(speaking)) => {
                self.state = State::Going(speaking.spawn(async move {
                    // Fails only where it is being removed already; the run's label finds what is left.
                    let _ = container.rm().await;
                }));
            }
            (other, _) => self.state = other,
        }
    }

    async fn stop(&mut self) {
        self.kill();
        if let State::Going(going) = &mut self.state {
            // Fails only with the thread that speaks with Docker.
            let _ = going.await;
            self.state = State::Gone;
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.kill();
        if let State::Going(going) = std::mem::replace(&mut self.state, State::Gone) {
            now(async move {
                let _ = going.await;
            });
        }
    }
}

fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

fn run_of(folder: &Path) -> String {
    folder.display().to_string()
}
