//! What the ends of a TLS connection have in common.

use semver::Version;

use crate::fault::{CipherSuite, KeyExchangeGroup, TlsLimits, TlsVersion};
use crate::istio::policy::INBOUND_CIPHER_SUITES;
use crate::istio::releases;
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::pki::LeafKey;

/// What one end takes.
#[derive(Clone, Debug)]
pub(super) struct TlsParameters {
    min_version: TlsVersion,
    max_version: TlsVersion,
    /// Those of TLS 1.2.
    cipher_suites: Vec<CipherSuite>,
    groups: Vec<KeyExchangeGroup>,
    /// Whether, as a client of TLS 1.2, it refuses a server whose RSA key may not sign.
    pub(super) minds_key_usage: bool,
}

/// TLS 1.2 suites that Envoy offers as a client (source/common/tls/client_context_impl: `DEFAULT_CIPHER_SUITES`), and
/// rustls with ring just so.
const OFFERED: [CipherSuite; 6] = [
    CipherSuite::EcdheEcdsaAes128Gcm,
    CipherSuite::EcdheEcdsaChaCha20,
    CipherSuite::EcdheRsaAes128Gcm,
    CipherSuite::EcdheRsaChaCha20,
    CipherSuite::EcdheEcdsaAes256Gcm,
    CipherSuite::EcdheRsaAes256Gcm,
];

impl TlsParameters {
    /// A sidecar that calls.
    pub(super) fn of_client(release: Option<&Version>, limits: Option<&TlsLimits>) -> Self {
        Self::of_sidecar(release, &OFFERED).within(limits)
    }

    /// A sidecar that is called.
    pub(super) fn of_server(
        release: Option<&Version>,
        only_tls_1_3: bool,
        limits: Option<&TlsLimits>,
    ) -> Self {
        let mut parameters = Self::of_sidecar(release, &INBOUND_CIPHER_SUITES);
        if only_tls_1_3 {
            parameters.min_version = TlsVersion::V1_3;
        }
        parameters.within(limits)
    }

    /// A caller without sidecar: rustls, which knows no post-quantum group here and leaves key usage alone.
    pub(super) fn of_raw_caller() -> Self {
        let mut parameters = Self::of_sidecar(None, &OFFERED);
        parameters.groups.push(KeyExchangeGroup::P384);
        parameters.minds_key_usage = false;
        parameters
    }

    fn of_sidecar(release: Option<&Version>, cipher_suites: &[CipherSuite]) -> Self {
        let mut groups = vec![KeyExchangeGroup::X25519, KeyExchangeGroup::P256];
        if release.is_some_and(releases::offers_post_quantum_group) {
            groups.push(KeyExchangeGroup::X25519MlKem768);
        }
        Self {
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            cipher_suites: cipher_suites.to_vec(),
            groups,
            minds_key_usage: release.is_some_and(releases::clients_mind_rsa_key_usage),
        }
    }

    fn within(mut self, limits: Option<&TlsLimits>) -> Self {
        let Some(limits) = limits else { return self };
        self.min_version = limits.min_version.unwrap_or(self.min_version);
        self.max_version = limits.max_version.unwrap_or(self.max_version);
        if !limits.cipher_suites.is_empty() {
            self.cipher_suites.clone_from(&limits.cipher_suites);
        }
        if !limits.groups.is_empty() {
            self.groups.clone_from(&limits.groups);
        }
        self
    }
}

/// Why two ends do not come to terms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Missing {
    /// A version.
    Version,
    /// A key exchange group, under TLS 1.3.
    Group,
    /// One of both, under TLS 1.2.
    CipherOrGroup,
    /// What would become of it is not modelled.
    Rule,
}

impl Missing {
    /// What becomes of the call. It is the server that finds out, and says so.
    pub(super) fn refusal(self) -> Outcome {
        use OutcomeId::{TlsCipherMismatch, TlsGroupMismatch, TlsVersionMismatch};
        match self {
            Self::Version => Outcome::refused(TlsVersionMismatch, Side::Server),
            Self::Group => Outcome::refused(TlsGroupMismatch, Side::Server),
            Self::CipherOrGroup => Outcome::unknown(
                vec![TlsCipherMismatch, TlsGroupMismatch],
                "under TLS 1.2 a missing common cipher suite and a missing common group are refused alike",
            ),
            Self::Rule => Outcome::unknown(
                Vec::new(),
                "under TLS 1.2 the curve of a certificate has to be among the groups, which is not modelled",
            ),
        }
    }
}

