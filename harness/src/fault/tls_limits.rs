//! Limits that make two TLS ends miss each other.
//!
//! Names are closed sets: what Envoy does not know it refuses with the whole configuration, and an operator would see
//! a proxy that is never ready in place of the mismatch that was meant.

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

/// An enumeration whose variants are names of TLS, spelt as Envoy takes them.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
        pub enum $name {
            $(
                #[doc = concat!("`", $text, "`.")]
                #[serde(rename = $text)]
                $variant,
            )*
        }

        impl $name {
            /// As Envoy takes it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

names! {
    /// A cipher suite of TLS 1.2, as OpenSSL names it. All that Envoy 1.36 to 1.40 take and that need no pre-shared key
    /// (`ssl_cipher.cc` of BoringSSL), but for those of triple DES.
    CipherSuite {
        EcdheEcdsaAes128Gcm = "ECDHE-ECDSA-AES128-GCM-SHA256",
        EcdheEcdsaAes256Gcm = "ECDHE-ECDSA-AES256-GCM-SHA384",
        EcdheEcdsaChaCha20 = "ECDHE-ECDSA-CHACHA20-POLY1305",
        EcdheEcdsaAes128Cbc = "ECDHE-ECDSA-AES128-SHA",
        EcdheEcdsaAes256Cbc = "ECDHE-ECDSA-AES256-SHA",
        EcdheRsaAes128Gcm = "ECDHE-RSA-AES128-GCM-SHA256",
        EcdheRsaAes256Gcm = "ECDHE-RSA-AES256-GCM-SHA384",
        EcdheRsaChaCha20 = "ECDHE-RSA-CHACHA20-POLY1305",
        EcdheRsaAes128Cbc = "ECDHE-RSA-AES128-SHA",
        EcdheRsaAes256Cbc = "ECDHE-RSA-AES256-SHA",
        Aes128Gcm = "AES128-GCM-SHA256",
        Aes256Gcm = "AES256-GCM-SHA384",
        Aes128Cbc = "AES128-SHA",
        Aes256Cbc = "AES256-SHA",
    }
}

names! {
    /// A key exchange group, as BoringSSL names it. All that each of Envoy 1.36 to 1.40 takes (`ssl_key_share.cc` of
    /// BoringSSL); P-224, Kyber drafts and ML-KEM-1024 came or went in between.
    KeyExchangeGroup {
        X25519 = "X25519",
        P256 = "P-256",
        P384 = "P-384",
        P521 = "P-521",
        X25519MlKem768 = "X25519MLKEM768",
    }
}

impl CipherSuite {
    /// Whether its server signs with an elliptic curve's key; all others want one of RSA.
    #[must_use]
    pub fn wants_ecdsa(self) -> bool {
        self.as_str().contains("-ECDSA-")
    }

    /// Whether its key exchange takes place in a group; in all others the server's RSA key deciphers.
    #[must_use]
    pub fn needs_group(self) -> bool {
        self.as_str().starts_with("ECDHE-")
    }
}

/// What one end of a proxy takes in place of what istiod configures. The default limits nothing.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct TlsLimits {
    /// The oldest version.
    pub min_version: Option<TlsVersion>,
    /// The newest version.
    pub max_version: Option<TlsVersion>,
    /// TLS 1.2 cipher suites; empty: as configured.
    pub cipher_suites: Vec<CipherSuite>,
    /// Key exchange groups; empty: Envoy's own.
    pub groups: Vec<KeyExchangeGroup>,
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
