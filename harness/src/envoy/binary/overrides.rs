//! Proxies the user has: `--proxy 1.24.0=/path/to/envoy`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use semver::Version;

/// The environment variable that names proxies, as `--proxy` does, separated by commas.
pub const PROXY_VARIABLE: &str = "MESHPROOF_PROXY";

/// Which Istio releases are to use which Envoy binary of the user's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overrides {
    binaries: BTreeMap<Version, PathBuf>,
}

/// A proxy was named wrongly: bad usage, exit code 2.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OverrideError {
    /// Not of the form `RELEASE=PATH`.
    #[error("`{text}` in {origin} is not of the form RELEASE=PATH; write for example 1.24.0=/opt/envoy")]
    Malformed {
        /// What was written.
        text: String,
        /// Where: `--proxy` or the variable.
        origin: &'static str,
    },
    /// The part before `=` is no release.
    #[error("`{release}` in {origin} is not an Istio release; write all three numbers, for example 1.24.0")]
    NotARelease {
        /// What was written.
        release: String,
        /// Where.
        origin: &'static str,
    },
    /// One release was given two binaries.
    #[error("{origin} names two proxies for {release}; keep one")]
    Twice {
        /// The release.
        release: Version,
        /// Where.
        origin: &'static str,
    },
    /// There is no such file.
    #[error("`{}` (the proxy for {release} in {origin}) is not a file; give the path of an Envoy binary", path.display())]
    NoFile {
        /// The release.
        release: Version,
        /// The path.
        path: PathBuf,
        /// Where.
        origin: &'static str,
    },
    /// The file may not be executed.
    #[error("`{}` (the proxy for {release} in {origin}) is not executable; run `chmod +x` on it", path.display())]
    NotExecutable {
        /// The release.
        release: Version,
        /// The path.
        path: PathBuf,
        /// Where.
        origin: &'static str,
    },
    /// The variable holds something that is not text.
    #[error("{PROXY_VARIABLE} is not UTF-8 text; name the proxies with --proxy")]
    NotText,
}

impl Overrides {
    /// Reads the values of `--proxy` and the variable [`PROXY_VARIABLE`]. Where both name a release, `--proxy` counts.
    ///
    /// Whether a file is an Envoy is found out when a run needs it, by [`super::Store::provide`].
    ///
    /// # Errors
    /// When a value is malformed or names no executable file.
    pub fn from_flags(flags: &[String]) -> Result<Self, OverrideError> {
        let variable = std::env::var_os(PROXY_VARIABLE).map(OsString::into_string);
        let variable = variable.transpose().map_err(|_| OverrideError::NotText)?;
        Self::parse(flags, variable.as_deref())
    }

    /// As [`Overrides::from_flags`], with the variable's value given.
    ///
    /// # Errors
    /// When a value is malformed or names no executable file.
    pub fn parse(flags: &[String], variable: Option<&str>) -> Result<Self, OverrideError> {
        let listed = variable
            .unwrap_or("")
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let mut binaries = read(listed, PROXY_VARIABLE)?;
        binaries.extend(read(flags.iter().map(String::as_str), "--proxy")?);
        Ok(Self { binaries })
    }

    /// The binary for a release, absolute.
    #[must_use]
    pub fn get(&self, istio: &Version) -> Option<&Path> {
        self.binaries.get(istio).map(PathBuf::as_path)
    }

    /// Every release with its binary, oldest release first.
    pub fn iter(&self) -> impl Iterator<Item = (&Version, &Path)> {
        self.binaries.iter().map(|(istio, path)| (istio, path.as_path()))
    }
}

fn read<'a>(
    texts: impl Iterator<Item = &'a str>,
    origin: &'static str,
) -> Result<BTreeMap<Version, PathBuf>, OverrideError> {
    let mut binaries = BTreeMap::new();
    for text in texts {
        let (release, path) = read_one(text, origin)?;
        if binaries.insert(release.clone(), path).is_some() {
            return Err(OverrideError::Twice { release, origin });
        }
    }
    Ok(binaries)
}

fn read_one(text: &str, origin: &'static str) -> Result<(Version, PathBuf), OverrideError> {
    let malformed = || OverrideError::Malformed {
        text: text.to_owned(),
        origin,
    };
    let (release, path) = text.split_once('=').ok_or_else(malformed)?;
    let (release, path) = (release.trim(), path.trim());
    if release.is_empty() || path.is_empty() {
        return Err(malformed());
    }
    let release: Version = release.parse().map_err(|_| OverrideError::NotARelease {
        release: release.to_owned(),
        origin,
    })?;
    // Proxies are started from other folders than this one.
    let path = std::path::absolute(path).map_err(|_| malformed())?;
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {
            if metadata.permissions().mode() & 0o111 == 0 {
                return Err(OverrideError::NotExecutable {
                    release,
                    path,
                    origin,
                });
            }
            Ok((release, path))
        }
        _ => Err(OverrideError::NoFile {
            release,
            path,
            origin,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_variable() {
        let flags = ["1.24.0=/bin/sh".to_owned(), "1.28.0=/bin/cat".to_owned()];
        let overrides = Overrides::parse(&flags, Some(" 1.24.0=/bin/cat, 1.31.1=/bin/ls,")).unwrap();
        let found: Vec<_> = overrides
            .iter()
            .map(|(istio, path)| format!("{istio}={}", path.display()))
            .collect();
        assert_eq!(found, ["1.24.0=/bin/sh", "1.28.0=/bin/cat", "1.31.1=/bin/ls"]);
        assert_eq!(overrides.get(&Version::new(1, 24, 1)), None);
    }

    #[test]
    fn a_path_may_hold_an_equals_sign_and_be_relative() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("a=b");
        std::fs::copy("/bin/sh", &path).unwrap();
        let overrides = Overrides::parse(&[format!("1.24.0={}", path.display())], None).unwrap();
        assert!(overrides.get(&Version::new(1, 24, 0)).unwrap().is_absolute());
    }

    #[test]
    fn mistakes_are_named_with_their_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let plain = format!("1.24.0={}", file.path().display());
        let twice = "1.24.0=/bin/sh,1.24.0=/bin/ls";
        let cases: [(&[&str], Option<&str>); 9] = [
            (&["/bin/sh"], None),
            (&["1.24.0="], None),
            (&["=/bin/sh"], None),
            (&["1.24=/bin/sh"], None),
            (&["1.24.0=/no/such/envoy"], None),
            (&["1.24.0=/tmp"], None),
            (&[&plain], None),
            (&[], Some(twice)),
            (&[], Some("nonsense")),
        ];
        let messages: Vec<_> = cases
            .map(|(flags, variable)| {
                let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
                let error = Overrides::parse(&flags, variable).unwrap_err().to_string();
                error.replace(&file.path().display().to_string(), "FILE")
            })
            .into();
        insta::assert_snapshot!(messages.join("\n"));
    }
}
