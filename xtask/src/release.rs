//! An Istio release as people write it on the command line.

use semver::Version;

/// Reads `1.24.0`; a shorter form would leave open which release is meant.
pub(crate) fn release(text: &str) -> Result<Version, &'static str> {
    text.parse()
        .map_err(|_| "write all three numbers of an Istio release, for example 1.24.0")
}
