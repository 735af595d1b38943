//! An image by its digest.

use testcontainers::GenericImage;
use testcontainers::bollard::errors::Error;
use testcontainers::runners::AsyncRunner as _;

use super::DockerError;
use super::daemon::{daemon, to_its_end, whole};

/// An image that is here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Image {
    /// What it is started by: nothing that is pulled or tagged meanwhile takes its place.
    pub(crate) id: String,
    /// What it was asked for as, with the digest of the registry, or of this machine where it is of none.
    pub(crate) named: String,
}

impl Image {
    /// Finds an image, and pulls it where it is not here.
    ///
    /// # Errors
    /// When there is none, or no Docker.
    pub(crate) async fn find(reference: &str) -> Result<Self, DockerError> {
        let reference = reference.to_owned();
        to_its_end(async move {
            let docker = daemon().await?;
            let found = match docker.inspect_image(&reference).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                    let (name, tag) = name_and_tag(&reference);
                    let pulled = GenericImage::new(name, tag).pull_image().await;
                    pulled.map(drop).map_err(|error| missing(&reference, &error))?;
                    docker.inspect_image(&reference).await
                }
                other => other,
            };
            let found = found.map_err(|error| missing(&reference, &error))?;
            let id = found.id.unwrap_or_default();
            let digests = found.repo_digests.unwrap_or_default();
            let digest = digests.iter().find_map(|it| it.split_once('@')).map(|(_, it)| it);
            Ok(Self {
                named: named(&reference, digest.unwrap_or(&id)),
                id,
            })
        })
        .await
    }

    /// As testcontainers takes it, which puts a colon between the two.
    pub(super) fn generic(&self) -> GenericImage {
        let (name, tag) = name_and_tag(&self.id);
        GenericImage::new(name, tag)
    }
}

fn missing(image: &str, error: &dyn std::error::Error) -> DockerError {
    DockerError::NoImage {
        image: image.to_owned(),
        said: whole(error),
    }
}

fn named(reference: &str, digest: &str) -> String {
    match reference.contains('@') {
        true => reference.to_owned(),
        false => format!("{reference}@{digest}"),
    }
}

/// Divides a reference at its tag, or at the colon within its digest. Without either, `latest` is meant.
fn name_and_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_divided_at_its_tag_and_not_at_a_port() {
        let cases = [
            ("istio/proxyv2:1.24.0", ("istio/proxyv2", "1.24.0")),
            ("mirror:5000/proxyv2", ("mirror:5000/proxyv2", "latest")),
            ("mirror:5000/proxyv2:1", ("mirror:5000/proxyv2", "1")),
            ("proxyv2@sha256:ab", ("proxyv2@sha256", "ab")),
            ("sha256:ab", ("sha256", "ab")),
            ("envoy", ("envoy", "latest")),
        ];
        for (reference, divided) in cases {
            assert_eq!(name_and_tag(reference), divided, "{reference}");
        }
    }

    #[test]
    fn an_image_is_named_with_its_digest_once() {
        assert_eq!(named("proxyv2:1.24.0", "sha256:ab"), "proxyv2:1.24.0@sha256:ab");
        assert_eq!(named("proxyv2@sha256:ab", "sha256:ab"), "proxyv2@sha256:ab");
    }
}
