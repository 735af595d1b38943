//! The declarative state of the mesh's certificates.
//!
//! Faults and rotations change this state and nothing else; the authority mints what it says and the prediction
//! reads what it says, so both work from one description.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::WorkloadName;

/// The name of a root certificate authority of the run, for example `mesh`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RootName(pub String);

impl RootName {
    /// The root every mesh starts with.
    pub const MESH: &'static str = "mesh";
}

impl Default for RootName {
    fn default() -> Self {
        Self(Self::MESH.to_owned())
    }
}

/// Where the present lies relative to a certificate's lifetime.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Validity {
    /// The present lies within.
    #[default]
    Current,
    /// `notAfter` has passed.
    Expired,
    /// `notBefore` has not come.
    NotYetValid,
}

/// The key pair of a leaf.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum LeafKey {
    /// ECDSA on P-256, as in the recording from istiod 1.30.3.
    #[default]
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on P-384. Envoy loads it from 1.33 on (Istio 1.25).
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// RSA of 2048 bits, the least that Envoy loads.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
}

/// What a leaf may be used for, as far as a handshake asks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LeafUsage {
    /// Key usage `digitalSignature`; `keyEncipherment` is always there.
    pub digital_signature: bool,
    /// Extended key usage `serverAuth`.
    pub server_auth: bool,
    /// Extended key usage `clientAuth`.
    pub client_auth: bool,
}

impl Default for LeafUsage {
    /// As istiod issues it: everything.
    fn default() -> Self {
        Self {
            digital_signature: true,
            server_auth: true,
            client_auth: true,
        }
    }
}

/// The revocation lists that a workload checks its peers against (Istio's `ca-crl.pem`). Where there are any, Envoy
/// wants one of every authority in the peer's chain.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Revocation {
    /// None, so nothing is checked.
    #[default]
    Unchecked,
    /// Current lists of all authorities it trusts.
    Current,
    /// The same lists, whose `nextUpdate` has passed.
    Expired,
    /// Those of the intermediates only: the root's list is missing.
    WithoutRoot,
}

/// What a workload's agent hands to its proxy.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Supply {
    /// The certificate and its key (`default`).
    pub certificate: bool,
    /// The trusted roots (`ROOTCA`).
    pub roots: bool,
}

impl Supply {
    /// Both.
    pub const FULL: Self = Self {
        certificate: true,
        roots: true,
    };

    /// Neither.
    pub const NOTHING: Self = Self {
        certificate: false,
        roots: false,
    };

    /// Whether anything that `other` holds is missing here.
    #[must_use]
    pub const fn lacks_of(self, other: Self) -> bool {
        (other.certificate && !self.certificate) || (other.roots && !self.roots)
    }
}

/// What one workload serves and trusts.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WorkloadCredentials {
    /// The URI in the leaf's SAN, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` unless a fault changed it.
    pub identity: String,
    /// Validity of the leaf.
    pub leaf: Validity,
    /// Whether the leaf is one that ends within seconds of its issue: `Current` at first and then `Expired`, the same
    /// certificate all the while.
    pub short_lived: bool,
    /// The leaf's key pair.
    pub key: LeafKey,
    /// What the leaf may be used for.
    pub usage: LeafUsage,
    /// Whether its issuer has revoked the leaf.
    pub revoked: bool,
    /// Validity of the intermediate in the chain it serves.
    pub intermediate: Validity,
    /// Counts the intermediates that its authority had.
    pub intermediate_generation: u32,
    /// Whether the root has revoked that intermediate.
    pub intermediate_is_revoked: bool,
    /// Whether it serves the intermediate at all.
    pub serves_intermediate: bool,
    /// The root its chain leads to.
    pub issuer: RootName,
    /// The roots it trusts, in the order of its bundle.
    pub bundle: Vec<RootName>,
    /// The revocation lists it checks.
    pub revocation: Revocation,
    /// What of all this reaches its proxy.
    pub supply: Supply,
    /// Counts re-issues, so that a renewed certificate differs from the one before even where nothing else does.
    pub generation: u32,
}

impl WorkloadCredentials {
    /// Healthy credentials of `identity` under the mesh's first root.
    #[must_use]
    pub fn healthy(identity: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            leaf: Validity::Current,
            short_lived: false,
            key: LeafKey::default(),
            usage: LeafUsage::default(),
            revoked: false,
            intermediate: Validity::Current,
            intermediate_generation: 0,
            intermediate_is_revoked: false,
            serves_intermediate: true,
            issuer: RootName::default(),
            bundle: vec![RootName::default()],
            revocation: Revocation::Unchecked,
            supply: Supply::FULL,
            generation: 0,
        }
    }
}

/// The certificates of a whole mesh: the state of its roots and of every workload that has an identity.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Credentials {
    /// Validity of each root; a root not named here is current.
    pub roots: BTreeMap<RootName, Validity>,
    /// What each workload serves and trusts. Workloads without a sidecar are here too: a raw mTLS caller may hold a mesh certificate.
    pub workloads: BTreeMap<WorkloadName, WorkloadCredentials>,
}
