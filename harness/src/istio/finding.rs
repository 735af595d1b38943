//! What is wrong with objects, where it is no reason to stop.

use std::fmt;

use crate::snapshot::{ObjectRef, Source};

/// An object that Istio ignores, refuses, or that points at nothing.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// The object.
    pub object: ObjectRef,
    /// What is wrong with it, and what follows.
    pub message: String,
    /// Where it was written.
    pub source: Source,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.source.file.is_empty() {
            write!(f, "{}:{}: ", self.source.file, self.source.line)?;
        }
        write!(f, "{}: {}", self.object, self.message)
    }
}
