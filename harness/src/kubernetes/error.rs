//! What can go wrong between here and an API server, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

/// Why an API server gave no answer, or not the one asked for. No text of it holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// There is no kubeconfig.
    #[error("there is no kubeconfig at {}; name one with --kubeconfig, or set KUBECONFIG", path.display())]
    NoKubeconfig {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// A kubeconfig cannot be read, or what it says of the context cannot be used.
    #[error("the kubeconfig cannot be used: {message}")]
    Kubeconfig {
        /// What is wrong.
        message: String,
    },
    /// The kubeconfig has no such context.
    #[error(
        "there is no context {name} in the kubeconfig; {}",
        if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) }
    )]
    UnknownContext {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// What the kubeconfig names to get credentials gave none.
    #[error(
        "no credentials for the context {context}: {message}; `kubectl --context {context} get ns` shows what its helper says"
    )]
    Credentials {
        /// The context.
        context: String,
        /// What is wrong.
        message: String,
    },
    /// The credentials are wrong, or have expired.
    #[error(
        "the API server refuses the credentials of the context {context} (401): they are wrong or have expired; log in anew"
    )]
    Unauthorized {
        /// The context.
        context: String,
    },
    /// The credentials are good, and not for this.
    #[error("may not {verb} {what} (403)")]
    Forbidden {
        /// `list`, `watch`, …
        verb: &'static str,
        /// Of what, and where.
        what: String,
    },
    /// The server has no such resource: its CRD is not installed, or not in a version that can be read.
    #[error("the API server has no {resource} in {versions}: the CRD is missing, or of another version")]
    NotServed {
        /// The resource.
        resource: String,
        /// The versions that were tried.
        versions: String,
    },
    /// What was asked about is too long ago (410): a list or a watch must begin anew.
    #[error("the API server has forgotten the state that {what} began from (410); begin anew")]
    Expired {
        /// What was asked for.
        what: String,
    },
    /// There is no connection.
    #[error("cannot reach the API server of the context {context} at {server}: {message}")]
    Unreachable {
        /// The context.
        context: String,
        /// Its address.
        server: String,
        /// What the system said.
        message: String,
    },
    /// The connection was there, and is gone.
    #[error("the API server went away while it was asked for {what}: {message}")]
    Gone {
        /// What was asked for.
        what: String,
        /// What the system said.
        message: String,
    },
    /// There was no answer in time.
    #[error("the API server did not answer within {} s when asked for {what}", after.as_secs())]
    Silent {
        /// What was asked for.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// A program in a container of its own did not run to a good end.
    #[error("{what} is of no use: {message}")]
    NotRun {
        /// The container.
        what: String,
        /// Why.
        message: String,
    },
    /// A program in a container of its own ran on.
    #[error("{what} had not ended after {} s; `kubectl describe pod` says what it waits for", after.as_secs())]
    NotEnded {
        /// The container.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// Any other refusal.
    #[error("the API server refuses {what} ({code}): {message}")]
    Refused {
        /// What was asked for.
        what: String,
        /// HTTP status.
        code: u16,
        /// What it said.
        message: String,
    },
}

impl KubernetesError {
    /// Whether only this resource, or this place, is affected: others can still be read.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. } | Self::NotServed { .. } | Self::Expired { .. } | Self::Refused { .. }
        )
    }

    /// Whether the command line or the kubeconfig is wrong, rather than the cluster.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoKubeconfig { .. } | Self::Kubeconfig { .. } | Self::UnknownContext { .. }
        )
    }
}

/// What an error of the client library says, with its causes and without the output of credential helpers, in which there
/// may be tokens.
pub(super) fn message(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
