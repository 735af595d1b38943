//! Mints what [`Credentials`] say.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use time::OffsetDateTime;

use super::issuer::RootAuthority;
use super::leaf::{self, Leaf};
use super::{
    Credentials, LeafKey, LeafUsage, PrivateKey, Revocation, RootName, Validity, WorkloadCredentials,
    revocation,
};
use crate::call::WorkloadName;

/// The certificate authorities of a run: every root, its intermediate, and all they issued.
///
/// The same state gives the same certificates, byte by byte, for as long as the authority lives. A change renews
/// only what it is about: another bundle leaves the leaf alone, an expired root leaves the intermediate alone.
///
/// A certificate that is not valid yet is minted to become valid an hour later, a current leaf lives 24 hours:
/// a run that outlasts them needs another `generation`.
#[derive(Debug)]
pub struct Authority {
    trust_domain: String,
    roots: HashMap<RootName, RootAuthority>,
    leaves: HashMap<(WorkloadName, LeafState), Leaf>,
    lists: HashMap<ListState, String>,
}

/// What a workload holds: the three things its agent would be given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issued {
    /// The chain it serves, PEM: leaf, intermediate, root. istiod's answer includes the root and the agent serves
    /// it as it came.
    pub certificate_chain: String,
    /// The leaf's key.
    pub private_key: PrivateKey,
    /// The roots it trusts, PEM, in the order of the bundle.
    pub trust_bundle: String,
    /// The revocation lists it checks its peers against, PEM; empty where it checks none.
    pub revocation_lists: String,
    /// The leaf's serial number as Envoy's `/certs` prints it: lower-case hexadecimal without leading zero bytes.
    pub serial: String,
    /// SHA-256 over the leaf's DER, lower-case hexadecimal.
    pub fingerprint: String,
}

/// A certificate authority as istiod takes it from the Secret `cacerts`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PluggedIn {
    /// The intermediate that istiod signs with, PEM: `ca-cert.pem`.
    pub certificate: String,
    /// Its key: `ca-key.pem`.
    pub private_key: PrivateKey,
    /// The root, PEM: `root-cert.pem`.
    pub root: String,
    /// From the intermediate to the root, PEM: `cert-chain.pem`.
    pub chain: String,
}

/// Why no certificate could be minted.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The state says nothing of this workload.
    #[error("no credentials for workload `{workload}`: give it an identity before certificates are issued")]
    UnknownWorkload {
        /// The workload asked for.
        workload: WorkloadName,
    },
    /// A trust bundle without any root. Envoy refuses to match a SAN without a trusted CA.
    #[error("the trust bundle of workload `{workload}` is empty: name at least one root")]
    EmptyBundle {
        /// The workload asked for.
        workload: WorkloadName,
    },
    /// The identity cannot stand in a SAN.
    #[error("identity `{identity}` cannot be written as a URI SAN: use ASCII only")]
    Identity {
        /// The identity as given.
        identity: String,
        /// What the encoder said.
        source: rcgen::Error,
    },
    /// Signing or key generation failed.
    #[error("could not make a {what}")]
    Mint {
        /// What was being made.
        what: &'static str,
        /// What the library said.
        source: rcgen::Error,
    },
    /// No RSA key could be made.
    #[error("could not make an RSA key: {reason}")]
    RsaKey {
        /// What the library said.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("the system's random generator gave no bytes for a serial number: check that it is available")]
    Random,
}

impl Authority {
    /// An authority for `trust_domain` (for example `cluster.local`). Keys are made when first needed.
    #[must_use]
    pub fn new(trust_domain: &str) -> Self {
        Self {
            trust_domain: trust_domain.to_owned(),
            roots: HashMap::new(),
            leaves: HashMap::new(),
            lists: HashMap::new(),
        }
    }

    /// What `workload` holds in the state `credentials`.
    ///
    /// # Errors
    ///
    /// When the state does not name the workload, when its identity cannot stand in a certificate, when its bundle
    /// is empty, or when the system cannot make keys.
    pub fn issue(&mut self, credentials: &Credentials, workload: &WorkloadName) -> Result<Issued, PkiError> {
        let Some(state) = credentials.workloads.get(workload) else {
            return Err(PkiError::UnknownWorkload {
                workload: workload.clone(),
            });
        };
        if state.bundle.is_empty() {
            return Err(PkiError::EmptyBundle {
                workload: workload.clone(),
            });
        }
        let now = OffsetDateTime::now_utc();
        let leaf = self.leaf(workload, state, now)?;
        let intermediate = self
            .root(&state.issuer)?
            .intermediate_certificate(state.intermediate, state.intermediate_generation, now)?
            .certificate;
        let root = self.root_certificate(credentials, &state.issuer, now)?;
        let bundle: Vec<String> = state
            .bundle
            .iter()
            .map(|name| self.root_certificate(credentials, name, now))
            .collect::<Result<_, _>>()?;
        let revocation_lists = self.revocation_lists(credentials, state, now)?;
        let served = if state.serves_intermediate {
            intermediate
        } else {
            String::new()
        };
        Ok(Issued {
            certificate_chain: [leaf.certificate, served, root].concat(),
            revocation_lists,
            private_key: leaf.private_key,
            trust_bundle: bundle.concat(),
            serial: leaf.serial,
            fingerprint: leaf.fingerprint,
        })
    }

