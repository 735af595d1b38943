//! The texts in which Envoy and rustls say why a connection failed, parsed into a typed [`Reason`].
//!
//! Envoy writes them in three places with small differences. `%*_TRANSPORT_FAILURE_REASON%` has underscores for
//! spaces, the connection debug log has spaces, and before Envoy 1.37 only the debug log names the verification
//! error. Numbers (`268435581`) are BoringSSL's and are not needed.

use super::alert::Alert;

/// Why one end gave up, in its own words.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Reason {
    /// This end refused the peer's certificate.
    Verify(Verdict),
    /// This end demands a certificate and got none.
    NoPeerCertificate,
    /// The peer's RSA key usage forbids the use it was put to.
    KeyUsage,
    /// What came back were no TLS records.
    NotTls,
    /// A plaintext HTTP request came where a ClientHello was due.
    PlaintextRequest,
    /// No TLS version in common.
    Version,
    /// No cipher suite in common; under TLS 1.2 BoringSSL says so for groups and key types too.
    Cipher,
    /// No key exchange group in common.
    Group,
    /// This end has no secret from SDS.
    SecretMissing,
    /// The peer sent an alert: it refused, this end only heard of it.
    Alert(Alert),
    /// The peer reset the connection.
    Reset,
    /// TCP was refused.
    Refused,
    /// The TLS inspector looked at plaintext. Since Envoy 1.37 logged on connections that succeed, too.
    InspectedPlaintext,
}

/// What this end held against the peer's certificate.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Verdict {
    /// Expired at this depth, 0 being the leaf; rustls names no depth.
    Expired { depth: Option<u32> },
    /// Not yet valid.
    NotYetValid,
    /// No chain to a trusted root.
    Untrusted,
    /// Extended key usage.
    Purpose,
    /// Revoked.
    Revoked,
    /// A CRL is missing or expired.
    Crl,
    /// No SAN matches; with the SANs presented where the text lists them (since Envoy 1.38).
    San { presented: Option<Vec<String>> },
    /// A certificate pin.
    Pin,
    /// The text does not say.
    Unnamed,
}

/// BoringSSL's words for verification errors, as Envoy quotes them after `depth N:`; the depth is filled in.
const X509: &[(&str, Verdict)] = &[
    ("certificate_has_expired", Verdict::Expired { depth: None }),
    ("certificate_is_not_yet_valid", Verdict::NotYetValid),
    ("unable_to_get_local_issuer_certificate", Verdict::Untrusted),
    ("unable_to_get_issuer_certificate", Verdict::Untrusted),
    ("self_signed_certificate", Verdict::Untrusted),
    ("unsupported_certificate_purpose", Verdict::Purpose),
    ("certificate_revoked", Verdict::Revoked),
    ("CRL_has_expired", Verdict::Crl),
    ("unable_to_get_certificate_CRL", Verdict::Crl),
];

/// Words of Envoy and BoringSSL that are a reason by themselves.
const WORDS: &[(&str, Reason)] = &[
    ("Secret_is_not_supplied_by_SDS", Reason::SecretMissing),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", Reason::NoPeerCertificate),
    ("KEY_USAGE_BIT_INCORRECT", Reason::KeyUsage),
    ("WRONG_VERSION_NUMBER", Reason::NotTls),
    ("HTTP_REQUEST", Reason::PlaintextRequest),
    ("UNSUPPORTED_PROTOCOL", Reason::Version),
    ("NO_SHARED_CIPHER", Reason::Cipher),
    ("NO_SHARED_GROUP", Reason::Group),
    ("CERTIFICATE_VERIFY_FAILED", Reason::Verify(Verdict::Unnamed)),
    ("connect_error:_Connection_refused", Reason::Refused),
    ("Connection_reset_by_peer", Reason::Reset),
];

/// Words of rustls (`rustls::Error`'s `Display`).
const RUSTLS: &[(&str, Reason)] = &[
    ("corrupt message", Reason::NotTls),
    ("InvalidContentType", Reason::NotTls),
    ("NotValidYet", Reason::Verify(Verdict::NotYetValid)),
    ("not valid yet", Reason::Verify(Verdict::NotYetValid)),
    ("Expired", Reason::Verify(Verdict::Expired { depth: None })),
    (
        "certificate expired",
        Reason::Verify(Verdict::Expired { depth: None }),
    ),
    ("UnknownIssuer", Reason::Verify(Verdict::Untrusted)),
    ("Revoked", Reason::Verify(Verdict::Revoked)),
    ("InvalidPurpose", Reason::Verify(Verdict::Purpose)),
    (
        "NotValidForName",
        Reason::Verify(Verdict::San { presented: None }),
    ),
    (
        "not valid for name",
        Reason::Verify(Verdict::San { presented: None }),
    ),
    ("NoCipherSuitesInCommon", Reason::Cipher),
    ("NoKxGroupsInCommon", Reason::Group),
];

