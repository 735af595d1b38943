//! The declarative state of the mesh's certificates.
//!
//! Faults and rotations change this state and nothing else; the authority mints what it says and the prediction
//! reads what it says, so both work from one description.

use std::collections::BTreeMap;

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

/// What one workload serves and trusts.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WorkloadCredentials {
    /// The URI in the leaf's SAN, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` unless a fault changed it.
    pub identity: String,
    /// Validity of the leaf.
    pub leaf: Validity,
    /// Validity of the intermediate in the chain it serves.
    pub intermediate: Validity,
    /// The root its chain leads to.
    pub issuer: RootName,
    /// The roots it trusts, in the order of its bundle.
    pub bundle: Vec<RootName>,
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
            intermediate: Validity::Current,
            issuer: RootName::default(),
            bundle: vec![RootName::default()],
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
