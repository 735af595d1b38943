//! The vocabulary: what can become of a call, and who refused it.
//!
//! An outcome is always one stable id, the same in YAML, JSON, metrics and docs. This module knows nobody:
//! prediction, observation and logs all speak these words, so they can be held against each other.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of an outcome.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeId {
    /// Delivered, both ends authenticated.
    Mtls,
    /// Delivered over TLS that is not mesh mTLS: one-way, or terminated by the application.
    Tls,
    /// Delivered without TLS.
    Plaintext,
    /// The server only accepts mTLS, the client sent plaintext.
    PlaintextToStrict,
    /// The client sent TLS, nobody there speaks it.
    TlsToPlaintext,
    /// The peer certificate chains to a trusted root, its identity is not the expected one.
    SanMismatch,
    /// The server refuses a client identity of another trust domain.
    TrustDomainMismatch,
    /// The peer certificate does not chain to a trusted root.
    UntrustedRoot,
    /// The peer's leaf certificate has expired.
    CertificateExpired,
    /// The peer's leaf certificate is not valid yet.
    CertificateNotYetValid,
    /// A certificate of the peer's chain is revoked; the depth is evidence.
    CertificateRevoked,
    /// A revocation list is missing or has expired.
    CrlUnavailable,
    /// An intermediate or the root of the chain has expired (verify depth ≥ 1).
    CaExpired,
    /// The server demands a client certificate, the client sent none.
    NoClientCertificate,
    /// Key usage or extended key usage forbids this use.
    BadKeyUsage,
    /// No TLS version in common.
    TlsVersionMismatch,
    /// No cipher suite in common.
    TlsCipherMismatch,
    /// No key exchange group in common.
    TlsGroupMismatch,
    /// The proxy has no secret from SDS.
    NoCertificateYet,
    /// TCP was accepted, TLS never answered.
    HandshakeTimeout,
    /// The TCP connection was never answered.
    ConnectTimeout,
    /// The TCP connection was refused.
    ConnectionRefused,
    /// The connection was reset and no evidence names a better reason.
    ConnectionReset,
    /// No such host, route or endpoint is known to the caller.
    NoRoute,
    /// The proxy answered: no healthy endpoint.
    NoHealthyUpstream,
    /// The proxy answered: the destination is not in the registry (REGISTRY_ONLY).
    EgressBlocked,
    /// The proxy answered: an AuthorizationPolicy denies.
    AccessDenied,
    /// Interception sent the bytes to a wrong port.
    Misrouted,
    /// The server's proxy has no chain for these bytes and it is none of the above.
    NoFilterChain,
    /// The transport worked, the bytes inside are not what the port speaks.
    ProtocolMismatch,
    /// A protocol in which the server speaks first hangs in protocol or TLS detection.
    ServerFirstStall,
    /// Delivered to an application that answered ≥ 400.
    HttpError,
    /// The evidence does not decide; carries the candidates.
    Unknown,
}

impl OutcomeId {
    /// Every id, in the order of the design.
    pub const ALL: [Self; 33] = [
        Self::Mtls,
        Self::Tls,
        Self::Plaintext,
        Self::PlaintextToStrict,
        Self::TlsToPlaintext,
        Self::SanMismatch,
        Self::TrustDomainMismatch,
        Self::UntrustedRoot,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::CertificateRevoked,
        Self::CrlUnavailable,
        Self::CaExpired,
        Self::NoClientCertificate,
        Self::BadKeyUsage,
        Self::TlsVersionMismatch,
        Self::TlsCipherMismatch,
        Self::TlsGroupMismatch,
        Self::NoCertificateYet,
        Self::HandshakeTimeout,
        Self::ConnectTimeout,
        Self::ConnectionRefused,
        Self::ConnectionReset,
        Self::NoRoute,
        Self::NoHealthyUpstream,
        Self::EgressBlocked,
        Self::AccessDenied,
        Self::Misrouted,
        Self::NoFilterChain,
        Self::ProtocolMismatch,
        Self::ServerFirstStall,
        Self::HttpError,
        Self::Unknown,
    ];

