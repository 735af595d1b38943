//! What is wrong with objects, where it is no reason to stop.

use std::fmt;

use crate::snapshot::{ObjectRef, Source};

/// An object that Istio ignores, refuses, or that points at nothing.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// The object.
    pub object: ObjectRef,
    /// What sort of thing is wrong.
    pub flaw: Flaw,
    /// What is wrong with it, and what follows.
    pub message: String,
    /// Where it was written.
    pub source: Source,
}

/// What can be wrong with an object.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Flaw {
    /// An older object of the same scope wins, and this one is ignored as a whole.
    Duplicate,
    /// A policy with a selector in the root namespace, which has no effect.
    SelectorInRootNamespace,
    /// `portLevelMtls` without selector, which is ignored.
    PortLevelWithoutSelector,
    /// The API server would refuse it.
    Invalid,
    /// It refers to something that is not there.
    Dangling,
    /// A mesh configuration that cannot be read.
    MeshConfig,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.source.file.is_empty() {
            write!(f, "{}:{}: ", self.source.file, self.source.line)?;
        }
        write!(f, "{}: {}", self.object, self.message)
    }
}
