//! Rules that changed between Istio releases.

use semver::{Error, Version};

/// The release whose sources the rules were read from and whose istiod was recorded.
pub const VERIFIED: Version = Version::new(1, 30, 3);

/// The newest minor release whose rules were read: `mtls_checker.go` and `destination_rule.go` at istio/istio@86c9f01,
/// from which 1.31 was released.
const LAST_VERIFIED_MINOR: u64 = 31;

/// Reads a release as people write it: `1.30.3`, or `1.30` where the patch does not matter. Without patch, that of
/// [`VERIFIED`] is meant in its own minor release, and the first in all others.
///
/// # Errors
/// When it is no version.
pub fn parse(text: &str) -> Result<Version, Error> {
    let is_short = text.split('.').count() == 2;
    let version = Version::parse(&if is_short {
        format!("{text}.0")
    } else {
        text.to_owned()
    })?;
    let is_verified_minor = (version.major, version.minor) == (VERIFIED.major, VERIFIED.minor);
    Ok(if is_short && is_verified_minor && version.pre.is_empty() {
        VERIFIED
    } else {
        version
    })
}

/// Whether DestinationRules of one host merge only where their `exportTo` allows it: from 1.24
/// (`ENABLE_ENHANCED_DESTINATIONRULE_MERGE`, pilot/pkg/model/destination_rule.go).
pub(super) fn merges_by_export_to(release: &Version) -> bool {
    at_least(release, 24)
}

/// Whether a subset without TLS settings inherits the rule's when endpoints are marked: from 1.31
/// (pilot/pkg/xds/endpoints/mtls_checker.go).
pub(super) fn endpoint_tls_falls_back_from_subset_to_rule(release: &Version) -> bool {
    at_least(release, 31)
}

/// Whether the rules were read from the sources of the release: from 1.30.3 through 1.31.
pub(super) fn are_verified(release: &Version) -> bool {
    *release >= VERIFIED && release.major == 1 && release.minor <= LAST_VERIFIED_MINOR
}

/// Whether a client of TLS 1.2 refuses a server whose RSA key may not sign: from 1.30, with Envoy 1.38
/// (`enforce_rsa_key_usage`, changelogs/1.38.0.yaml). Under TLS 1.3, and of clients, every release minds it.
pub(super) fn clients_mind_rsa_key_usage(release: &Version) -> bool {
    at_least(release, 30)
}

/// Whether X25519MLKEM768 is among the groups where none are configured: from 1.32, with Envoy 1.40
/// (changelogs/1.40.0.yaml).
pub(super) fn offers_post_quantum_group(release: &Version) -> bool {
    at_least(release, 32)
}

fn at_least(release: &Version, minor: u64) -> bool {
    (release.major, release.minor) >= (1, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_may_be_written_without_its_patch() {
        let cases = [
            ("1.30", Some("1.30.3")),
            ("1.31", Some("1.31.0")),
            ("1.24", Some("1.24.0")),
            ("1.30.1", Some("1.30.1")),
            ("1", None),
            ("1.", None),
            ("latest", None),
        ];
        for (written, read) in cases {
            assert_eq!(
                parse(written).ok().map(|it| it.to_string()).as_deref(),
                read,
                "{written}"
            );
        }
    }

    #[test]
    fn rules_hold_for_the_releases_they_were_read_from_only() {
        let verified = |text: &str| are_verified(&parse(text).unwrap());
        assert!(
            ["1.30", "1.30.3", "1.30.9", "1.31", "1.31.4"]
                .into_iter()
                .all(verified)
        );
        assert!(
            !["1.24", "1.29.8", "1.30.2", "1.32.0", "2.0.0"]
                .into_iter()
                .any(verified)
        );
    }
}
