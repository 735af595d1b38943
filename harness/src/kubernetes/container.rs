//! Containers of pods: running a program in one, and reading what it logged.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, LogParams};
use kube::core::Request;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::{Context, KubernetesError};

/// As much as is read of one stream of a program. The configuration of a sidecar among a thousand Services has some 30 MB.
const LONGEST_OUTPUT: u64 = 128 * 1024 * 1024;
/// As much as is read of a log at once; what a sidecar logs of one call are some kilobytes.
const LONGEST_LOG: u64 = 16 * 1024 * 1024;

/// Why a container waits that will not start by waiting.
pub const HOPELESS: [&str; 7] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

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

/// How far a log has been read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cursor {
    /// The time of the last line, as the node wrote it: to the nanosecond, all of one length.
    last: String,
    /// How many lines of that time were read.
    of_last: usize,
}

impl Cursor {
    /// From this time on.
    #[must_use]
    pub fn since(time: jiff::Timestamp) -> Self {
        Self {
            last: format!("{time:.9}"),
            of_last: 0,
        }
    }
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

    /// The lines that a container has logged since it was last read with this cursor, without their times.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn log(
        &self,
        container: &Container,
        cursor: &mut Cursor,
    ) -> Result<Vec<String>, KubernetesError> {
        let what = format!("the log of container {container}");
        let mut parameters = LogParams {
            container: Some(container.name.clone()),
            timestamps: true,
            limit_bytes: i64::try_from(LONGEST_LOG).ok(),
            ..LogParams::default()
        };
        if let Ok(since) = cursor.last.parse() {
            parameters.since_time = Some(since);
        }
        let read = async {
            let path = format!("/api/v1/namespaces/{}/pods", container.namespace);
            let request = Request::new(path)
                .logs(&container.pod, &parameters)
                .map_err(kube::Error::BuildRequest)?;
            self.client().request_text(request).await
        };
        let text = self.bounded(&what, read).await?;
        let mut lines = Vec::new();
        let mut known = cursor.of_last;
        // A line that is still being written is not taken.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let (time, line) = line.split_once(' ').unwrap_or((line, ""));
            match time.cmp(&cursor.last) {
                Ordering::Less => continue,
                Ordering::Equal if known > 0 => {
                    known -= 1;
                    continue;
                }
                Ordering::Equal => cursor.of_last += 1,
                Ordering::Greater => {
                    *cursor = Cursor {
                        last: time.to_owned(),
                        of_last: 1,
                    };
                    known = 0;
                }
            }
            lines.push(line.to_owned());
        }
        Ok(lines)
    }
}

async fn all_of(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(LONGEST_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
