//! Revocation lists.

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams,
    SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::PkiError;
use super::lifetime::BEYOND;

/// How long a list is good for, and how old it is while current. A public CA publishes about this often.
const LENGTH: Duration = Duration::days(7);
const AGE: Duration = Duration::days(1);

/// The list of `issuer` (PEM) with the certificates it has revoked.
pub(super) fn list(
    issuer: &Issuer<'_, &KeyPair>,
    revoked: &[SerialNumber],
    is_expired: bool,
    now: OffsetDateTime,
) -> Result<String, PkiError> {
    let issued = if is_expired {
        now - BEYOND - LENGTH
    } else {
        now - AGE
    };
    let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: serial.clone(),
        revocation_time: issued,
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: issued,
        next_update: issued + LENGTH,
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let failed = |source| PkiError::Mint {
        what: "revocation list",
        source,
    };
    params.signed_by(issuer).map_err(failed)?.pem().map_err(failed)
}
