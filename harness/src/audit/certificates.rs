//! The public certificates and revocation lists in the input.

use std::collections::BTreeSet;
use std::ops::Deref;

use jiff::Timestamp;
use k8s_openapi::ByteString;

use super::installation::is_root;
use crate::pki::{self, Pem};
use crate::snapshot::{Object, ObjectRef, Snapshot, Stored};

/// One certificate, and where it was found.
#[derive(Clone, Debug)]
pub(super) struct Certificate<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) stored: &'a Stored,
    /// The entry of the ConfigMap or Secret.
    pub(super) key: String,
    pub(super) role: Role,
    certificate: pki::Certificate,
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

/// A revocation list, and where it was found.
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
        let read = Pem::read(text);
        self.all
            .extend(read.certificates.into_iter().map(|certificate| Certificate {
                object,
                stored,
                key: key.to_owned(),
                role,
                certificate,
            }));
        self.lists
            .extend(read.lists.into_iter().map(|list| RevocationList {
                object,
                stored,
                issuer: list.issuer,
                next_update: list.next_update,
            }));
        let malformed = (0..read.malformed).map(|_| (object, stored, key.to_owned()));
        self.malformed.extend(malformed);
    }
}

impl Certificate<'_> {
    /// Whether it is the same certificate, wherever it was found.
    pub(super) fn is(&self, other: &Certificate<'_>) -> bool {
        self.certificate == other.certificate
    }

    /// How messages call it.
    pub(super) fn name(&self) -> String {
        match self.subject.is_empty() {
            true => format!("a certificate in {}", self.key),
            false => format!("{} in {}", self.subject, self.key),
        }
    }
}

impl Deref for Certificate<'_> {
    type Target = pki::Certificate;

    fn deref(&self) -> &pki::Certificate {
        &self.certificate
    }
}

fn role_of(key: &str, is_bundle: bool) -> Role {
    match key {
        "root-cert.pem" | "ca.crt" if is_bundle => Role::Root,
        _ if is_bundle => Role::Signer,
        _ => Role::Leaf,
    }
}
