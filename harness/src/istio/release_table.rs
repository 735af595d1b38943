//! The releases there are: the Envoy each rests on, the Kubernetes versions it supports, and until when it is supported.
//!
//! Data: `manifests/istio/releases.yaml`.

use std::sync::LazyLock;

use jiff::civil::Date;
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize};

use crate::snapshot::{YamlError, from_yaml};

const FILE: &str = "manifests/istio/releases.yaml";

/// All releases known.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseTable {
    /// The day the table was true.
    pub as_of: Date,
    releases: Vec<MinorRelease>,
    /// Node images of kind, oldest first.
    nodes: Vec<NodeImage>,
}

/// A minor release and its patches.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MinorRelease {
    /// As `1.30.0`: the minor's number with patch 0.
    #[serde(deserialize_with = "minor")]
    pub minor: Version,
    /// The day of its first patch.
    pub released: Date,
    /// The day after which nothing is fixed; absent while it is supported.
    pub end_of_life: Option<Date>,
    /// The minor release of Envoy, with patch 0.
    #[serde(deserialize_with = "minor")]
    pub envoy: Version,
    /// Where the published charts take images from.
    pub hub: String,
    /// The Kubernetes minors it supports, with patch 0, oldest first.
    #[serde(deserialize_with = "minors")]
    pub kubernetes: Vec<Version>,
    /// All its patches, oldest first.
    pub patches: Vec<Version>,
}

/// A node image of kind.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeImage {
    /// The Kubernetes release in it.
    pub kubernetes: Version,
    /// The release of kind it was built for.
    pub kind: Version,
    /// With tag and digest.
    pub image: String,
}

impl MinorRelease {
    /// Whether it supports a Kubernetes version.
    #[must_use]
    pub fn supports(&self, kubernetes: &Version) -> bool {
        let same = |it: &Version| (it.major, it.minor) == (kubernetes.major, kubernetes.minor);
        self.kubernetes.iter().any(same)
    }
}

static TABLE: LazyLock<Result<ReleaseTable, Box<YamlError>>> =
    LazyLock::new(|| from_yaml(include_str!("../../../manifests/istio/releases.yaml"), FILE));

impl ReleaseTable {
    /// The table that is built in.
    ///
    /// # Errors
    /// When it cannot be read, which a test rules out.
    pub fn known() -> Result<&'static Self, Box<YamlError>> {
        TABLE.as_ref().map_err(Clone::clone)
    }

    /// Every minor release, oldest first.
    #[must_use]
    pub fn minors(&self) -> &[MinorRelease] {
        &self.releases
    }

    /// The node images of kind whose Kubernetes all of these minor releases support, oldest first.
    pub fn nodes_for(&self, minors: &[&MinorRelease]) -> impl Iterator<Item = &NodeImage> {
        self.nodes
            .iter()
            .filter(move |node| minors.iter().all(|it| it.supports(&node.kubernetes)))
    }

    /// The minor release that a release belongs to.
    #[must_use]
    pub fn minor_of(&self, release: &Version) -> Option<&MinorRelease> {
        let same = |it: &&MinorRelease| (it.minor.major, it.minor.minor) == (release.major, release.minor);
        self.releases.iter().find(same)
    }

    /// Whether there is such a release.
    #[must_use]
    pub fn has(&self, release: &Version) -> bool {
        self.minor_of(release)
            .is_some_and(|it| it.patches.contains(release))
    }

    /// The release that was probably meant: the newest patch of the same minor, else the newest of all.
    #[must_use]
    pub fn nearest(&self, release: &Version) -> Option<&Version> {
        let minor = self.minor_of(release).or(self.releases.last())?;
        minor.patches.last()
    }

    /// The newest patch of the minor before that of a release.
    #[must_use]
    pub fn minor_before(&self, release: &Version) -> Option<&Version> {
        let index = self.releases.iter().position(|it| it.patches.contains(release))?;
        self.releases.get(index.checked_sub(1)?)?.patches.last()
    }
}

fn minor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    let written = String::deserialize(deserializer)?;
    Version::parse(&format!("{written}.0")).map_err(serde::de::Error::custom)
}

fn minors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Version>, D::Error> {
    let written: Vec<String> = Vec::deserialize(deserializer)?;
    let parsed = written.iter().map(|it| Version::parse(&format!("{it}.0")));
    parsed.collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        let table = ReleaseTable::known().unwrap();
        assert!(
            table
                .releases
                .is_sorted_by(|a, b| a.minor < b.minor && a.released < b.released)
        );
        for minor in &table.releases {
            // The proxy of Istio 1.N is Envoy 1.(N + 8).
            assert_eq!(minor.envoy.minor, minor.minor.minor + 8, "{}", minor.minor);
            assert!(
                minor.patches.is_sorted() && minor.kubernetes.is_sorted(),
                "{}",
                minor.minor
            );
            assert_eq!(minor.patches.first(), Some(&minor.minor));
            assert!(minor.patches.iter().all(|it| it.minor == minor.minor.minor));
            assert!(
                minor
                    .end_of_life
                    .is_none_or(|it| it > minor.released && it <= table.as_of)
            );
        }
    }

    #[test]
    fn a_release_that_does_not_exist_is_answered_with_one_that_does() {
        let table = ReleaseTable::known().unwrap();
        let cases = [("1.30.9", "1.30.5"), ("1.33.1", "1.31.1"), ("1.31.2", "1.31.1")];
        for (written, meant) in cases {
            let written: Version = written.parse().unwrap();
            assert!(!table.has(&written));
            assert_eq!(table.nearest(&written).unwrap().to_string(), meant);
        }
        assert_eq!(
            table.minor_before(&Version::new(1, 31, 0)),
            Some(&Version::new(1, 30, 5))
        );
        assert_eq!(table.minor_before(&Version::new(1, 22, 0)), None);
    }
}
