//! Certificates: who vouches for whom ([`Credentials`], declarative) and the keys and chains that say so
//! ([`Authority`]).

mod authority;
mod credentials;
mod issuer;
mod leaf;
mod lifetime;
mod private_key;

pub use authority::{Authority, Issued, PkiError};
pub use credentials::{Credentials, RootName, Validity, WorkloadCredentials};
pub use private_key::PrivateKey;

#[cfg(test)]
mod tests;
