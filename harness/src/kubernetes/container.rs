//! Containers of pods: running a program in one.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::{Context, KubernetesError};

/// As much as is read of one stream of a program. The configuration of a sidecar among a thousand Services has some 30 MB.
const LONGEST_OUTPUT: u64 = 128 * 1024 * 1024;

/// A container of a pod.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Container {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub name: String,
}

/// What came of a program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Executed {
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
    /// Why it failed, as the node says it; absent where it ended with 0.
    pub failure: Option<String>,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of pod {}/{}", self.name, self.namespace, self.pod)
    }
}

impl Context {
    /// Runs a program in a container, with one text on its standard input.
    ///
    /// # Errors
    /// When it may not be run, there is no such container, or it has not ended `within` that time. A program that fails is
    /// no error.
    pub async fn exec(
        &self,
        container: &Container,
        command: &[&str],
        input: Option<&str>,
        within: Duration,
    ) -> Result<Executed, KubernetesError> {
        let program = command.first().copied().unwrap_or_default();
        let what = format!("{program} in container {container}");
        let parameters = AttachParams::default()
            .container(&container.name)
            .stdin(input.is_some())
            .stdout(true)
            .stderr(true);
        let run = async {
            let pods: Api<Pod> = Api::namespaced(self.client(), &container.namespace);
            let mut process = pods
                .exec(&container.pod, command.iter().copied(), &parameters)
                .await
                .map_err(|error| self.failed("exec", &what, &error))?;
            let broken = |message: String| KubernetesError::Gone {
                what: what.clone(),
                message,
            };
            // Held to the end: to close it, the client closes the whole connection where the server is older than 1.30.
            let mut stdin = process.stdin();
            if let (Some(text), Some(stdin)) = (input, &mut stdin) {
                let written = async {
                    stdin.write_all(text.as_bytes()).await?;
                    stdin.flush().await
                };
                written.await.map_err(|error| broken(error.to_string()))?;
            }
            let ended = process.take_status();
            let ended = async {
                let status = match ended {
                    Some(ended) => ended.await,
                    None => None,
                };
                status.ok_or_else(|| broken("the connection ended before the program did".to_owned()))
            };
            let (output, errors) = (process.stdout(), process.stderr());
            let streams = async {
                let read = tokio::try_join!(all_of(output), all_of(errors));
                read.map_err(|error| broken(error.to_string()))
            };
            // Streams of a connection that broke do not end; the wait for the status does.
            let ((output, errors), status) = tokio::try_join!(streams, ended)?;
            let failure = (status.status.as_deref() == Some("Failure"))
                .then(|| status.message.unwrap_or_else(|| "it failed".to_owned()));
            Ok(Executed {
                output,
                errors,
                failure,
            })
        };
        match tokio::time::timeout(within, run).await {
            Ok(executed) => executed,
            Err(_) => Err(KubernetesError::Silent { what, after: within }),
        }
    }
}

async fn all_of(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(LONGEST_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
