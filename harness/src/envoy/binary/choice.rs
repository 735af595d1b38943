//! Which Envoy stands for an Istio release.

use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::error::ProvisionError;
use super::pins::Pins;

/// How near a proxy is to the release it stands for. No claim about a release is proven by a stand-in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// The release's own istio-proxy.
    Istio,
    /// Upstream Envoy of the minor version the release is built on.
    UpstreamSameMinor,
    /// Another minor version.
    StandIn,
}

impl Provenance {
    /// As written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::UpstreamSameMinor => "upstream-same-minor",
            Self::StandIn => "stand-in",
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The pinned Envoy that stands for an Istio release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Choice {
    /// The Envoy version.
    pub envoy: Version,
    /// How near it is: never [`Provenance::Istio`], because upstream builds are no istio-proxy.
    pub provenance: Provenance,
}

/// Chooses the pinned Envoy for an Istio release: of the same minor version, else of the nearest.
///
/// # Errors
/// When the embedded pins are invalid, which a test excludes.
pub fn choose(istio: &Version) -> Result<Choice, ProvisionError> {
    Ok(Pins::embedded()?.choose(istio))
}

impl Pins {
    /// Chooses the pinned Envoy for an Istio release: of the same minor version, else of the nearest.
    #[must_use]
    pub fn choose(&self, istio: &Version) -> Choice {
        let wanted = envoy_minor(istio);
        let nearest = self
            .versions()
            .rev()
            .min_by_key(|envoy| position((envoy.major, envoy.minor)).abs_diff(position(wanted)));
        Choice {
            provenance: match nearest {
                Some(envoy) if (envoy.major, envoy.minor) == wanted => Provenance::UpstreamSameMinor,
                _ => Provenance::StandIn,
            },
            envoy: nearest.unwrap_or_else(|| self.newest()).clone(),
        }
    }

    /// The Istio release that a pinned Envoy stands for: the first of its minor version. Nothing if it is not pinned, or
    /// if another pinned one is chosen for that release.
    #[must_use]
    pub fn stands_for(&self, envoy: &Version) -> Option<Version> {
        let istio = Version::new(envoy.major, envoy.minor.checked_sub(MINORS_AHEAD)?, 0);
        (self.choose(&istio).envoy == *envoy).then_some(istio)
    }

    /// How near a binary given by the user is to a release. What the user gives is taken for the release's own proxy
    /// unless it shows that it cannot be: it is a pinned upstream build, or of another minor version.
    pub(super) fn provenance_of_override(
        &self,
        istio: &Version,
        envoy: &Version,
        sha256: &str,
    ) -> Provenance {
        match (
            (envoy.major, envoy.minor) == envoy_minor(istio),
            self.contains_binary(sha256),
        ) {
            (false, _) => Provenance::StandIn,
            (true, true) => Provenance::UpstreamSameMinor,
            (true, false) => Provenance::Istio,
        }
    }
}

/// The proxy of Istio 1.N is built from Envoy 1.(N+8): `ENVOY_SHA` in istio/proxy `WORKSPACE`@1.22 to 1.31 is on Envoy's
/// branches release/v1.30 to release/v1.39.
const MINORS_AHEAD: u64 = 8;

/// The Envoy minor version of a release.
const fn envoy_minor(istio: &Version) -> (u64, u64) {
    (istio.major, istio.minor.saturating_add(MINORS_AHEAD))
}

/// A minor version as one number, so that distances can be taken across a major version too.
const fn position((major, minor): (u64, u64)) -> u64 {
    major.saturating_mul(1_000_000).saturating_add(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_minor_stands_for_a_release() {
        let cases = [
            ("1.6.0", "1.36.4", Provenance::StandIn),
            ("1.24.0", "1.36.4", Provenance::StandIn),
            ("1.24.1", "1.36.4", Provenance::StandIn),
            ("1.27.9", "1.36.4", Provenance::StandIn),
            ("1.28.0", "1.36.4", Provenance::UpstreamSameMinor),
            ("1.28.7", "1.36.4", Provenance::UpstreamSameMinor),
            ("1.29.0", "1.37.0", Provenance::UpstreamSameMinor),
            ("1.30.2", "1.38.3", Provenance::UpstreamSameMinor),
            ("1.31.1", "1.39.3", Provenance::UpstreamSameMinor),
            ("1.32.0-beta.0", "1.40.0", Provenance::UpstreamSameMinor),
            ("1.33.0", "1.40.0", Provenance::StandIn),
            ("1.99.0", "1.40.0", Provenance::StandIn),
            ("2.0.0", "1.40.0", Provenance::StandIn),
        ];
        for (istio, envoy, provenance) in cases {
            let expected = Choice {
                envoy: envoy.parse().unwrap(),
                provenance,
            };
            assert_eq!(choose(&istio.parse().unwrap()).unwrap(), expected, "{istio}");
        }
    }

    #[test]
    fn a_users_binary_is_istios_own_unless_it_cannot_be() {
        let pins = Pins::embedded().unwrap();
        let upstream = "5a398095d8c1dd363ecc10b6b9dbd82154a8fbb5eb15510d5fb7cbdb9d0b0e59";
        let cases = [
            ("1.24.0", "1.32.3-dev", "", Provenance::Istio),
            ("1.24.0", "1.36.4", "", Provenance::StandIn),
            ("1.28.0", "1.36.4", upstream, Provenance::UpstreamSameMinor),
            ("1.28.0", "1.36.4", "", Provenance::Istio),
            ("1.24.0", "1.36.4", upstream, Provenance::StandIn),
        ];
        for (istio, envoy, sha256, expected) in cases {
            let found = pins.provenance_of_override(&istio.parse().unwrap(), &envoy.parse().unwrap(), sha256);
            assert_eq!(found, expected, "{istio} {envoy} {sha256}");
        }
    }

    #[test]
    fn provenance_is_written_in_kebab_case() {
        for provenance in [
            Provenance::Istio,
            Provenance::UpstreamSameMinor,
            Provenance::StandIn,
        ] {
            assert_eq!(
                serde_json::to_string(&provenance).unwrap(),
                format!("\"{provenance}\"")
            );
        }
    }
}
