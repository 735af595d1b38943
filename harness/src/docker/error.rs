//! Why there is no Docker, or not what is needed of it.

use std::io;
use std::path::PathBuf;

/// Docker could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Nothing answers.
    #[error(
        "there is no Docker here: {said} (install and start it, or say where it is in DOCKER_HOST; without it, use --on netns \
         or --on local)"
    )]
    Unreachable {
        /// What was said.
        said: String,
    },
    /// It does not speak with this user, or not well.
    #[error("Docker refuses: {said} (may this user speak with it? are daemon and DOCKER_HOST right?)")]
    Refused {
        /// What was said.
        said: String,
    },
    /// There is no such image, and none can be pulled.
    #[error(
        "the image {image} is not here, and cannot be pulled: {said} (load it with `docker load`, or name one that is here \
         with --proxy-image)"
    )]
    NoImage {
        /// The image.
        image: String,
        /// What was said.
        said: String,
    },
    /// An image that no sidecar can be made of.
    #[error("the image {image} holds no proxy at {path}: {said} (name one of istio/proxyv2 or envoyproxy/envoy)", path = path.display())]
    NoProxy {
        /// The image.
        image: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What was said.
        said: String,
    },
    /// A container could not be started.
    #[error(
        "cannot start a container of {image}: {said} (it needs a shell at /bin/sh, which distroless images have not)"
    )]
    Start {
        /// The image.
        image: String,
        /// What was said.
        said: String,
    },
    /// The namespaces of containers are closed to this user.
    #[error(
        "cannot enter the network of a container: {source} (the docker tier needs root, on the machine of the daemon)"
    )]
    Closed {
        /// What the system said.
        source: io::Error,
    },
    /// No thread for it.
    #[error("cannot start a thread that speaks with Docker: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// What spoke with Docker is gone.
    #[error("what speaks with Docker failed: {said}")]
    Lost {
        /// What was said.
        said: String,
    },
}
