//! The place of one version in the cache.

use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use semver::Version;
use tempfile::TempDir;

use super::damage::{self, Damage, Receipt};
use super::error::ProvisionError;
use super::executable::reported_version;
use super::pins::Pin;
use super::progress::{Progress, Step};

/// The place of one version in the cache: the only code that changes files there.
pub(super) struct Slot<'a> {
    pub(super) version: &'a Version,
    pub(super) pin: &'a Pin,
    root: &'a Path,
    folder: PathBuf,
    binary: PathBuf,
    receipt: PathBuf,
    lock: PathBuf,
    work_prefix: String,
}

impl<'a> Slot<'a> {
    /// The place of a build. `key` tells it from all others.
    pub(super) fn new(root: &'a Path, key: &str, version: &'a Version, pin: &'a Pin) -> Self {
        let folder = root.join(key);
        Self {
            version,
            pin,
            root,
            binary: folder.join("envoy"),
            receipt: folder.join("receipt.json"),
            lock: root.join(format!("{key}.lock")),
            work_prefix: format!(".{key}-"),
            folder,
        }
    }

    /// Where the binary is, or is to be.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Whether the binary is installed and, by its receipt, unchanged. Cheap, and needs no lock.
    pub(super) fn is_vouched_for(&self) -> bool {
        let receipt = fs::read(&self.receipt).ok();
        let receipt = receipt.and_then(|json| serde_json::from_slice::<Receipt>(&json).ok());
        match (receipt, fs::metadata(&self.binary)) {
            (Some(receipt), Ok(metadata)) => receipt.vouches_for(&metadata, &self.pin.binary),
            _ => false,
        }
    }

    /// Waits until no other process works on this version.
    pub(super) fn lock(&self, progress: &dyn Progress) -> Result<Lock, ProvisionError> {
        let failed = |error| ProvisionError::cache("lock", &self.lock, error);
        fs::create_dir_all(self.root).map_err(|error| ProvisionError::cache("create", self.root, error))?;
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.lock)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.report(self.version, &Step::Waiting);
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Lock(file))
    }

    /// The lock, if it can be had at once and was ever taken before.
    pub(super) fn try_lock(&self) -> Option<Lock> {
        let file = File::open(&self.lock).ok()?;
        file.try_lock().is_ok().then(|| Lock(file))
    }

    /// Looks at the binary itself: absent, as pinned, or damaged. Under the lock, because one that is as pinned gets
    /// a new receipt.
    pub(super) fn examine(&self) -> Result<Option<Result<(), Damage>>, ProvisionError> {
        if self.is_vouched_for() {
            return Ok(Some(Ok(())));
        }
        let failed = |error| ProvisionError::cache("read", &self.binary, error);
        let metadata = match fs::metadata(&self.binary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed)?,
        };
        let state = damage::verify(&self.binary, &metadata, &self.pin.binary).map_err(failed)?;
        if state.is_ok() {
            fs::set_permissions(&self.binary, Permissions::from_mode(0o755)).map_err(failed)?;
            let work = self.work_folder()?;
            self.write_receipt(work.path())?;
        }
        Ok(Some(state))
    }

    /// Whether the binary is there and, by its content, as pinned. Reads all of it, and writes nothing.
    pub(super) fn is_as_pinned(&self) -> bool {
        let state = fs::metadata(&self.binary)
            .and_then(|metadata| damage::verify(&self.binary, &metadata, &self.pin.binary));
        matches!(state, Ok(Ok(())))
    }

    /// A folder to work in, on the disk of the cache, removed with the value returned.
    pub(super) fn work_folder(&self) -> Result<TempDir, ProvisionError> {
        tempfile::Builder::new()
            .prefix(&self.work_prefix)
            .tempdir_in(self.root)
            .map_err(|error| ProvisionError::cache("create a folder in", self.root, error))
    }

    /// Removes the folders that crashed installations of this version worked in. Under the lock.
    pub(super) fn sweep(&self) -> Result<Vec<PathBuf>, ProvisionError> {
        let failed = |error| ProvisionError::cache("read", self.root, error);
        let mut swept = Vec::new();
        for entry in fs::read_dir(self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with(&self.work_prefix) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|error| ProvisionError::cache("remove", &path, error))?;
                swept.push(path);
            }
        }
        Ok(swept)
    }

    /// Whether the unpacked binary runs here, and is the version it is pinned as.
    pub(super) fn check_version(&self, unpacked: &Path) -> Result<(), ProvisionError> {
        // Errors name the place it was meant for; the folder it is in now will be gone.
        let path = self.binary.clone();
        match reported_version(unpacked) {
            Ok(reported) if reported == *self.version => Ok(()),
            Ok(reported) => Err(ProvisionError::NotEnvoy {
                path,
                expected: format!("Envoy {}", self.version),
                said: reported.to_string(),
            }),
            Err(ProvisionError::NotRunnable { reason, .. }) => {
                Err(ProvisionError::NotRunnable { path, reason })
            }
            Err(error) => Err(error),
        }
    }

    /// Moves a verified binary into place. Under the lock.
    pub(super) fn publish(&self, unpacked: &Path, work: &Path) -> Result<(), ProvisionError> {
        fs::create_dir_all(&self.folder)
            .map_err(|error| ProvisionError::cache("create", &self.folder, error))?;
        fs::rename(unpacked, &self.binary)
            .map_err(|error| ProvisionError::cache("write", &self.binary, error))?;
        self.write_receipt(work)
    }

    fn write_receipt(&self, work: &Path) -> Result<(), ProvisionError> {
        let failed = |error| ProvisionError::cache("write", &self.receipt, error);
        let metadata: Metadata = fs::metadata(&self.binary).map_err(failed)?;
        let receipt = Receipt::of(&metadata, &self.pin.binary.sha256).map_err(failed)?;
        let json = serde_json::to_vec(&receipt).map_err(|error| failed(error.into()))?;
        let draft = work.join("receipt.json");
        fs::write(&draft, json).map_err(failed)?;
        fs::rename(&draft, &self.receipt).map_err(failed)
    }
}

/// The lock of a version, held until this is dropped or the process ends.
///
/// Closing the file would not do: a child that another thread is just starting holds the file open too, until it calls
/// exec.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Cannot fail for a lock that is held; and the file is closed next.
        let _ = self.0.unlock();
    }
}
