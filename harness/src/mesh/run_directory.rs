//! The directory of one run: private to its user, owned by a lock, swept when its owner died.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::docker::MARKER;
use crate::docker::remove_abandoned;

const PREFIX: &str = "meshproof-";
const LOCK: &str = "owner.lock";
/// A directory without an owner's name in its lock file may be one that is just being made.
const BEING_MADE: Duration = Duration::from_secs(60);
/// Bytes that must fit for logs to be trusted; a call writes a few thousand.
const ROOM: usize = 16 * 1024;
/// What a unix socket's path may have on every supported system, less room for a file name.
const LONGEST_PATH: usize = 104 - 12;

/// Why a run directory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// No directory could be made.
    #[error("cannot make a run directory in {parent}: {source} (set TMPDIR to a folder you can write to)")]
    Create {
        /// The parent folder.
        parent: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Sockets would not fit.
    #[error(
        "the path {path} is too long for a unix socket (set TMPDIR to a shorter folder, for example /tmp)"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The disk filled up while the run was under way.
    #[error("no room is left in {path}: {source} (free some, or set TMPDIR to a folder with more)")]
    Full {
        /// The run directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A directory that is gone when this is dropped, unless it is kept.
#[derive(Debug)]
pub struct RunDirectory {
    folder: TempDir,
    keep: bool,
    /// Locked as long as this run lives; the lock is what tells a sweep that the owner is alive.
    _lock: File,
}

impl RunDirectory {
    /// Makes one in the system's temporary folder, with mode 0700. With `keep`, it stays behind.
    ///
    /// # Errors
    /// See [`RunDirectoryError`].
    pub fn create(keep: bool) -> Result<Self, RunDirectoryError> {
        let parent = std::env::temp_dir();
        let failed = |source| RunDirectoryError::Create {
            parent: parent.clone(),
            source,
        };
        let mut folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(failed)?;
        if folder.path().as_os_str().len() > LONGEST_PATH {
            return Err(RunDirectoryError::TooLong {
                path: folder.path().to_owned(),
            });
        }
        folder.disable_cleanup(keep);
        let mut lock = File::create(folder.path().join(LOCK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        write!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self {
            folder,
            keep,
            _lock: lock,
        })
    }

    /// Whether proxies can still write their logs. They do not say when they cannot: evidence is just missing.
    ///
    /// # Errors
    /// [`RunDirectoryError::Full`] when they cannot.
    pub(super) fn check_room(&self) -> Result<(), RunDirectoryError> {
        let probe = self.path().join("room");
        let written = std::fs::write(&probe, [0; ROOM]);
        // Fails only where nothing could be made.
        let _ = std::fs::remove_file(&probe);
        written.map_err(|source| RunDirectoryError::Full {
            path: self.path().to_owned(),
            source,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if self.keep {
            // Without a lock it is no run's any more, and no sweep touches it. Failing that, the next sweep removes it.
            let _ = std::fs::remove_file(self.path().join(LOCK));
        }
    }
}

/// Removes what runs left behind whose harness was killed: their proxies, where the system did not end them with
/// their parent, and their directories. Returns the directories removed.
///
/// A directory that was kept on purpose is the user's and stays.
#[must_use]
pub fn sweep() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| is_run_directory(path) && is_abandoned(path))
        .filter(|path| {
            end_proxies(path);
            if path.join(MARKER).is_file() {
                remove_abandoned(path);
            }
            std::fs::remove_dir_all(path).is_ok()
        })
        .collect()
}

fn is_run_directory(path: &Path) -> bool {
    let named = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    named && path.join(LOCK).is_file()
}

fn is_abandoned(path: &Path) -> bool {
    let Ok(mut lock) = File::open(path.join(LOCK)) else {
        return false;
    };
    if lock.try_lock().is_err() {
        return false;
    }
    let mut owner = String::new();
    let named = lock.read_to_string(&mut owner).is_ok() && !owner.is_empty();
    let old = lock
        .metadata()
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > BEING_MADE));
    named || old
}

/// Ends the proxies that `folder` names, if their command line still names the folder: a process id may by now be
/// somebody else's.
fn end_proxies(folder: &Path) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for file in files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "pid"))
    {
        let Some(pid) = std::fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.trim().parse::<i32>().ok())
        else {
            continue;
        };
        let command = duct::cmd!("ps", "-o", "command=", "-p", pid.to_string())
            .stderr_null()
            .unchecked()
            .read();
        if command.is_ok_and(|line| line.contains(&*folder.to_string_lossy())) {
            // Fails only when it ended in between.
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_directory_is_private_and_gone_afterwards() {
        let run = RunDirectory::create(false).unwrap();
        let path = run.path().to_owned();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(run);
        assert!(!path.exists());
    }

    #[test]
    fn a_living_run_is_not_swept_and_an_abandoned_one_is() {
        let living = RunDirectory::create(false).unwrap();
        assert!(!is_abandoned(living.path()));
        let abandoned = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
        std::fs::write(abandoned.path().join(LOCK), "1").unwrap();
        assert!(is_run_directory(abandoned.path()) && is_abandoned(abandoned.path()));
    }

    #[test]
    fn a_kept_run_directory_is_nobodys_to_sweep() {
        let kept = RunDirectory::create(true).unwrap();
        let path = kept.path().to_owned();
        drop(kept);
        assert!(path.exists() && !is_run_directory(&path));
        std::fs::remove_dir_all(&path).unwrap();
    }
}
