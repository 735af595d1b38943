//! What can go wrong in a mesh, apart from calls being refused.

use std::path::PathBuf;
use std::time::Duration;

use crate::call::{Call, PodName, WorkloadName};
use crate::docker::DockerError;
use crate::envoy::binary::ProvisionError;
use crate::envoy::{AdminError, ProcessError, XdsError};
use crate::invocation;
use crate::kernel::TracerError;
use crate::kubernetes::KubernetesError;
use crate::pki::PkiError;
use crate::probe::DialError;
use crate::wire::WireError;

use super::{ApplicationError, NetnsError, RunDirectoryError, Tier};

/// Why a mesh could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// An Envoy binary is not to be had. This machine cannot run the tier.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The run directory.
    #[error(transparent)]
    RunDirectory(#[from] RunDirectoryError),
    /// An Envoy process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The control plane.
    #[error(transparent)]
    Xds(#[from] XdsError),
    /// The admin interface.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// An application could not listen.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// A desired state did not come into force in time.
    #[error(
        "{node} did not put its configuration in force within {within:?}; still waiting for {waiting_for}"
    )]
    NotInForce {
        /// The proxy.
        node: String,
        /// The limit.
        within: Duration,
        /// What was still missing.
        waiting_for: String,
    },
    /// Too few requests of a load ended.
    #[error("the load stalled: too few of its requests ended within {within:?}")]
    LoadStalled {
        /// The limit.
        within: Duration,
    },
    /// A request that nothing stands against was not answered by the application.
    #[error(
        "request {number} of {call} was not answered by the application: nothing that is measured here means anything"
    )]
    NotAnswered {
        /// The call.
        call: String,
        /// Which of its requests, from 0.
        number: usize,
    },
    /// Proxies did not log what they owe.
    #[error("the proxies did not come to rest within {within:?}; still waiting for {missing}")]
    NotQuiet {
        /// The limit.
        within: Duration,
        /// What was still missing.
        missing: String,
    },
    /// A leaf that was to expire while in use did so before enough requests had ended.
    #[error(
        "a leaf that was to expire under load did so before enough requests had ended: this machine is too busy, run it again"
    )]
    ExpiredEarly,
    /// A call could not even be tried.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A workload is not part of the mesh.
    #[error("no workload {workload} in this mesh")]
    UnknownWorkload {
        /// The workload.
        workload: WorkloadName,
    },
    /// A call was made that was not part of the desired state.
    #[error("the call {call} was not planned: {missing}")]
    NotPlanned {
        /// The call.
        call: Box<Call>,
        /// What is missing for it.
        missing: String,
    },
    /// A call was made that the recorded run did not make.
    #[error(
        "the recorded run made no call {call} in this phase (the scenario has changed since: record it again)"
    )]
    NotRecorded {
        /// The call.
        call: Box<Call>,
    },
    /// The tier needs a cluster, and none was named.
    #[error("the tier {tier} needs a cluster: name its context")]
    NoCluster {
        /// The tier.
        tier: Tier,
    },
    /// An API server.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// What a run would create is there already and not of this run.
    #[error("{object} is there already and was not made by this run; remove it, or use another cluster")]
    Taken {
        /// The object.
        object: String,
    },
    /// Another run has taken the injection webhook away, and has not put it back.
    #[error(
        "run {run} has removed the injection webhook of context {context}, and pods would come without sidecars: wait for its \
         end, or, where it was killed, put it back with `{remedy}`"
    )]
    WebhookRemoved {
        /// The run.
        run: String,
        /// The context.
        context: String,
        /// What puts it back.
        remedy: String,
    },
    /// Pods did not come, or go, in time.
    #[error("not ready within {} s: {what}", within.as_secs())]
    NotReady {
        /// What was waited for.
        what: String,
        /// The limit.
        within: Duration,
    },
    /// A container will not start.
    #[error(
        "container {container} of pod {pod} does not start ({reason}): {message}{}",
        if reason.contains("Image") {
            format!("; is the image of the agent in the cluster? ({} cluster up --agent IMAGE)", invocation::command())
        } else {
            String::new()
        }
    )]
    PodFails {
        /// `namespace/name`.
        pod: String,
        /// The container.
        container: String,
        /// The reason in its status.
        reason: String,
        /// What the node says of it.
        message: String,
    },
    /// The cluster refuses to make pods.
    #[error("the cluster makes no pods for deployment {deployment}: {message}")]
    PodRefused {
        /// `namespace/name`.
        deployment: String,
        /// What it says.
        message: String,
    },
    /// A program in a container failed.
    #[error("`{program}` in container {container} failed: {message}")]
    ProgramFailed {
        /// With its arguments.
        program: String,
        /// The container.
        container: String,
        /// What it said.
        message: String,
    },
    /// Evidence of a failed call cannot be kept.
    #[error("cannot write {}", path.display())]
    Bundle {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No port for a listener.
    #[error("no port for a listener of the pod {pod}: check the limits on open files and on local ports")]
    NoPort {
        /// The pod.
        pod: PodName,
        /// What the system said.
        source: std::io::Error,
    },
    /// A network namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Docker, or an image.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// Nothing could be put in the way to a pod.
    #[error("no socket to stand in for a fault of the network: check the limits on open files")]
    Obstacle {
        /// What the system said.
        source: std::io::Error,
    },
    /// The kernel was to be watched, and is not any more.
    #[error(transparent)]
    Kernel(#[from] TracerError),
    /// The wire was to be listened in on.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The harness broke one of its own rules.
    #[error("internal fault of the harness: {0}")]
    Internal(String),
}

impl MeshError {
    /// Whether the fault lies with this machine (a missing binary, no room) and not with the harness.
    #[must_use]
    pub const fn is_machine(&self) -> bool {
        matches!(
            self,
            Self::Provision(_)
                | Self::RunDirectory(_)
                | Self::Wire(_)
                | Self::Docker(_)
                | Self::Netns(NetnsError::Namespace { .. } | NetnsError::Missing { .. })
                | Self::NoCluster { .. }
                | Self::Kubernetes(_)
                | Self::Taken { .. }
                | Self::WebhookRemoved { .. }
                | Self::PodFails { .. }
                | Self::PodRefused { .. }
        )
    }
}
