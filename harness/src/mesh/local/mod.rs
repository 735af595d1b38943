//! The `local` tier: the pods' applications as tasks of this process, on loopback ports.

mod application;

pub use application::{ApplicationError, ApplicationServer, Seen, Speaks};