    /// The id as written in YAML, JSON, metrics and docs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::Tls => "tls",
            Self::Plaintext => "plaintext",
            Self::PlaintextToStrict => "plaintext-to-strict",
            Self::TlsToPlaintext => "tls-to-plaintext",
            Self::SanMismatch => "san-mismatch",
            Self::TrustDomainMismatch => "trust-domain-mismatch",
            Self::UntrustedRoot => "untrusted-root",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotYetValid => "certificate-not-yet-valid",
            Self::CertificateRevoked => "certificate-revoked",
            Self::CrlUnavailable => "crl-unavailable",
            Self::CaExpired => "ca-expired",
            Self::NoClientCertificate => "no-client-certificate",
            Self::BadKeyUsage => "bad-key-usage",
            Self::TlsVersionMismatch => "tls-version-mismatch",
            Self::TlsCipherMismatch => "tls-cipher-mismatch",
            Self::TlsGroupMismatch => "tls-group-mismatch",
            Self::NoCertificateYet => "no-certificate-yet",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::ConnectTimeout => "connect-timeout",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionReset => "connection-reset",
            Self::NoRoute => "no-route",
            Self::NoHealthyUpstream => "no-healthy-upstream",
            Self::EgressBlocked => "egress-blocked",
            Self::AccessDenied => "access-denied",
            Self::Misrouted => "misrouted",
            Self::NoFilterChain => "no-filter-chain",
            Self::ProtocolMismatch => "protocol-mismatch",
            Self::ServerFirstStall => "server-first-stall",
            Self::HttpError => "http-error",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the bytes reached the application (`mtls`, `tls`, `plaintext`, `http-error`).
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        matches!(self, Self::Mtls | Self::Tls | Self::Plaintext | Self::HttpError)
    }
}

impl fmt::Display for OutcomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for OutcomeId {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|id| id.as_str() == text)
            .ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

/// A word that is no outcome id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no outcome")]
pub struct UnknownOutcome(pub String);

/// The end of a call that refused it, not the end that noticed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The caller's end refused.
    Client,
    /// The called end refused.
    Server,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// How bytes travelled, where the outcome id does not tell it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Mesh mTLS.
    Mtls,
    /// TLS that is not mesh mTLS.
    Tls,
    /// No TLS.
    Plaintext,
}

/// What a delivered mTLS call carried.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Peers {
    /// SPIFFE id the server saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// SPIFFE id the client saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// TLS version, as Envoy spells it (`TLSv1.3`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// Negotiated ALPN protocol, where it could be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
}

/// What became of a call: the id, who refused, and what the id alone does not tell.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Outcome {
    /// The id.
    #[serde(rename = "outcome")]
    pub id: OutcomeId,
    /// The end that refused; absent for deliveries and for failures nobody decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// Given only with `http-error`, `protocol-mismatch` and `access-denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// With `unknown`: what it could be, in the order of [`OutcomeId::ALL`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<OutcomeId>,
    /// With `unknown`: why the evidence, or the prediction, does not decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With `mtls`: who was authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
}

impl Outcome {
    /// An outcome nobody refused.
    #[must_use]
    pub const fn of(id: OutcomeId) -> Self {
        Self {
            id,
            side: None,
            transport: None,
            candidates: Vec::new(),
            reason: None,
            peers: None,
        }
    }

    /// A refusal by `side`.
    #[must_use]
    pub const fn refused(id: OutcomeId, side: Side) -> Self {
        let mut outcome = Self::of(id);
        outcome.side = Some(side);
        outcome
    }

    /// An undecided outcome. Candidates are put in the order of the vocabulary.
    #[must_use]
    pub fn unknown(mut candidates: Vec<OutcomeId>, reason: impl Into<String>) -> Self {
        candidates.sort_unstable();
        candidates.dedup();
        Self {
            candidates,
            reason: Some(reason.into()),
            ..Self::of(OutcomeId::Unknown)
        }
    }

    /// The same outcome, saying how the bytes travelled.
    #[must_use]
    pub const fn over(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Whether both name the same outcome and side (details aside).
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.id == other.id && self.side == other.side
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if let Some(side) = self.side {
            write!(f, " by {side}")?;
        }
        if let [first, rest @ ..] = self.candidates.as_slice() {
            write!(f, " ({first}")?;
            for candidate in rest {
                write!(f, " or {candidate}")?;
            }
            write!(f, ")")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_reads_back_as_itself_in_text_and_json() {
        for id in OutcomeId::ALL {
            assert_eq!(id.as_str().parse::<OutcomeId>(), Ok(id));
            assert_eq!(serde_json::to_value(id).unwrap(), id.as_str());
        }
    }
}
