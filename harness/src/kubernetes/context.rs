//! A cluster, opened by the name of its context.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use kube::client::AuthError;
use kube::core::Status;

use super::KubernetesError;
use super::error::message;
use super::kubeconfig;

/// How long a connection may take. A reachable server answers in milliseconds, one across the world in half a second.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one answer may take. A page of 500 pods takes an API server well below a second.
const ANSWER: Duration = Duration::from_secs(30);

/// A cluster that answers.
#[derive(Clone)]
pub struct Context {
    name: String,
    server: String,
    release: String,
    answer: Duration,
    client: kube::Client,
}

impl Context {
    /// Opens a context of the kubeconfig at `path`, or of the one that kubectl would read. The name is never defaulted:
    /// what would be asked, or changed, somewhere else than meant is worse than a missing argument.
    ///
    /// # Errors
    /// When there is no such context, its server cannot be reached, or refuses its credentials.
    pub async fn open(name: &str, path: Option<&Path>) -> Result<Self, KubernetesError> {
        Self::open_within(name, path, ANSWER).await
    }

    /// As [`Self::open`], with another bound on each answer.
    ///
    /// # Errors
    /// As there.
    pub async fn open_within(
        name: &str,
        path: Option<&Path>,
        answer: Duration,
    ) -> Result<Self, KubernetesError> {
        let mut config = kubeconfig::config(name, path).await?;
        config.connect_timeout = Some(CONNECT);
        // Answers are bounded one by one; a watch may be silent for long.
        config.read_timeout = None;
        let server = config.cluster_url.to_string();
        let client = kube::Client::try_from(config).map_err(|error| KubernetesError::Credentials {
            context: name.to_owned(),
            message: without_output(&error),
        })?;
        let mut context = Self {
            name: name.to_owned(),
            server,
            release: String::new(),
            answer,
            client,
        };
        let version = context
            .bounded("its version", context.client.apiserver_version())
            .await;
        context.release = match version {
            Ok(version) => version.git_version,
            // Nothing worked yet, so that nothing went away.
            Err(KubernetesError::Gone { message, .. }) => {
                return Err(KubernetesError::Unreachable {
                    context: name.to_owned(),
                    server: context.server,
                    message,
                });
            }
            Err(error) => return Err(error),
        };
        Ok(context)
    }

    /// Its name in the kubeconfig.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its API server is.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The API server's release, as `v1.33.1`.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The client, for what is not provided here. Bound what it is asked: see [`Self::bounded`].
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Awaits an answer about `what`, no longer than an answer may take.
    ///
    /// # Errors
    /// When there is none in time, or it is an error.
    pub async fn bounded<T>(
        &self,
        what: &str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, KubernetesError> {
        self.bounded_to("get", what, answer).await
    }

    /// The same where it is no question: `verb` says what may have failed.
    pub(super) async fn bounded_to<T>(
        &self,
        verb: &'static str,
        what: &str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, KubernetesError> {
        match tokio::time::timeout(self.answer, answer).await {
            Ok(answered) => answered.map_err(|error| self.failed(verb, what, &error)),
            Err(_) => Err(KubernetesError::Silent {
                what: what.to_owned(),
                after: self.answer,
            }),
        }
    }

    /// How long one answer may take.
    pub(super) const fn answer(&self) -> Duration {
        self.answer
    }

    /// The error of the client library in our terms.
    pub(super) fn failed(&self, verb: &'static str, what: &str, error: &kube::Error) -> KubernetesError {
        let what = what.to_owned();
        match error {
            kube::Error::Api(status) => self.refused(verb, what, status),
            kube::Error::Auth(error) => KubernetesError::Credentials {
                context: self.name.clone(),
                message: without_output(error),
            },
            // Credentials are got within the service, where they are needed.
            kube::Error::Service(error) if error.is::<AuthError>() => KubernetesError::Credentials {
                context: self.name.clone(),
                message: without_output(&**error),
            },
            kube::Error::Service(error) => KubernetesError::Gone {
                what,
                message: message(&**error),
            },
            other => KubernetesError::Gone {
                what,
                message: message(other),
            },
        }
    }

    fn refused(&self, verb: &'static str, what: String, status: &Status) -> KubernetesError {
        match status.code {
            401 => KubernetesError::Unauthorized {
                context: self.name.clone(),
            },
            // Everybody is refused where a namespace goes, whatever they may do.
            403 if !status.message.contains("it is being terminated") => {
                KubernetesError::Forbidden { verb, what }
            }
            410 => KubernetesError::Expired { what },
            code => KubernetesError::Refused {
                what,
                code,
                message: status.message.clone(),
            },
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name)
            .field("server", &self.server)
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}

/// What a credential helper printed may be a token; the library shows it.
fn without_output(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<AuthError>() {
            Some(AuthError::AuthExecRun { out, .. }) => {
                return format!("its helper ended with {}", out.status);
            }
            Some(AuthError::AuthExecParse(_)) => {
                return "what its helper printed is no credential".to_owned();
            }
            _ => cause = error.source(),
        }
    }
    message(error)
}
