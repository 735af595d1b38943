//! The names of TLS alerts.

use rustls::AlertDescription;

use crate::probe::alert;

/// The alert's name as RFC 8446, section 6 writes it (RFC 5246, section 7.2 for those it dropped), or `alert_<number>`.
pub(super) fn name(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    alert::name(number).map_or_else(|| format!("alert_{number}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_named_as_in_the_rfc() {
        for (alert, expected) in [
            (AlertDescription::CertificateExpired, "certificate_expired"),
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::UnrecognisedName, "unrecognized_name"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
            (AlertDescription::CertificateRequired, "certificate_required"),
            (AlertDescription::Unknown(200), "alert_200"),
        ] {
            assert_eq!(name(alert), expected);
        }
    }
}
