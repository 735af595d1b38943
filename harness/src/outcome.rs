//! The vocabulary: what can become of a call, and who refused it.
//!
//! An outcome is always one stable id, the same in YAML, JSON, metrics and docs. This module knows nobody:
//! prediction, observation and logs all speak these words, so they can be held against each other.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of an outcome.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    strum::Display,
    strum::EnumMessage,
    strum::EnumString,
    Eq,
    Hash,
    strum::IntoStaticStr,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(
    parse_err_fn = UnknownOutcome::of,
    parse_err_ty = UnknownOutcome,
    serialize_all = "kebab-case"
)]
pub enum OutcomeId {
    /// Delivered, both ends authenticated.
    Mtls,
    /// Delivered over TLS that is not mesh mTLS: one-way, or terminated by the application.
    Tls,
    /// Delivered without TLS.
    Plaintext,
    /// The server only accepts mTLS, the client sent plaintext.
    #[strum(
        message = "Find out why the client sends plaintext (no sidecar, a DestinationRule with mode DISABLE, an endpoint \
                   without the TLS label); until then PERMISSIVE on that port lets it in."
    )]
    PlaintextToStrict,
    /// The client sent TLS, nobody there speaks it.
    #[strum(
        message = "See whether the server's pod has a sidecar and whether a PeerAuthentication disables mTLS on that port; then \
                   what makes the client use TLS (a DestinationRule with ISTIO_MUTUAL or SIMPLE)."
    )]
    TlsToPlaintext,
    /// The peer certificate chains to a trusted root, its identity is not the expected one.
    #[strum(
        message = "Hold the server's certificate (istioctl proxy-config secret) against the service account its pods should run \
                   as; look for subjectAltNames in DestinationRules and for mixed Istio releases."
    )]
    SanMismatch,
    /// The server refuses a client identity of another trust domain.
    #[strum(
        message = "Compare meshConfig.trustDomain at both ends; add the client's to trustDomainAliases where it is meant to be \
                   trusted."
    )]
    TrustDomainMismatch,
    /// The peer certificate does not chain to a trusted root.
    #[strum(
        message = "Compare the roots both ends hold (istioctl proxy-config secret, ROOTCA); in a rotation every proxy must \
                   trust the new root before any certificate is of it."
    )]
    UntrustedRoot,
    /// The peer's leaf certificate has expired.
    #[strum(
        message = "See when the proxy last got a certificate (istioctl proxy-config secret) and what its agent logs since; then \
                   clocks."
    )]
    CertificateExpired,
    /// The peer's leaf certificate is not valid yet.
    #[strum(message = "Compare the clocks of the nodes of both ends and of istiod's.")]
    CertificateNotYetValid,
    /// A certificate of the peer's chain is revoked; the depth is evidence.
    #[strum(message = "Issue a new certificate (restart the pod); find out who revoked the old one and why.")]
    CertificateRevoked,
    /// A revocation list is missing or has expired.
    #[strum(message = "Publish a current revocation list for every CA of the chain, the root included.")]
    CrlUnavailable,
    /// An intermediate or the root of the chain has expired (verify depth ≥ 1).
    #[strum(message = "Renew the CA (cacerts, or istiod's own), restart istiod, then the workloads.")]
    CaExpired,
    /// The server demands a client certificate, the client sent none.
    #[strum(
        message = "The client speaks TLS without a certificate; see its DestinationRule (SIMPLE in place of ISTIO_MUTUAL) and \
                   whether it has a sidecar."
    )]
    NoClientCertificate,
    /// Key usage or extended key usage forbids this use.
    #[strum(
        message = "Give certificates digitalSignature and both clientAuth and serverAuth; see what the CA's template says."
    )]
    BadKeyUsage,
    /// No TLS version in common.
    #[strum(message = "Compare meshMTLS.minProtocolVersion with what the other end can speak.")]
    TlsVersionMismatch,
    /// No cipher suite in common.
    #[strum(message = "Compare meshMTLS.cipherSuites, and key types, of both ends.")]
    TlsCipherMismatch,
    /// No key exchange group in common.
    #[strum(message = "Compare meshMTLS.ecdhCurves and COMPLIANCE_POLICY of both ends.")]
    TlsGroupMismatch,
    /// The proxy has no secret from SDS.
    #[strum(
        message = "Read the pod's agent and istiod's serverca log; a proxy gets no certificate while its requests fail."
    )]
    NoCertificateYet,
    /// TCP was accepted, TLS never answered.
    #[strum(
        message = "TCP works and TLS is not answered; look at the server's load and at what terminates TCP on the way."
    )]
    HandshakeTimeout,
    /// The TCP connection was never answered.
    #[strum(message = "Look for NetworkPolicies, firewalls and dead endpoints on the way; it is below TLS.")]
    ConnectTimeout,
    /// The TCP connection was refused.
    #[strum(message = "Nothing listens there; see the port, the application, and interception. Not mTLS.")]
    ConnectionRefused,
    /// The connection was reset and no evidence names a better reason.
    #[strum(
        message = "See the server's end (its proxy's log and restarts); nothing here names a better reason."
    )]
    ConnectionReset,
    /// No such host, route or endpoint is known to the caller.
    #[strum(message = "See whether the host exists and is exported to the caller's namespace.")]
    NoRoute,
    /// The proxy answered: no healthy endpoint.
    #[strum(message = "See endpoints and outlier detection; ejected endpoints often follow TLS failures.")]
    NoHealthyUpstream,
    /// The proxy answered: the destination is not in the registry (REGISTRY_ONLY).
    #[strum(message = "Add a ServiceEntry for the host, or change outboundTrafficPolicy.")]
    EgressBlocked,
    /// The proxy answered: an AuthorizationPolicy denies.
    #[strum(
        message = "Read the AuthorizationPolicy named in the line; a rule on principals denies whoever comes in plaintext."
    )]
    AccessDenied,
    /// Interception sent the bytes to a wrong port.
    #[strum(message = "See the iptables rules of the pod and annotations that include or exclude ports.")]
    Misrouted,
    /// The server's proxy has no chain for these bytes and it is none of the above.
    #[strum(
        message = "The bytes are TLS without Istio's ALPN; let the client speak mTLS through its sidecar, or plaintext."
    )]
    NoFilterChain,
    /// The transport worked, the bytes inside are not what the port speaks.
    #[strum(message = "See what the port speaks and how it is named or declared (appProtocol).")]
    ProtocolMismatch,
    /// A protocol in which the server speaks first hangs in protocol or TLS detection.
    #[strum(
        message = "Declare the port's protocol (name or appProtocol tcp, mysql); detection waits for a client that waits."
    )]
    ServerFirstStall,
    /// Delivered to an application that answered ≥ 400.
    HttpError,
    /// The evidence does not decide; carries the candidates.
    #[strum(
        message = "Turn on what Istio hides by default (`logs --explain-visibility` says how), or give the other end's log in \
                   the same run."
    )]
    Unknown,
}