impl Reason {
    /// What an access-log field or a debug line of Envoy says; `None` where it says nothing we know.
    pub(super) fn from_envoy(text: &str) -> Option<Self> {
        let text = text.replace(' ', "_");
        if text.contains("TLS_error|error:") {
            return Some(Self::InspectedPlaintext);
        }
        if let Some((_, said)) = text.split_once("verify_cert_failed:_") {
            return Some(Self::Verify(Verdict::from_validator(said)));
        }
        if text.contains("HANDSHAKE_FAILURE_ON_CLIENT_HELLO") {
            return Some(Self::Alert(Alert::HandshakeFailureOnHello));
        }
        // `|code:library:function:reason|code:…`: what follows the first known item is its aftermath.
        text.split('|').find_map(Self::from_item)
    }

    /// What rustls reported to a raw caller.
    pub(super) fn from_rustls(text: &str) -> Option<Self> {
        find(RUSTLS, text)
    }

    fn from_item(item: &str) -> Option<Self> {
        find(WORDS, item).or_else(|| item.split(':').find_map(Alert::from_boringssl).map(Self::Alert))
    }
}

impl Verdict {
    /// From Envoy's certificate validator, underscores for spaces, without its `verify_cert_failed:_`.
    fn from_validator(said: &str) -> Self {
        if said.starts_with("SAN_matcher") || said.starts_with("verify_SAN_list") {
            return Self::San {
                presented: presented_sans(said),
            };
        }
        if said.starts_with("cert_hash_and_spki") {
            return Self::Pin;
        }
        let Some((depth, error)) = said
            .split_once("at_depth_")
            .and_then(|(_, rest)| rest.split_once(':'))
            .and_then(|(depth, error)| Some((depth.parse().ok()?, error)))
        else {
            return Self::Unnamed;
        };
        match X509.iter().find(|(words, _)| error.contains(words)) {
            Some((_, Self::Expired { .. })) => Self::Expired { depth: Some(depth) },
            Some((_, verdict)) => verdict.clone(),
            None => Self::Unnamed,
        }
    }
}

fn presented_sans(said: &str) -> Option<Vec<String>> {
    let (_, list) = said
        .split_once("certificate_SANs_are_[")
        .or_else(|| said.split_once("certificate_SANs:_["))?;
    let (list, _) = list.split_once(']')?;
    Some(
        list.split(',')
            .map(|san| san.trim_matches('_').to_owned())
            .filter(|san| !san.is_empty())
            .collect(),
    )
}

fn find(words: &[(&str, Reason)], text: &str) -> Option<Reason> {
    words
        .iter()
        .find(|(word, _)| text.contains(word))
        .map(|(_, reason)| reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRED_CA: Reason = Reason::Verify(Verdict::Expired { depth: Some(1) });

    #[test]
    fn the_debug_line_and_the_access_log_say_the_same() {
        let debug = "verify cert failed: X509_verify_cert: certificate verification error at depth 1: certificate has expired";
        let log = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_1:_certificate_has_expired:TLS_error_end";
        assert_eq!(Reason::from_envoy(debug), Some(EXPIRED_CA));
        assert_eq!(Reason::from_envoy(log), Some(EXPIRED_CA));
    }

    #[test]
    fn envoy_1_36_says_only_that_verification_failed() {
        let log =
            "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end";
        assert_eq!(Reason::from_envoy(log), Some(Reason::Verify(Verdict::Unnamed)));
    }

    #[test]
    fn a_broken_pipe_behind_an_alert_is_aftermath() {
        let line = "remote address:127.0.0.1:1,TLS_error:|268436501:SSL routines:OPENSSL_internal:SSLV3_ALERT_CERTIFICATE_EXPIRED:TLS_error_end|33554464:system library:OPENSSL_internal:Broken pipe:TLS_error_end";
        assert_eq!(
            Reason::from_envoy(line),
            Some(Reason::Alert(Alert::CertificateExpired))
        );
        let alone = "remote address:127.0.0.1:1,TLS_error:|33554464:system library:OPENSSL_internal:Broken pipe:TLS_error_end";
        assert_eq!(Reason::from_envoy(alone), None);
    }

    #[test]
    fn what_the_tls_inspector_logs_is_no_failure_of_a_handshake() {
        let inspector = "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end";
        assert_eq!(Reason::from_envoy(inspector), Some(Reason::InspectedPlaintext));
    }

    #[test]
    fn the_presented_sans_are_read_where_the_text_lists_them() {
        let some = "verify cert failed: SAN matcher, certificate SANs are [spiffe://a/ns/b/sa/c]";
        let none = "CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_SAN_matcher,_certificate_SANs_are_[]:TLS_error_end";
        let old = "verify cert failed: SAN matcher";
        let san = |presented| Some(Reason::Verify(Verdict::San { presented }));
        assert_eq!(
            Reason::from_envoy(some),
            san(Some(vec!["spiffe://a/ns/b/sa/c".to_owned()]))
        );
        assert_eq!(Reason::from_envoy(none), san(Some(Vec::new())));
        assert_eq!(Reason::from_envoy(old), san(None));
    }

    #[test]
    fn a_revocation_failure_is_told_from_expiry_with_and_without_its_prefix() {
        let new = "verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:_certificate_revocation_check_against_provided_CRLs_failed:_CRL_has_expired";
        let old = "verify cert failed: X509_verify_cert: certificate verification error at depth 0: CRL has expired";
        for text in [new, old] {
            assert_eq!(Reason::from_envoy(text), Some(Reason::Verify(Verdict::Crl)));
        }
    }
}
