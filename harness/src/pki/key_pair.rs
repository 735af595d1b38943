//! Making the key pairs of leaves.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::rand_core::OsRng;
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::{LeafKey, PkiError};

const RSA_BITS: usize = 2048;

/// A fresh key pair.
pub(super) fn generate(key: LeafKey) -> Result<KeyPair, PkiError> {
    let made = match key {
        LeafKey::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        LeafKey::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        LeafKey::Rsa2048 => return rsa(),
    };
    made.map_err(|source| PkiError::Mint {
        what: "workload key",
        source,
    })
}

/// ring signs with RSA keys but makes none.
fn rsa() -> Result<KeyPair, PkiError> {
    let failed = |reason: String| PkiError::RsaKey { reason };
    let key = RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(|error| failed(error.to_string()))?;
    let document = key.to_pkcs8_der().map_err(|error| failed(error.to_string()))?;
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(document.as_bytes()), &PKCS_RSA_SHA256)
        .map_err(|source| PkiError::Mint {
            what: "workload key",
            source,
        })
}
