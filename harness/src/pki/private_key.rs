//! Private keys, kept out of logs and reports.

use std::fmt;
use std::sync::Arc;

/// A private key in PKCS#8 PEM.
///
/// It prints as `PrivateKey(..)` and has no `Display` and no `Serialize`, so that it cannot slip into a log, a
/// snapshot or a report. Clones share one copy in memory.
#[derive(Clone, Eq, PartialEq)]
pub struct PrivateKey(Arc<str>);

impl PrivateKey {
    pub(crate) fn new(pem: String) -> Self {
        Self(pem.into())
    }

    /// The key itself, for the proxy or the TLS library that must have it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_never_prints_itself() {
        let key = PrivateKey::new("secret".to_owned());
        assert_eq!(format!("{key:?}"), "PrivateKey(..)");
        assert_eq!(key.pem(), "secret");
    }
}
