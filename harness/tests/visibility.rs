//! The manifests in `manifests/visibility` are what an API server takes without dropping a field.

use meshproof::snapshot::{Mixed, Snapshot};
use meshproof::visibility::{ENVOY_FILTER, TELEMETRY};
use semver::Version;

/// How much is wrong with a manifest by the schemas of Istio's CRDs.
fn mistakes(manifest: &str) -> usize {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    let mut mixed = Mixed::default();
    snapshot.add_mixed(manifest, "manifest", &mut mixed);
    mixed.mistakes.len() + mixed.unread.len()
}

#[test]
fn the_crds_know_every_field_of_the_visibility_manifests() {
    for (manifest, field, misspelt) in [
        (TELEMETRY, "expression:", "expresion:"),
        (TELEMETRY, "providers:", "provider:"),
        (ENVOY_FILTER, "applyTo: LISTENER", "applyTo: LISTENERS"),
        (
            ENVOY_FILTER,
            "context: SIDECAR_INBOUND",
            "contexts: SIDECAR_INBOUND",
        ),
    ] {
        assert_eq!(mistakes(manifest), 0);
        assert!(manifest.contains(field));
        assert_eq!(mistakes(&manifest.replace(field, misspelt)), 1, "{misspelt}");
    }
}
