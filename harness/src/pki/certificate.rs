//! Certificates and revocation lists as they are found: in Secrets, ConfigMaps, and in what a proxy says it uses.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{
    CertificateRevocationList, FromDer as _, GeneralName, ParsedExtension, X509Certificate,
};

use super::{LeafKey, LeafUsage};

/// One certificate, without its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// The subject's distinguished name; empty in workload certificates.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// Serial number, lower-case hexadecimal without leading zero bytes.
    pub serial: String,
    /// URI subject alternative names.
    pub uris: Vec<String>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Whether it is an authority (`basicConstraints`).
    pub is_authority: bool,
    /// Whether its key usage lets it sign certificates; absent extension: yes.
    pub signs_certificates: bool,
    /// What it may be used for in a handshake; absent extension: everything.
    pub usage: LeafUsage,
    /// The type of its key; `None` for one that meshproof does not know.
    pub key: Option<LeafKey>,
    /// Whether its key is of an elliptic curve other than P-256.
    pub is_beyond_p256: bool,
    /// The public key (`SubjectPublicKeyInfo`): the same in every certificate of one authority.
    public_key: Vec<u8>,
    der: Vec<u8>,
}

/// A revocation list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevocationList {
    /// The issuer's distinguished name.
    pub issuer: String,
    /// When the next one is due.
    pub next_update: Option<Timestamp>,
    /// Serial numbers, as [`Certificate::serial`] has them.
    pub revoked: Vec<String>,
}

/// What a text in PEM holds, in its order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pem {
    /// Certificates.
    pub certificates: Vec<Certificate>,
    /// Revocation lists.
    pub lists: Vec<RevocationList>,
    /// How many blocks are neither, though they say they are.
    pub malformed: usize,
}

impl Pem {
    /// Reads a text. Blocks of other kinds, keys among them, are left out.
    #[must_use]
    pub fn read(text: &[u8]) -> Self {
        let mut found = Self::default();
        for block in x509_parser::pem::Pem::iter_from_buffer(text) {
            let read = match block {
                Ok(block) if block.label == "X509 CRL" => {
                    RevocationList::read(&block.contents).map(|it| found.lists.push(it))
                }
                Ok(block) if block.label == "CERTIFICATE" => {
                    Certificate::read(block.contents).map(|it| found.certificates.push(it))
                }
                Ok(_) => Some(()),
                Err(_) => None,
            };
            found.malformed += usize::from(read.is_none());
        }
        found
    }
}

impl Certificate {
    /// Reads a certificate in DER; `None` where it is none.
    #[must_use]
    pub fn read(der: Vec<u8>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let usage = parsed.key_usage().ok()?.map(|it| it.value);
        let extended = parsed.extended_key_usage().ok()?.map(|it| it.value);
        let public_key = parsed.public_key();
        let parameters = public_key.algorithm.parameters.as_ref();
        let curve = parameters
            .and_then(|it| it.as_oid().ok())
            .map(|it| it.to_id_string());
        let key = match curve.as_deref() {
            // prime256v1 and secp384r1 (RFC 5480, 2.1.1.1), rsaEncryption (RFC 8017, A.1).
            Some("1.2.840.10045.3.1.7") => Some(LeafKey::EcdsaP256),
            Some("1.3.132.0.34") => Some(LeafKey::EcdsaP384),
            _ if public_key.algorithm.algorithm.to_id_string() == "1.2.840.113549.1.1.1" => {
                Some(LeafKey::Rsa2048)
            }
            _ => None,
        };
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial: hexadecimal(parsed.raw_serial()),
            uris: uris(&parsed),
            not_before: time(parsed.validity().not_before)?,
            not_after: time(parsed.validity().not_after)?,
            is_authority: parsed.is_ca(),
            signs_certificates: usage.is_none_or(|it| it.key_cert_sign()),
            usage: LeafUsage {
                digital_signature: usage.is_none_or(|it| it.digital_signature()),
                server_auth: extended.is_none_or(|it| it.any || it.server_auth),
                client_auth: extended.is_none_or(|it| it.any || it.client_auth),
            },
            is_beyond_p256: curve.is_some() && key != Some(LeafKey::EcdsaP256),
            key,
            public_key: public_key.raw.to_vec(),
            der,
        })
    }

    /// Whether it is the certificate of these bytes.
    #[must_use]
    pub fn is_der(&self, der: &[u8]) -> bool {
        self.der == der
    }

    /// Whether both are of one authority: the same name and key, be it renewed or not.
    #[must_use]
    pub fn is_of_authority(&self, other: &Self) -> bool {
        self.subject == other.subject && self.public_key == other.public_key
    }

    /// The beginning of the SHA-256 of its public key: the same in every certificate of one authority.
    #[must_use]
    pub fn key_id(&self) -> String {
        let digest = Sha256::digest(&self.public_key);
        hexadecimal(&digest).chars().take(16).collect()
    }

    /// Whether its signature is by another's key.
    #[must_use]
    pub fn is_signed_by(&self, other: &Self) -> bool {
        let (Ok((_, own)), Ok((_, signer))) = (
            X509Certificate::from_der(&self.der),
            X509Certificate::from_der(&other.der),
        ) else {
            return false;
        };
        own.issuer() == signer.subject() && own.verify_signature(Some(signer.public_key())).is_ok()
    }
}

impl RevocationList {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let revoked = list.iter_revoked_certificates();
        Some(Self {
            issuer: list.issuer().to_string(),
            next_update: list.next_update().and_then(time),
            revoked: revoked.map(|it| hexadecimal(it.raw_serial())).collect(),
        })
    }
}

fn uris(parsed: &X509Certificate<'_>) -> Vec<String> {
    let names = parsed
        .extensions()
        .iter()
        .filter_map(|it| match it.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
    names
        .flatten()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect()
}

fn time(at: x509_parser::time::ASN1Time) -> Option<Timestamp> {
    Timestamp::from_second(at.timestamp()).ok()
}

fn hexadecimal(serial: &[u8]) -> String {
    let leading = serial.iter().take_while(|byte| **byte == 0).count();
    let significant = serial.get(leading..).unwrap_or_default();
    significant.iter().map(|byte| format!("{byte:02x}")).collect()
}
