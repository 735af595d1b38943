//! What is to be made, in pairings that Istio supports.

use semver::Version;

use super::ClusterError;
use crate::istio::{MinorRelease, NodeImage, ReleaseTable};

/// Releases of Istio, and a node image whose Kubernetes all of them support.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) releases: Vec<Release>,
    pub(super) node: NodeImage,
    /// An image of this machine's docker that the nodes get.
    pub(super) agent: Option<String>,
}

/// A release, to be installed as a revision.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) version: Version,
    pub(super) hub: String,
}

impl Release {
    /// As `1-24-1`: a revision is part of names of objects.
    pub(super) fn revision(&self) -> String {
        self.version.to_string().replace('.', "-")
    }
}

impl Plan {
    /// These releases on a minor of Kubernetes (`1.31`), or on the newest that all of them support.
    ///
    /// # Errors
    /// When there is no such release, or no node image that all of them support.
    pub fn new(releases: &[Version], kubernetes: Option<&str>) -> Result<Self, ClusterError> {
        let table = ReleaseTable::known()?;
        let mut releases = releases.to_vec();
        releases.sort();
        releases.dedup();
        if releases.is_empty() {
            return Err(ClusterError::NoRelease);
        }
        let known = releases.iter().map(|release| {
            let minor = table.minor_of(release).filter(|_| table.has(release));
            minor.ok_or_else(|| ClusterError::UnknownRelease {
                release: release.clone(),
                nearest: table.nearest(release).cloned(),
            })
        });
        let minors: Vec<&MinorRelease> = known.collect::<Result<_, _>>()?;
        let possible: Vec<&NodeImage> = table.nodes_for(&minors).collect();
        let chosen = match kubernetes {
            None => possible.last(),
            Some(asked) => possible.iter().find(|it| minor(&it.kubernetes) == asked),
        };
        let Some(node) = chosen else {
            let names: Vec<String> = releases.iter().map(Version::to_string).collect();
            let possible: Vec<String> = possible.iter().map(|it| minor(&it.kubernetes)).collect();
            return Err(ClusterError::NotSupported {
                asked: match kubernetes {
                    Some(asked) => format!("Kubernetes {asked} is not both"),
                    None => "no Kubernetes is both".to_owned(),
                },
                releases: names.join(" and "),
                possible: possible.join(", "),
            });
        };
        let releases = releases.into_iter().zip(minors);
        Ok(Self {
            node: (*node).clone(),
            agent: None,
            releases: releases
                .map(|(version, minor)| Release {
                    version,
                    hub: minor.hub.clone(),
                })
                .collect(),
        })
    }
}

impl Plan {
    /// Also gives the nodes this image of the agent, which no registry has.
    #[must_use]
    pub fn with_agent(self, image: Option<String>) -> Self {
        Self { agent: image, ..self }
    }
}

fn minor(kubernetes: &Version) -> String {
    format!("{}.{}", kubernetes.major, kubernetes.minor)
}
