//! The public certificates and revocation lists in the input.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::installation::is_root;
use crate::snapshot::{Object, ObjectRef, Snapshot, Stored};

/// One certificate, and where it was found.
#[derive(Clone, Debug)]
pub(super) struct Certificate<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) stored: &'a Stored,
    /// The entry of the ConfigMap or Secret.
    pub(super) key: String,
    pub(super) role: Role,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) is_authority: bool,
    /// Whether its key usage lets it sign certificates; absent extension: yes.
    pub(super) signs_certificates: bool,
    /// Whether its key usage lets it sign handshakes; absent extension: yes.
    pub(super) signs_handshakes: bool,
    /// Whether its key is of an elliptic curve other than P-256.
    pub(super) is_beyond_p256: bool,
    der: Vec<u8>,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Role {
    /// A root that workloads trust, as distributed to namespaces.
    Distributed,
    /// A root of istiod's signing bundle.
    Root,
    /// What istiod signs with, or an intermediate above it.
    Signer,
    /// A certificate of a server or client.
    Leaf,
}

/// A revocation list.
#[derive(Clone, Debug)]
pub(super) struct RevocationList<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) stored: &'a Stored,
    pub(super) issuer: String,
    pub(super) next_update: Option<Timestamp>,
}

/// All of them, and what could not be parsed.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates<'a> {
    pub(super) all: Vec<Certificate<'a>>,
    pub(super) lists: Vec<RevocationList<'a>>,
    /// Object and entry.
    pub(super) malformed: Vec<(&'a ObjectRef, &'a Stored, String)>,
    /// istiod's signing bundle, if the input has one, and the names of its entries.
    pub(super) signing_bundle: Option<(&'a ObjectRef, &'a Stored, BTreeSet<String>)>,
}

impl<'a> Certificates<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let mut found = Self::default();
        for (name, stored) in snapshot.objects() {
            match &stored.object {
                Object::ConfigMap(map) => {
                    for (key, text) in map.data.iter().flatten() {
                        let role = match (name.name.as_str(), key.as_str()) {
                            ("istio-ca-root-cert", "root-cert.pem") => Role::Distributed,
                            ("istio-ca-crl", _) => Role::Root,
                            _ => continue,
                        };
                        found.add(name, stored, key, text.as_bytes(), role);
                    }
                }
                Object::Other(secret) if secret.kind == "Secret" && secret.api_version == "v1" => {
                    let is_bundle = is_root(&snapshot.mesh, name)
                        && matches!(name.name.as_str(), "cacerts" | "istio-ca-secret");
                    let mut keys = BTreeSet::new();
                    for part in ["data", "stringData"] {
                        let entries = secret.value.get(part).and_then(|it| it.as_object());
                        for (key, value) in entries.into_iter().flatten() {
                            keys.insert(key.clone());
                            let text = match part {
                                "data" => serde_json::from_value::<ByteString>(value.clone())
                                    .ok()
                                    .map(|it| it.0),
                                _ => value.as_str().map(|it| it.as_bytes().to_vec()),
                            };
                            if let Some(text) = text {
                                found.add(name, stored, key, &text, role_of(key, is_bundle));
                            }
                        }
                    }
                    if is_bundle && (found.signing_bundle.is_none() || name.name == "cacerts") {
                        found.signing_bundle = Some((name, stored, keys));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Those of a role.
    pub(super) fn of_role(&self, role: Role) -> impl Iterator<Item = &Certificate<'a>> {
        self.all.iter().filter(move |it| it.role == role)
    }

    /// The certificate that signs workload certificates: the first of the signing bundle.
    pub(super) fn signer(&self) -> Option<&Certificate<'a>> {
        self.of_role(Role::Signer)
            .find(|it| it.key.starts_with("ca-cert") || it.key == "tls.crt")
    }

    fn add(&mut self, object: &'a ObjectRef, stored: &'a Stored, key: &str, text: &[u8], role: Role) {
        for block in x509_parser::pem::Pem::iter_from_buffer(text) {
            let Ok(block) = block else {
                self.malformed.push((object, stored, key.to_owned()));
                continue;
            };
            let read = match block.label.as_str() {
                "X509 CRL" => self.add_list(object, stored, &block.contents),
                "CERTIFICATE" => {
                    Certificate::read(object, stored, key, block.contents, role).map(|it| self.all.push(it))
                }
                _ => Some(()),
            };
            if read.is_none() {
                self.malformed.push((object, stored, key.to_owned()));
            }
        }
    }

    fn add_list(&mut self, object: &'a ObjectRef, stored: &'a Stored, der: &[u8]) -> Option<()> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        self.lists.push(RevocationList {
            object,
            stored,
            issuer: list.issuer().to_string(),
            next_update: list
                .next_update()
                .and_then(|it| Timestamp::from_second(it.timestamp()).ok()),
        });
        Some(())
    }
}

impl<'a> Certificate<'a> {
    fn read(object: &'a ObjectRef, stored: &'a Stored, key: &str, der: Vec<u8>, role: Role) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let usage = parsed.key_usage().ok()?.map(|it| it.value);
        let time = |at: x509_parser::time::ASN1Time| Timestamp::from_second(at.timestamp()).ok();
        let key_parameters = parsed.public_key().algorithm.parameters.as_ref();
        let curve = key_parameters
            .and_then(|it| it.as_oid().ok())
            .map(|it| it.to_id_string());
        Some(Self {
            object,
            stored,
            key: key.to_owned(),
            role,
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            not_before: time(parsed.validity().not_before)?,
            not_after: time(parsed.validity().not_after)?,
            is_authority: parsed.is_ca(),
            signs_certificates: usage.is_none_or(|it| it.key_cert_sign()),
            signs_handshakes: usage.is_none_or(|it| it.digital_signature()),
            // prime256v1 (RFC 5480, 2.1.1.1).
            is_beyond_p256: curve.is_some_and(|it| it != "1.2.840.10045.3.1.7"),
            der,
        })
    }

    /// Whether it is the same certificate, wherever it was found.
    pub(super) fn is(&self, other: &Certificate<'_>) -> bool {
        self.der == other.der
    }

    /// Whether it is the certificate of these bytes.
    pub(super) fn is_der(&self, der: &[u8]) -> bool {
        self.der == der
    }

    /// Whether its signature is by another's key.
    pub(super) fn is_signed_by(&self, other: &Certificate<'_>) -> bool {
        let (Ok((_, own)), Ok((_, signer))) = (
            X509Certificate::from_der(&self.der),
            X509Certificate::from_der(&other.der),
        ) else {
            return false;
        };
        own.issuer() == signer.subject() && own.verify_signature(Some(signer.public_key())).is_ok()
    }

    /// How messages call it.
    pub(super) fn name(&self) -> String {
        match self.subject.is_empty() {
            true => format!("a certificate in {}", self.key),
            false => format!("{} in {}", self.subject, self.key),
        }
    }
}

fn role_of(key: &str, is_bundle: bool) -> Role {
    match key {
        "root-cert.pem" | "ca.crt" if is_bundle => Role::Root,
        _ if is_bundle => Role::Signer,
        _ => Role::Leaf,
    }
}
