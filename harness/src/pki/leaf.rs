//! Workload certificates in the shape istiod issues.

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::key_pair;
use super::lifetime::Lifetime;
use super::{PkiError, PrivateKey, WorkloadCredentials};

/// id-ce-basicConstraints (RFC 5280, section 4.2.1.9).
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
/// An empty SEQUENCE in DER: `cA` is FALSE by default.
const CA_FALSE: [u8; 2] = [0x30, 0x00];

/// A leaf and its key.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) certificate: String,
    pub(super) private_key: PrivateKey,
    pub(super) serial: String,
    pub(super) serial_number: SerialNumber,
    pub(super) fingerprint: String,
    pub(super) not_after: OffsetDateTime,
}

/// Issues a leaf with a fresh key, as an agent that renews also makes a fresh key.
pub(super) fn issue(
    credentials: &WorkloadCredentials,
    issuer: &Issuer<'_, &KeyPair>,
    now: OffsetDateTime,
) -> Result<Leaf, PkiError> {
    let key = key_pair::generate(credentials.key)?;
    let serial = random_serial()?;
    let params = params(credentials, serial.clone(), now)?;
    let not_after = params.not_after;
    let certificate = params.signed_by(&key, issuer).map_err(|source| PkiError::Mint {
        what: "workload certificate",
        source,
    })?;
    Ok(Leaf {
        serial: serial_text(&serial),
        serial_number: serial,
        fingerprint: hexadecimal(&Sha256::digest(certificate.der())),
        certificate: certificate.pem(),
        private_key: PrivateKey::new(key.serialize_pem()),
        not_after,
    })
}

/// A random serial number of 128 bits, as istiod draws it.
pub(super) fn random_serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| PkiError::Random)?;
    Ok(SerialNumber::from(bytes.to_vec()))
}

/// Every field as in a certificate recorded from istiod 1.30.3 (`tests/data/istiod-xds/workload-cert.x509.txt`).
fn params(
    credentials: &WorkloadCredentials,
    serial: SerialNumber,
    now: OffsetDateTime,
) -> Result<CertificateParams, PkiError> {
    let uri = credentials
        .identity
        .as_str()
        .try_into()
        .map_err(|source| PkiError::Identity {
            identity: credentials.identity.clone(),
            source,
        })?;
    let mut params = CertificateParams::default();
    // An empty subject also makes the SAN critical (RFC 5280, section 4.1.2.6).
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri)];
    let usage = credentials.usage;
    params.key_usages = asked(&[
        (usage.digital_signature, KeyUsagePurpose::DigitalSignature),
        (true, KeyUsagePurpose::KeyEncipherment),
    ]);
    params.extended_key_usages = asked(&[
        (usage.server_auth, ExtendedKeyUsagePurpose::ServerAuth),
        (usage.client_auth, ExtendedKeyUsagePurpose::ClientAuth),
    ]);
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial);
    (params.not_before, params.not_after) = match credentials.short_lived {
        true => Lifetime::LEAF.ending_soon(now),
        false => Lifetime::LEAF.around(now, credentials.leaf),
    };
    // rcgen's own CA:FALSE brings a subject key identifier along, which istiod's leaf does not have.
    let mut constraints = CustomExtension::from_oid_content(BASIC_CONSTRAINTS, CA_FALSE.to_vec());
    constraints.set_criticality(true);
    params.custom_extensions = vec![constraints];
    Ok(params)
}

fn asked<T: Clone>(all: &[(bool, T)]) -> Vec<T> {
    let wanted = all.iter().filter(|(is_asked, _)| *is_asked);
    wanted.map(|(_, it)| it.clone()).collect()
}

/// As Envoy's `/certs` prints it: lower case, no separators, no leading zero bytes.
fn serial_text(serial: &SerialNumber) -> String {
    let bytes = serial.as_ref();
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    hexadecimal(&bytes[start..])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_written_as_envoy_writes_it() {
        for (bytes, text) in [
            (vec![0x88, 0xfa, 0x0e], "88fa0e"),
            (vec![0x00, 0x00, 0x0c, 0x61], "0c61"),
        ] {
            assert_eq!(serial_text(&SerialNumber::from(bytes)), text);
        }
    }
}
