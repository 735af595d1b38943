//! Which image is the proxy of a release, and what is in it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use semver::Version;
use tokio::sync::Mutex;

use crate::child::Running as _;
use crate::docker::{ContainersOfRun, DockerError, Image, Start};
use crate::envoy::binary::{EnvoyBinary, sha256_of, version_in};
use crate::mesh::MeshError;

/// Where istio/proxyv2 and envoyproxy/envoy have it.
const PROXY: &str = "/usr/local/bin/envoy";

/// What has every release, whatever hub its charts name (`manifests/istio/releases.yaml`).
const RELEASED: &str = "docker.io/istio/proxyv2";

/// Which container images stand for which Istio releases.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProxyImages {
    /// For every release that `by_release` does not name.
    all: Option<String>,
    by_release: BTreeMap<Version, String>,
}

/// An image was named wrongly: bad usage, exit code 2.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ImageError {
    /// Nothing, or something with blanks in it.
    #[error(
        "`{text}` in --proxy-image is no image; write IMAGE or RELEASE=IMAGE, for example 1.24.0=istio/proxyv2:1.24.0"
    )]
    NoImage {
        /// What was written.
        text: String,
    },
    /// The part before `=` is no release.
    #[error(
        "`{release}` in --proxy-image is not an Istio release; write all three numbers, for example 1.24.0"
    )]
    NotARelease {
        /// What was written.
        release: String,
    },
    /// Two images for the same.
    #[error("--proxy-image names two images for {what}; keep one")]
    Twice {
        /// A release, or all.
        what: String,
    },
}

impl ProxyImages {
    /// Reads the values of `--proxy-image`: `IMAGE` for all releases, `RELEASE=IMAGE` for one.
    ///
    /// # Errors
    /// When one is malformed, or two are for the same.
    pub fn from_flags(flags: &[String]) -> Result<Self, ImageError> {
        let mut images = Self::default();
        for text in flags {
            let (release, image) = match text.split_once('=') {
                Some((release, image)) => (Some(release), image),
                None => (None, text.as_str()),
            };
            if image.is_empty() || image.contains(char::is_whitespace) {
                return Err(ImageError::NoImage { text: text.clone() });
            }
            let earlier = match release {
                None => images.all.replace(image.to_owned()),
                Some(release) => {
                    let parsed = release.parse().map_err(|_| ImageError::NotARelease {
                        release: release.to_owned(),
                    })?;
                    images.by_release.insert(parsed, image.to_owned())
                }
            };
            if earlier.is_some() {
                let what = release.unwrap_or("all releases").to_owned();
                return Err(ImageError::Twice { what });
            }
        }
        Ok(images)
    }

    /// As they are written on the command line.
    pub fn flags(&self) -> impl Iterator<Item = String> {
        let by_release = self.by_release.iter();
        let by_release = by_release.map(|(release, image)| format!("{release}={image}"));
        self.all.iter().cloned().chain(by_release)
    }

    /// Whether none was named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The image for a release: the one named, else that of the release.
    #[must_use]
    pub fn of(&self, release: &Version) -> String {
        let named = self.by_release.get(release).or(self.all.as_ref());
        named.cloned().unwrap_or_else(|| format!("{RELEASED}:{release}"))
    }
}

/// What the proxy of an image says of itself, and its digest.
type Examined = (Version, String);

/// The proxy in an image: it is asked in a container, once in the life of this process.
pub(super) async fn proxy_of(
    run: &ContainersOfRun,
    image: &Image,
    release: &Version,
) -> Result<EnvoyBinary, MeshError> {
    static EXAMINED: OnceLock<Mutex<HashMap<String, Examined>>> = OnceLock::new();
    let mut known = EXAMINED.get_or_init(Mutex::default).lock().await;
    let (version, sha256) = match known.get(&image.id) {
        Some(examined) => examined.clone(),
        None => {
            let examined = examine(run, image).await?;
            known.entry(image.id.clone()).or_insert(examined).clone()
        }
    };
    drop(known);
    let path = PathBuf::from(PROXY);
    Ok(EnvoyBinary::of_image(
        image.named.clone(),
        path,
        version,
        sha256,
        release.clone(),
    )?)
}

async fn examine(run: &ContainersOfRun, image: &Image) -> Result<Examined, MeshError> {
    let no_proxy = |said: String| DockerError::NoProxy {
        image: image.named.clone(),
        path: PROXY.into(),
        said,
    };
    let mut container = run.start(image, Start::Network).await?;
    let said = container
        .said_by([PROXY.to_owned(), "--version".to_owned()])
        .await;
    // The file system of the container, as the system shows it to root.
    let file = Path::new("/proc").join(container.process.to_string());
    let file = file.join("root").join(PROXY.trim_start_matches('/'));
    let digest = tokio::task::spawn_blocking(move || sha256_of(&file)).await;
    container.stop().await;
    let digest = digest.map_err(|error| MeshError::Internal(error.to_string()))?;
    let sha256 = digest.map_err(|error| no_proxy(error.to_string()))?;
    let said = said.map_err(no_proxy)?;
    let version = version_in(&said).ok_or_else(|| no_proxy(said.trim().to_owned()))?;
    Ok((version, sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str]) -> Result<ProxyImages, ImageError> {
        ProxyImages::from_flags(&flags.iter().map(|&it| it.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_release_has_its_own_image_unless_another_is_named() {
        let release = Version::new(1, 24, 0);
        let cases: [(&[&str], &str); 3] = [
            (&[], "docker.io/istio/proxyv2:1.24.0"),
            (&["mirror:5000/envoy:x"], "mirror:5000/envoy:x"),
            (&["one:x", "1.24.0=two@sha256:ab"], "two@sha256:ab"),
        ];
        for (flags, image) in cases {
            assert_eq!(read(flags).unwrap().of(&release), image, "{flags:?}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_remedy() {
        let cases: [&[&str]; 5] = [
            &[""],
            &["1.24.0="],
            &["1.24=x"],
            &["x", "y"],
            &["1.24.0=x", "1.24.0=y"],
        ];
        let messages = cases.map(|flags| read(flags).unwrap_err().to_string());
        insta::assert_snapshot!(messages.join("\n"));
    }
}
