//! Leaves that expire while in use. Nobody announces their end: the certificates themselves say when it is.

use std::time::Duration;

use time::OffsetDateTime;

use crate::mesh::MeshError;
use crate::pki::{Authority, Credentials, Validity};

/// Waits until the short-lived leaves are over that are to have expired. RFC 5280 counts the second of `notAfter` as
/// part of a certificate's life (section 4.1.2.5).
pub(super) async fn awaited(authority: &mut Authority, credentials: &Credentials) -> Result<(), MeshError> {
    let Some(end) = ends(authority, credentials, Validity::Expired)? else {
        return Ok(());
    };
    while let Some(left) = until(end + time::Duration::SECOND) {
        tokio::time::sleep(left).await;
    }
    Ok(())
}

/// What was seen while a leaf was to be current is worth nothing if it was not. BoringSSL does not count the second of
/// `notAfter` (`X509_cmp_time_posix`).
pub(super) fn not_yet(authority: &mut Authority, credentials: &Credentials) -> Result<(), MeshError> {
    match ends(authority, credentials, Validity::Current)? {
        Some(end) if until(end).is_none() => Err(MeshError::ExpiredEarly),
        _ => Ok(()),
    }
}

/// When the short-lived leaves end that are in this part of their life.
fn ends(
    authority: &mut Authority,
    credentials: &Credentials,
    validity: Validity,
) -> Result<Option<OffsetDateTime>, MeshError> {
    let mut credentials = credentials.clone();
    credentials.workloads.retain(|_, held| held.leaf == validity);
    Ok(authority.short_lives_end(&credentials)?)
}

fn until(moment: OffsetDateTime) -> Option<Duration> {
    let left = moment - OffsetDateTime::now_utc();
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}
