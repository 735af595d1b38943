//! What was on the wire between two sidecars: their connections, and the alerts in them, decrypted.
//!
//! A packet socket listens in on the network of the caller, and the proxies tell the secrets of their own connections in a
//! key log (`common_tls_context.key_log`). Both exist for one run, and the certificates are those that the harness made
//! for it. Nothing of what is decrypted is kept but alerts.

mod flow;
mod key_log;
mod protection;
mod session;
mod tap;

use std::path::PathBuf;

use crate::network_namespace::NetworkNamespace;

pub(crate) use key_log::KeyLogFile;
pub(crate) use tap::Tap;

/// Whether the network of this process can be listened in on: tried, not guessed.
///
/// # Errors
/// [`WireError::Forbidden`].
pub async fn measure() -> Result<(), WireError> {
    let anywhere = ([127, 0, 0, 1], 9).into();
    let tap = Tap::open(NetworkNamespace::own(), anywhere).await?;
    tap.told(&[]).await?;
    Ok(())
}

/// Why nothing can be said of the wire.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No packet socket.
    #[error(
        "cannot listen in on the network: {source} (Linux, and root; where user namespaces are allowed --on netns \
         needs no root)"
    )]
    Forbidden {
        /// What the system said.
        source: std::io::Error,
    },
    /// The packet socket failed.
    #[error("cannot listen in on the network any more: {source}")]
    Lost {
        /// What the system said.
        source: std::io::Error,
    },
    /// A key log.
    #[error("the key log {path} cannot be used: {source} (is the disk full?)")]
    KeyLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
