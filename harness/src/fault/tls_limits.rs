//! Limits that make two TLS ends miss each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A TLS version.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// What one end of a proxy takes in place of what istiod configures. The default limits nothing.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TlsLimits {
    /// The oldest version.
    pub min_version: Option<TlsVersion>,
    /// The newest version.
    pub max_version: Option<TlsVersion>,
    /// TLS 1.2 cipher suites, as OpenSSL names them; empty: as configured.
    pub cipher_suites: Vec<String>,
    /// Key exchange groups, as BoringSSL names them; empty: Envoy's own.
    pub groups: Vec<String>,
}

impl TlsLimits {
    /// What `other` limits, limited so too.
    pub(super) fn tighten(&mut self, other: &Self) {
        self.min_version = other.min_version.or(self.min_version);
        self.max_version = other.max_version.or(self.max_version);
        if !other.cipher_suites.is_empty() {
            self.cipher_suites.clone_from(&other.cipher_suites);
        }
        if !other.groups.is_empty() {
            self.groups.clone_from(&other.groups);
        }
    }
}
