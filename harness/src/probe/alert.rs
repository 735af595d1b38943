//! Alerts of TLS, by their numbers.

/// Whether it is about a certificate (RFC 8446, section 6.2).
pub(super) const fn is_of_certificates(alert: u8) -> bool {
    matches!(alert, 41..=46 | 48 | 49 | 113 | 114 | 116)
}

/// Whether its sender refuses to go on. The others say goodbye: close_notify, user_canceled, no_renegotiation.
pub(super) const fn is_refusal(alert: u8) -> bool {
    !matches!(alert, 0 | 90 | 100)
}

/// As RFC 8446, section 6 names it (RFC 5246, section 7.2 those it dropped).
pub(super) const fn name(alert: u8) -> Option<&'static str> {
    Some(match alert {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}
