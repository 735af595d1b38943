//! Asking a binary what it is.

use std::io;
use std::path::Path;
use std::time::Duration;

use semver::Version;

use super::command::{self, Unfinished};
use super::error::ProvisionError;

/// `envoy --version` takes some 30 ms; the first start of a new binary on macOS may take many seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// The version an Envoy reports of itself.
///
/// # Errors
/// When the binary cannot be run, stalls, or is no Envoy.
pub(super) fn reported_version(binary: &Path) -> Result<Version, ProvisionError> {
    let command = duct::cmd!(binary, "--version")
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked();
    let output = command::run(&command, LIMIT, || true).map_err(|unfinished| match unfinished {
        Unfinished::Io(error) => ProvisionError::NotRunnable {
            path: binary.to_owned(),
            reason: reason(&error),
        },
        Unfinished::Stalled | Unfinished::Interrupted => ProvisionError::Stalled {
            command: format!("{} --version", binary.display()),
            limit: LIMIT,
            remedy: "check that it is an Envoy binary for this machine",
        },
    })?;
    let said = String::from_utf8_lossy(&output.stdout);
    if let Some(version) = version_in(&said) {
        return Ok(version);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let first = said
        .lines()
        .chain(complaint.lines())
        .find(|line| !line.trim().is_empty());
    let first = first.unwrap_or("").trim().to_owned();
    // A loader that finds the C library too old, or of the wrong kind, says so here.
    if !output.status.success() && !complaint.trim().is_empty() {
        return Err(ProvisionError::NotRunnable {
            path: binary.to_owned(),
            reason: first,
        });
    }
    Err(ProvisionError::NotEnvoy {
        path: binary.to_owned(),
        expected: "an Envoy".to_owned(),
        said: first,
    })
}

/// Reads `PATH  version: COMMIT/1.36.4/Clean/RELEASE/BoringSSL`.
pub(crate) fn version_in(text: &str) -> Option<Version> {
    let (_, build) = text.split_once("version: ")?;
    let fields: Vec<_> = build.split_whitespace().next()?.split('/').collect();
    match fields[..] {
        [commit, version, _, _, _] if commit.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            version.parse().ok()
        }
        _ => None,
    }
}

fn reason(error: &io::Error) -> String {
    if error.raw_os_error() == Some(nix::errno::Errno::ENOEXEC as i32) {
        return "it is built for another kind of machine, or is no program (exec format error)".to_owned();
    }
    match error.kind() {
        // The file itself was seen to exist.
        io::ErrorKind::NotFound => "the loader it asks for is missing (another C library?)".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_envoy_says() {
        let cases = [
            (
                "\n/x/envoy  version: bad8280de85c/1.36.4/Clean/RELEASE/BoringSSL\n\n",
                Some("1.36.4"),
            ),
            (
                "envoy  version: 0ebfcfe5b048/1.38.3/Modified/RELEASE/BoringSSL",
                Some("1.38.3"),
            ),
            (
                "envoy  version: 6d9bb7d9/1.32.3-dev/Clean/RELEASE/BoringSSL",
                Some("1.32.3-dev"),
            ),
            ("nginx version: nginx/1.22.1", None),
            ("curl 8.1.2", None),
            ("version: x/y/z", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                version_in(text).map(|version| version.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
