//! Running a program beside the containers of a pod: an ephemeral container, in the pod's own network.
//!
//! It cannot be taken away again: it ends by itself, and stays in the pod's specification until the pod is gone.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::container::HOPELESS;
use super::{Container, Context, Cursor, KubernetesError};

/// How often a container is looked at that nobody announces the end of.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// A program in a container of its own.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// Where: the pod, and what the container is called in it.
    pub container: &'a Container,
    /// Its image.
    pub image: &'a str,
    /// The arguments of the image's entry point. Everybody who may read the pod can read them.
    pub arguments: &'a [String],
    /// As which user it runs; never root.
    pub user: u32,
}

/// What a container may do that needs no rights: nothing. It fits the Pod Security Standard `restricted`.
#[must_use]
pub fn without_privileges(user: u32) -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": user,
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

impl Context {
    /// Runs it to its end; what it printed.
    ///
    /// # Errors
    /// When it may not be run, does not start, fails, or has not ended `within` that time.
    pub async fn run_beside(
        &self,
        program: &Beside<'_>,
        within: Duration,
    ) -> Result<Vec<String>, KubernetesError> {
        let container = program.container;
        let pods: Api<Pod> = Api::namespaced(self.client(), &container.namespace);
        self.add(&pods, program).await?;
        let what = format!("container {container}");
        let deadline = Instant::now() + within;
        let exit_code = loop {
            let pod = self.bounded(&what, pods.get(&container.pod)).await?;
            if let Some(code) = ended(&pod, &what, &container.name)? {
                break code;
            }
            if Instant::now() > deadline {
                return Err(KubernetesError::NotEnded { what, after: within });
            }
            sleep(LOOK_AGAIN).await;
        };
        let lines = self.log(container, &mut Cursor::default()).await?;
        match exit_code {
            0 => Ok(lines),
            code => Err(KubernetesError::NotRun {
                what,
                message: format!(
                    "it ended with {code}: {}",
                    lines.last().map_or("it said nothing", String::as_str)
                ),
            }),
        }
    }

    async fn add(&self, pods: &Api<Pod>, program: &Beside<'_>) -> Result<(), KubernetesError> {
        let container = program.container;
        let patch = json!({"spec": {"ephemeralContainers": [{
            "name": container.name,
            "image": program.image,
            "args": program.arguments,
            "securityContext": without_privileges(program.user),
        }]}});
        let what = format!(
            "an ephemeral container to pod {}/{}",
            container.namespace, container.pod
        );
        let (parameters, patch) = (PatchParams::default(), Patch::Strategic(&patch));
        let write = pods.patch_ephemeral_containers(&container.pod, &parameters, &patch);
        self.bounded_to("add", &what, write).await.map(|_| ())
    }
}

/// With what an ephemeral container ended; `None`: not yet.
fn ended(pod: &Pod, what: &str, name: &str) -> Result<Option<i32>, KubernetesError> {
    let status = pod.status.as_ref();
    let mut all = status
        .and_then(|it| it.ephemeral_container_statuses.as_deref())
        .unwrap_or_default()
        .iter();
    let state = all.find(|it| it.name == name).and_then(|it| it.state.as_ref());
    match state {
        Some(ContainerState {
            terminated: Some(terminated),
            ..
        }) => Ok(Some(terminated.exit_code)),
        Some(ContainerState {
            waiting: Some(waiting),
            ..
        }) if waiting.reason.as_deref().is_some_and(|it| HOPELESS.contains(&it)) => {
            let reason = waiting.reason.as_deref().unwrap_or_default();
            let message = waiting.message.as_deref().unwrap_or_default();
            Err(KubernetesError::NotRun {
                what: what.to_owned(),
                message: format!("it does not start: {reason} {message}")
                    .trim_end()
                    .to_owned(),
            })
        }
        _ => Ok(None),
    }
}