impl OutcomeId {
    /// Every id, in the order of the design.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The id as written in YAML, JSON, metrics and docs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What to do next, for whoever is on call; `None` for deliveries.
    #[must_use]
    pub fn next_step(self) -> Option<&'static str> {
        strum::EnumMessage::get_message(&self)
    }

    /// Whether the bytes reached the application (`mtls`, `tls`, `plaintext`, `http-error`).
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        matches!(self, Self::Mtls | Self::Tls | Self::Plaintext | Self::HttpError)
    }
}

/// A word that is no outcome id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no outcome")]
pub struct UnknownOutcome(pub String);

impl UnknownOutcome {
    fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

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

    /// What it can be: the outcome, or with `unknown` the candidates. None: nothing is excluded.
    #[must_use]
    pub fn possible(&self) -> &[OutcomeId] {
        match self.id {
            OutcomeId::Unknown => &self.candidates,
            _ => std::slice::from_ref(&self.id),
        }
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
        for &id in OutcomeId::ALL {
            assert_eq!(id.as_str().parse::<OutcomeId>(), Ok(id));
            assert_eq!(serde_json::to_value(id).unwrap(), id.as_str());
        }
    }

    #[test]
    fn every_failure_has_a_next_step_and_no_delivery_has() {
        for id in OutcomeId::ALL {
            assert_eq!(id.next_step().is_some(), !id.is_delivered(), "{id}");
        }
    }
}
