//! Certificates: who vouches for whom ([`Credentials`], declarative) and the keys and chains that say so.

mod credentials;

pub use credentials::{Credentials, RootName, Validity, WorkloadCredentials};
