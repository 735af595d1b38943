//! Alerts of TLS, by their numbers.

/// Whether it is about a certificate (RFC 8446, section 6.2).
pub(super) const fn is_of_certificates(alert: u8) -> bool {
    matches!(alert, 41..=46 | 48 | 49 | 113 | 114 | 116)
}

/// Whether its sender refuses to go on. The others say goodbye: close_notify, user_canceled, no_renegotiation.
pub(super) const fn is_refusal(alert: u8) -> bool {
    !matches!(alert, 0 | 90 | 100)
}

/// As RFC 8446 names it.
pub(super) const fn name(alert: u8) -> Option<&'static str> {
    Some(match alert {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
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
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}
