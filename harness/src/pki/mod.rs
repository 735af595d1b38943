//! Certificates: who vouches for whom ([`Credentials`], declarative) and the keys and chains that say so
//! ([`Authority`]).

mod authority;
mod certificate;
mod credentials;
mod issuer;
mod key_pair;
mod leaf;
mod lifetime;
mod private_key;
mod revocation;

pub use authority::{Authority, Issued, PkiError, PluggedIn};
pub use certificate::{Certificate, Pem, RevocationList};
pub use credentials::{
    Credentials, LeafKey, LeafUsage, Revocation, RootName, Supply, Validity, WorkloadCredentials,
};
pub use private_key::PrivateKey;

#[cfg(test)]
mod tests;
