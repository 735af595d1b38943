//! Where catalogue and manifests lie: in the checkout around the current folder, else in what the binary carries.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use meshproof::envoy::binary::cache_folder;
use meshproof::scenario::workspace_root;
use sha2::{Digest, Sha256};

use crate::exit::BadInput;

static CARRIED: OnceLock<Catalogue> = OnceLock::new();

/// Files that a binary carries with it, by their paths from the workspace root.
pub struct Catalogue(pub Vec<(PathBuf, &'static [u8])>);

/// Says what the binary carries. Only the first time counts.
pub(crate) fn carry(catalogue: Catalogue) {
    let _ = CARRIED.set(catalogue);
}

/// Whether the current folder lies in a checkout, so that a catalogue there can be added to.
pub(crate) fn is_checkout() -> bool {
    checkout().is_ok()
}

/// The checkout around the current folder.
///
/// # Errors
/// [`BadInput`] where there is none.
pub(crate) fn checkout() -> anyhow::Result<PathBuf> {
    Ok(workspace_root(&std::env::current_dir()?).map_err(|error| BadInput(error.to_string()))?)
}

/// The folder that has `scenarios/`, `manifests/` and `matrix.yaml`.
///
/// # Errors
/// [`BadInput`] outside of a checkout where the binary carries no catalogue; what the system says where it cannot be
/// unpacked.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    let found = workspace_root(&std::env::current_dir()?);
    match (found, CARRIED.get()) {
        (Ok(root), _) => Ok(root),
        (Err(_), Some(catalogue)) => catalogue.unpacked(),
        (Err(error), None) => Err(BadInput(error.to_string()).into()),
    }
}

impl Catalogue {
    /// The files in the user's cache, in a folder named by their digest: another version never changes them.
    fn unpacked(&self) -> anyhow::Result<PathBuf> {
        let cache = cache_folder()?.join("catalogue");
        let place = cache.join(&self.digest()[..16]);
        if place.is_dir() {
            return Ok(place);
        }
        self.unpack(&cache, &place)
            .with_context(|| format!("cannot unpack the catalogue into {}", place.display()))?;
        Ok(place)
    }

    /// Nobody ever sees half of it: it is written beside its place and then moved there.
    fn unpack(&self, cache: &Path, place: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(cache)?;
        let folder = tempfile::tempdir_in(cache)?;
        for (path, content) in &self.0 {
            let path = folder.path().join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, content)?;
        }
        // Another user of a shared cache may read it too.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        match std::fs::rename(folder.path(), place) {
            // Somebody else was quicker.
            Err(_) if place.is_dir() => Ok(()),
            other => other,
        }
    }

    fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for (path, content) in &self.0 {
            digest.update(path.as_os_str().as_encoded_bytes());
            digest.update([0]);
            digest.update(content.len().to_le_bytes());
            digest.update(content);
        }
        digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
