//! The closed set of faults a scenario may inject, and what each does to the mesh's [`Credentials`].
//!
//! A fault is deliberately wrong, named and removable. It is translated here, once, into the state that both the
//! prediction and the mesh work from.

use crate::pki::Credentials;

/// What is deliberately different from what the objects of the snapshot ask for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conditions {
    /// The certificates in force.
    pub credentials: Credentials,
}
