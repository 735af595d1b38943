//! Noticing cheaply that an installed binary is no longer what was installed.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::digest::sha256_of;
use super::pins::Pinned;

/// What is wrong with an installed binary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Damage {
    /// Its length differs from the pinned one.
    Size {
        /// Bytes found.
        found: u64,
        /// Bytes pinned.
        expected: u64,
    },
    /// Its hash differs from the pinned one.
    Content {
        /// The sha256 found, hexadecimal.
        found: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { found, expected } => {
                write!(
                    f,
                    "the binary in the cache was {found} bytes long instead of {expected}"
                )
            }
            Self::Content { found } => write!(
                f,
                "the binary in the cache was not the pinned one (its sha256 was {found})"
            ),
        }
    }
}

/// What a binary was when it was verified. Hashing 100 MB at every start would cost more than the run; while the
/// file has the size and the modification time noted here, it is taken to be the file that was verified.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Receipt {
    /// SHA-256, hexadecimal.
    sha256: String,
    /// Bytes.
    size: u64,
    /// Modification time, nanoseconds since the epoch.
    modified: u64,
}

impl Receipt {
    /// The receipt for a file that was just verified.
    pub(super) fn of(metadata: &Metadata, sha256: &str) -> io::Result<Self> {
        Ok(Self {
            sha256: sha256.to_owned(),
            size: metadata.len(),
            modified: modified(metadata)?,
        })
    }

    /// Whether the file is still the one that was verified as this pinned one, and can be run.
    pub(super) fn vouches_for(&self, metadata: &Metadata, pinned: &Pinned) -> bool {
        self.sha256 == pinned.sha256
            && self.size == metadata.len()
            && modified(metadata).is_ok_and(|modified| modified == self.modified)
            && metadata.is_file()
            && metadata.permissions().mode() & 0o111 != 0
    }
}

/// Compares a binary with its pin, byte by byte.
pub(super) fn verify(binary: &Path, metadata: &Metadata, pinned: &Pinned) -> io::Result<Result<(), Damage>> {
    if metadata.len() != pinned.size {
        return Ok(Err(Damage::Size {
            found: metadata.len(),
            expected: pinned.size,
        }));
    }
    let found = sha256_of(binary)?;
    Ok(if found == pinned.sha256 {
        Ok(())
    } else {
        Err(Damage::Content { found })
    })
}

fn modified(metadata: &Metadata) -> io::Result<u64> {
    let since = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
