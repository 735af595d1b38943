//! TLS alerts: what the other end tells us when it refuses, and how far that decides.

use crate::outcome::OutcomeId;

/// An alert one end received. What it means depends on who sent it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Alert {
    /// 42; sent by other stacks for whatever they dislike.
    BadCertificate,
    /// 114; a certificate pin, which istiod never configures.
    BadCertificateHashValue,
    /// 45; BoringSSL sends it for expired and not yet valid, at any depth, and for an expired CRL.
    CertificateExpired,
    /// 116; TLS 1.3 only.
    CertificateRequired,
    /// 44.
    CertificateRevoked,
    /// 46; what Envoy sends when no SAN matches.
    CertificateUnknown,
    /// 51.
    DecryptError,
    /// 40; under TLS 1.2 also a missing client certificate.
    HandshakeFailure,
    /// 40 in answer to the ClientHello: no parameter in common.
    HandshakeFailureOnHello,
    /// 47; among others an RSA key usage that forbids the use.
    IllegalParameter,
    /// 70.
    ProtocolVersion,
    /// 48; also when the issuer of a certificate in the chain has no CRL.
    UnknownCa,
    /// 43; extended key usage forbids the use.
    UnsupportedCertificate,
}

/// The alert's name in RFC 8446 and the suffix of BoringSSL's `SSLV3_ALERT_…`, `TLSV1_ALERT_…` that carries it.
const NAMES: &[(&str, &str, Alert)] = &[
    (
        "bad_certificate_hash_value",
        "ALERT_BAD_CERTIFICATE_HASH_VALUE",
        Alert::BadCertificateHashValue,
    ),
    ("bad_certificate", "ALERT_BAD_CERTIFICATE", Alert::BadCertificate),
    (
        "certificate_expired",
        "ALERT_CERTIFICATE_EXPIRED",
        Alert::CertificateExpired,
    ),
    (
        "certificate_required",
        "CERTIFICATE_REQUIRED",
        Alert::CertificateRequired,
    ),
    (
        "certificate_revoked",
        "ALERT_CERTIFICATE_REVOKED",
        Alert::CertificateRevoked,
    ),
    (
        "certificate_unknown",
        "ALERT_CERTIFICATE_UNKNOWN",
        Alert::CertificateUnknown,
    ),
    ("decrypt_error", "ALERT_DECRYPT_ERROR", Alert::DecryptError),
    (
        "handshake_failure",
        "ALERT_HANDSHAKE_FAILURE",
        Alert::HandshakeFailure,
    ),
    (
        "illegal_parameter",
        "ALERT_ILLEGAL_PARAMETER",
        Alert::IllegalParameter,
    ),
    (
        "protocol_version",
        "ALERT_PROTOCOL_VERSION",
        Alert::ProtocolVersion,
    ),
    ("unknown_ca", "ALERT_UNKNOWN_CA", Alert::UnknownCa),
    (
        "unsupported_certificate",
        "ALERT_UNSUPPORTED_CERTIFICATE",
        Alert::UnsupportedCertificate,
    ),
];

impl Alert {
    /// By its RFC 8446 name in snake case, as a raw caller records it.
    pub(super) fn from_rfc_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(rfc, ..)| *rfc == name).map(|row| row.2)
    }

    /// By BoringSSL's reason, as Envoy logs it (`SSLV3_ALERT_CERTIFICATE_EXPIRED`).
    pub(super) fn from_boringssl(reason: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, suffix, _)| reason.ends_with(suffix))
            .map(|row| row.2)
    }

    /// Its RFC 8446 name in snake case.
    pub(super) fn rfc_name(self) -> &'static str {
        NAMES
            .iter()
            .find(|row| row.2 == self)
            .map_or("handshake_failure", |row| row.0)
    }

    /// What the sender may have meant. One entry: the alert says it all.
    pub(super) const fn meanings(self) -> &'static [OutcomeId] {
        use OutcomeId as Id;
        match self {
            Self::CertificateExpired => &[
                Id::CertificateExpired,
                Id::CertificateNotYetValid,
                Id::CrlUnavailable,
                Id::CaExpired,
            ],
            Self::CertificateRequired => &[Id::NoClientCertificate],
            Self::CertificateRevoked => &[Id::CertificateRevoked],
            Self::CertificateUnknown => &[Id::SanMismatch, Id::TrustDomainMismatch],
            Self::HandshakeFailure => &[
                Id::NoClientCertificate,
                Id::TlsCipherMismatch,
                Id::TlsGroupMismatch,
            ],
            Self::HandshakeFailureOnHello => &[Id::TlsCipherMismatch, Id::TlsGroupMismatch],
            Self::ProtocolVersion => &[Id::TlsVersionMismatch],
            Self::UnknownCa => &[Id::UntrustedRoot, Id::CrlUnavailable],
            Self::IllegalParameter | Self::UnsupportedCertificate => &[Id::BadKeyUsage],
            Self::BadCertificate | Self::BadCertificateHashValue | Self::DecryptError => &[],
        }
    }

    /// Whether a single meaning may be taken at its word. `illegal_parameter` and `certificate_unknown` have one
    /// cause that we know of and others that we do not.
    pub(super) const fn is_conclusive(self) -> bool {
        matches!(
            self,
            Self::CertificateRequired
                | Self::CertificateRevoked
                | Self::ProtocolVersion
                | Self::UnsupportedCertificate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_name_the_same_alert() {
        for (rfc, suffix, alert) in NAMES {
            assert_eq!(Alert::from_rfc_name(rfc), Some(*alert));
            assert_eq!(Alert::from_boringssl(&format!("SSLV3_{suffix}")), Some(*alert));
        }
    }

    #[test]
    fn every_conclusive_alert_has_exactly_one_meaning() {
        for (.., alert) in NAMES.iter().filter(|row| row.2.is_conclusive()) {
            assert_eq!(alert.meanings().len(), 1, "{alert:?}");
        }
    }
}
