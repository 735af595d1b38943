//! Key logs of proxies, in the format of NSS (RFC 9850).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::WireError;

/// A file for one proxy to write its secrets to. It is gone when this is dropped, even where the rest of a run is kept.
#[derive(Debug)]
pub(crate) struct KeyLogFile(PathBuf);

impl KeyLogFile {
    /// Makes an empty one that only its owner reads. A proxy that finds it there leaves its mode as it is.
    ///
    /// # Errors
    /// [`WireError::KeyLog`].
    pub(crate) fn create(path: PathBuf) -> Result<Self, WireError> {
        let mut options = std::fs::OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => Ok(Self(path)),
            Err(source) => Err(WireError::KeyLog { path, source }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for KeyLogFile {
    fn drop(&mut self) {
        // Fails only where it is gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Secrets by their label and the random of the ClientHello they belong to. Not to be shown: it has no `Debug`.
#[derive(Default)]
pub(super) struct Secrets(BTreeMap<Belongs, Vec<u8>>);

/// A label, and the random of a ClientHello.
type Belongs = (String, Vec<u8>);

impl Secrets {
    /// What is in these files by now.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, WireError> {
        let mut secrets = Self::default();
        for path in files {
            match std::fs::read_to_string(path) {
                Ok(text) => secrets.0.extend(text.lines().filter_map(secret)),
                // Its proxy is gone, and took it along.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let path = path.clone();
                    return Err(WireError::KeyLog { path, source });
                }
            }
        }
        Ok(secrets)
    }

    pub(super) fn get(&self, label: &str, client_random: &[u8]) -> Option<&[u8]> {
        let key = (label.to_owned(), client_random.to_vec());
        self.0.get(&key).map(Vec::as_slice)
    }
}

/// `LABEL CLIENT_RANDOM SECRET`, nothing for a line that is still being written.
fn secret(line: &str) -> Option<(Belongs, Vec<u8>)> {
    let mut words = line.split(' ');
    let (label, random, secret) = (words.next()?, hex(words.next()?)?, hex(words.next()?)?);
    let is_whole = random.len() == 32 && matches!(secret.len(), 32 | 48);
    is_whole.then(|| ((label.to_owned(), random), secret))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| match pair {
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_log_is_for_its_owner_and_gone_with_its_proxy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let file = KeyLogFile::create(path.clone()).unwrap();
        let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (random, key) = ("0a".repeat(32), "0B".repeat(32));
        let lines = format!(
            "CLIENT_RANDOM {random} {key}\nCLIENT_RANDOM {random} {}",
            &key[..40]
        );
        std::fs::write(file.path(), lines).unwrap();
        let secrets = Secrets::read(std::slice::from_ref(&path)).unwrap();
        assert_eq!(secrets.get("CLIENT_RANDOM", &[10; 32]), Some([11; 32].as_slice()));
        drop(file);
        assert!(!path.exists());
        assert!(Secrets::read(&[path]).unwrap().0.is_empty());
    }

    #[test]
    fn a_key_log_replaces_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "something").unwrap();
        assert!(KeyLogFile::create(path.clone()).is_err());
        assert!(path.exists());
    }
}
