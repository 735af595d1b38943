//! One root certificate authority and its intermediate, in the shape of a CA plugged into istiod.

use std::collections::HashMap;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use time::OffsetDateTime;

use super::lifetime::Lifetime;
use super::{PkiError, PrivateKey, RootName, Validity};

/// A root, its intermediate and the certificates that speak for them.
///
/// Keys and subjects are made once. Certificates are made once per [`Validity`] and generation, all with the same key, subject and
/// key identifier: an expired root and its re-issue differ in nothing but dates and serial, as with a re-issue in
/// earnest, and whatever it signed stays signed.
#[derive(Debug)]
pub(super) struct RootAuthority {
    root: Identity,
    intermediate: Identity,
    root_certificates: HashMap<Validity, String>,
    intermediate_certificates: HashMap<(Validity, u32), Intermediate>,
}

/// An intermediate certificate.
#[derive(Clone, Debug)]
pub(super) struct Intermediate {
    /// PEM.
    pub(super) certificate: String,
    pub(super) serial_number: SerialNumber,
}

impl RootAuthority {
    pub(super) fn new(trust_domain: &str, name: &RootName) -> Result<Self, PkiError> {
        Ok(Self {
            root: Identity::new(trust_domain, format!("{} root CA", name.0))?,
            intermediate: Identity::new(trust_domain, format!("{} intermediate CA", name.0))?,
            root_certificates: HashMap::new(),
            intermediate_certificates: HashMap::new(),
        })
    }

    /// The issuer of leaves.
    pub(super) fn intermediate(&self) -> Issuer<'_, &KeyPair> {
        self.intermediate.issuer()
    }

    /// The issuer of intermediates.
    pub(super) fn root(&self) -> Issuer<'_, &KeyPair> {
        self.root.issuer()
    }

    /// What whoever takes the intermediate's place signs with.
    pub(super) fn intermediate_key(&self) -> PrivateKey {
        PrivateKey::new(self.intermediate.key.serialize_pem())
    }

    /// The root's certificate, PEM.
    pub(super) fn root_certificate(
        &mut self,
        validity: Validity,
        now: OffsetDateTime,
    ) -> Result<String, PkiError> {
        if let Some(pem) = self.root_certificates.get(&validity) {
            return Ok(pem.clone());
        }
        let mut params = self.root.params.clone();
        (params.not_before, params.not_after) = Lifetime::ROOT.around(now, validity);
        params.serial_number = Some(super::leaf::random_serial()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params
            .self_signed(&self.root.key)
            .map_err(|source| PkiError::Mint {
                what: "root certificate",
                source,
            })?;
        let pem = certificate.pem();
        self.root_certificates.insert(validity, pem.clone());
        Ok(pem)
    }

    /// The intermediate's certificate of this generation.
    pub(super) fn intermediate_certificate(
        &mut self,
        validity: Validity,
        generation: u32,
        now: OffsetDateTime,
    ) -> Result<Intermediate, PkiError> {
        if let Some(known) = self.intermediate_certificates.get(&(validity, generation)) {
            return Ok(known.clone());
        }
        let mut params = self.intermediate.params.clone();
        (params.not_before, params.not_after) = Lifetime::INTERMEDIATE.around(now, validity);
        let serial_number = super::leaf::random_serial()?;
        params.serial_number = Some(serial_number.clone());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&self.intermediate.key, &self.root.issuer())
            .map_err(|source| PkiError::Mint {
                what: "intermediate certificate",
                source,
            })?;
        let intermediate = Intermediate {
            certificate: certificate.pem(),
            serial_number,
        };
        self.intermediate_certificates
            .insert((validity, generation), intermediate.clone());
        Ok(intermediate)
    }
}

/// The key and subject of a certificate authority.
#[derive(Debug)]
struct Identity {
    key: KeyPair,
    /// What every certificate of this authority has in common.
    params: CertificateParams,
}

impl Identity {
    /// O is the trust domain, as on istiod's own root; the common name tells the roots of a run apart.
    fn new(trust_domain: &str, common_name: String) -> Result<Self, PkiError> {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, trust_domain);
        subject.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        let key = KeyPair::generate().map_err(|source| PkiError::Mint {
            what: "CA key",
            source,
        })?;
        Ok(Self { key, params })
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}