/// The version in which both speak, for a server with a key of type `key`.
///
/// # Errors
/// What they do not have in common.
pub(super) fn negotiate(
    client: &TlsParameters,
    server: &TlsParameters,
    key: LeafKey,
) -> Result<TlsVersion, Missing> {
    let version = client.max_version.min(server.max_version);
    if version < client.min_version.max(server.min_version) {
        return Err(Missing::Version);
    }
    let usable = |group: &&KeyExchangeGroup| {
        version == TlsVersion::V1_3 || **group != KeyExchangeGroup::X25519MlKem768
    };
    let shares_group = client
        .groups
        .iter()
        .filter(usable)
        .any(|group| server.groups.contains(group));
    if version == TlsVersion::V1_3 {
        return match shares_group {
            true => Ok(version),
            false => Err(Missing::Group),
        };
    }
    let shared: Vec<CipherSuite> = client
        .cipher_suites
        .iter()
        .filter(|suite| server.cipher_suites.contains(suite))
        .copied()
        .filter(|suite| suite.wants_ecdsa() == (key != LeafKey::Rsa2048))
        .collect();
    if !shared.iter().any(|suite| shares_group || !suite.needs_group()) {
        return Err(Missing::CipherOrGroup);
    }
    if key == LeafKey::EcdsaP384 {
        return Err(Missing::Rule);
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(change: impl FnOnce(&mut TlsLimits)) -> TlsLimits {
        let mut limits = TlsLimits::default();
        change(&mut limits);
        limits
    }

    fn met(client: &TlsLimits, server: &TlsLimits, key: LeafKey) -> Result<TlsVersion, Missing> {
        let release = Version::new(1, 30, 3);
        let client = TlsParameters::of_client(Some(&release), Some(client));
        let server = TlsParameters::of_server(Some(&release), false, Some(server));
        negotiate(&client, &server, key)
    }

    #[test]
    fn what_two_ends_have_in_common() {
        use CipherSuite::{Aes128Gcm, EcdheRsaAes128Gcm};
        use KeyExchangeGroup::{P256, P384, X25519MlKem768};
        use LeafKey::{EcdsaP256, Rsa2048};
        use TlsVersion::{V1_2, V1_3};
        let any = TlsLimits::default;
        let newest = |version| limits(|it| it.max_version = Some(version));
        let oldest = |version| limits(|it| it.min_version = Some(version));
        let suites = |suite: CipherSuite| {
            limits(|it| {
                it.max_version = Some(V1_2);
                it.cipher_suites = vec![suite];
            })
        };
        let groups = |group: KeyExchangeGroup| limits(|it| it.groups = vec![group]);
        let table = [
            (any(), any(), EcdsaP256, Ok(V1_3)),
            (newest(V1_2), any(), EcdsaP256, Ok(V1_2)),
            (newest(V1_2), oldest(V1_3), EcdsaP256, Err(Missing::Version)),
            (oldest(V1_3), newest(V1_2), EcdsaP256, Err(Missing::Version)),
            (any(), groups(P384), EcdsaP256, Err(Missing::Group)),
            (any(), groups(X25519MlKem768), EcdsaP256, Err(Missing::Group)),
            (groups(P256), any(), EcdsaP256, Ok(V1_3)),
            (suites(EcdheRsaAes128Gcm), any(), Rsa2048, Ok(V1_2)),
            (
                suites(EcdheRsaAes128Gcm),
                any(),
                EcdsaP256,
                Err(Missing::CipherOrGroup),
            ),
            (suites(Aes128Gcm), groups(P384), Rsa2048, Ok(V1_2)),
            (newest(V1_2), groups(P384), EcdsaP256, Err(Missing::CipherOrGroup)),
        ];
        for (number, (client, server, key, expected)) in table.into_iter().enumerate() {
            assert_eq!(met(&client, &server, key), expected, "row {number}");
        }
    }
}