    /// The root of this name and its intermediate, to be plugged into istiod.
    ///
    /// # Errors
    ///
    /// When the system cannot make keys.
    pub fn plugged_in(&mut self, name: &RootName) -> Result<PluggedIn, PkiError> {
        let now = OffsetDateTime::now_utc();
        let authority = self.root(name)?;
        let certificate = authority
            .intermediate_certificate(Validity::Current, 0, now)?
            .certificate;
        let root = authority.root_certificate(Validity::Current, now)?;
        Ok(PluggedIn {
            private_key: authority.intermediate_key(),
            chain: [certificate.as_str(), &root].concat(),
            certificate,
            root,
        })
    }

    /// A root that signed nothing of the mesh, PEM: what the roots of an operating system are to it.
    ///
    /// # Errors
    ///
    /// When the system cannot make keys.
    pub fn stranger(&mut self) -> Result<String, PkiError> {
        let name = RootName("public".to_owned());
        self.root(&name)?
            .root_certificate(Validity::Current, OffsetDateTime::now_utc())
    }

    /// When the short-lived leaves that workloads hold in the state `credentials` are over: the last moment in which
    /// any of them is valid (`notAfter` is within a certificate's life). `None` where nobody holds one.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue).
    pub fn short_lives_end(&mut self, credentials: &Credentials) -> Result<Option<OffsetDateTime>, PkiError> {
        let now = OffsetDateTime::now_utc();
        let mut last = None;
        for (name, held) in credentials.workloads.iter().filter(|(_, held)| held.short_lived) {
            last = last.max(Some(self.leaf(name, held, now)?.not_after));
        }
        Ok(last)
    }

    fn leaf(
        &mut self,
        workload: &WorkloadName,
        state: &WorkloadCredentials,
        now: OffsetDateTime,
    ) -> Result<Leaf, PkiError> {
        let key = (workload.clone(), LeafState::of(state));
        let is_over = |leaf: &Leaf| state.leaf == Validity::Current && leaf.not_after < now;
        if let Some(leaf) = self.leaves.get(&key).filter(|leaf| !is_over(leaf)) {
            return Ok(leaf.clone());
        }
        let leaf = leaf::issue(state, &self.root(&state.issuer)?.intermediate(), now)?;
        self.leaves.insert(key, leaf.clone());
        Ok(leaf)
    }

    /// The lists of every authority below the roots that `verifier` trusts, and of the roots themselves.
    fn revocation_lists(
        &mut self,
        credentials: &Credentials,
        verifier: &WorkloadCredentials,
        now: OffsetDateTime,
    ) -> Result<String, PkiError> {
        let (is_expired, signers): (_, &[Signer]) = match verifier.revocation {
            Revocation::Unchecked => return Ok(String::new()),
            Revocation::Current => (false, &[Signer::Intermediate, Signer::Root]),
            Revocation::Expired => (true, &[Signer::Intermediate, Signer::Root]),
            Revocation::WithoutRoot => (false, &[Signer::Intermediate]),
        };
        let mut lists = String::new();
        for root in &verifier.bundle {
            let (mut leaves, mut intermediates) = (Vec::new(), Vec::new());
            for (name, holder) in &credentials.workloads {
                if holder.issuer != *root {
                    continue;
                }
                if holder.revoked {
                    leaves.push(self.leaf(name, holder, now)?.serial_number);
                }
                if holder.intermediate_is_revoked {
                    let serial = self
                        .root(root)?
                        .intermediate_certificate(holder.intermediate, holder.intermediate_generation, now)?
                        .serial_number;
                    if !intermediates.contains(&serial) {
                        intermediates.push(serial);
                    }
                }
            }
            for signer in signers {
                let listed: &[_] = match signer {
                    Signer::Intermediate => &leaves,
                    Signer::Root => &intermediates,
                };
                let state = ListState {
                    issuer: root.clone(),
                    signer: *signer,
                    is_expired,
                    revoked: listed.iter().map(|serial| serial.to_bytes()).collect(),
                };
                if let Some(known) = self.lists.get(&state) {
                    lists.push_str(known);
                    continue;
                }
                let authority = self.root(root)?;
                let issuer = match signer {
                    Signer::Root => authority.root(),
                    Signer::Intermediate => authority.intermediate(),
                };
                let list = revocation::list(&issuer, listed, is_expired, now)?;
                lists.push_str(&list);
                self.lists.insert(state, list);
            }
        }
        Ok(lists)
    }

    fn root_certificate(
        &mut self,
        credentials: &Credentials,
        name: &RootName,
        now: OffsetDateTime,
    ) -> Result<String, PkiError> {
        let validity = credentials.roots.get(name).copied().unwrap_or_default();
        self.root(name)?.root_certificate(validity, now)
    }

    fn root(&mut self, name: &RootName) -> Result<&mut RootAuthority, PkiError> {
        match self.roots.entry(name.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => Ok(unknown.insert(RootAuthority::new(&self.trust_domain, name)?)),
        }
    }
}

/// Which authority of a root signs a revocation list.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Signer {
    Root,
    Intermediate,
}

/// What a revocation list depends on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct ListState {
    issuer: RootName,
    signer: Signer,
    is_expired: bool,
    revoked: Vec<Vec<u8>>,
}

/// The part of a workload's state that its leaf depends on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct LeafState {
    identity: String,
    validity: Validity,
    short_lived: bool,
    key: LeafKey,
    usage: LeafUsage,
    issuer: RootName,
    generation: u32,
}

impl LeafState {
    fn of(state: &WorkloadCredentials) -> Self {
        Self {
            identity: state.identity.clone(),
            // One certificate, whether its end has come or not.
            validity: match state.short_lived {
                true => Validity::Current,
                false => state.leaf,
            },
            short_lived: state.short_lived,
            key: state.key,
            usage: state.usage,
            issuer: state.issuer.clone(),
            generation: state.generation,
        }
    }
}
