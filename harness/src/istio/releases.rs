//! Rules that changed between Istio releases.

use semver::Version;

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

/// Whether the rules were read from the sources of the release or a later one: from 1.30.
pub(super) fn are_verified(release: &Version) -> bool {
    at_least(release, 30)
}

fn at_least(release: &Version, minor: u64) -> bool {
    (release.major, release.minor) >= (1, minor)
}
