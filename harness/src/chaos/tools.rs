//! Prometheus and its Alertmanager, as installed.

use std::path::{Path, PathBuf};

/// They are not installed. This machine cannot run it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{program} is not installed: apt-get install prometheus prometheus-alertmanager (or name it with --{flag} PATH)"
)]
pub struct ToolsMissing {
    program: &'static str,
    flag: &'static str,
}

/// Where they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tools {
    /// Prometheus.
    pub prometheus: PathBuf,
    /// The Alertmanager.
    pub alertmanager: PathBuf,
}

impl Tools {
    /// Those given, and those in `path` (the value of `PATH`) in place of those not given.
    ///
    /// # Errors
    /// When one is nowhere.
    pub fn find(
        prometheus: Option<PathBuf>,
        alertmanager: Option<PathBuf>,
        path: &std::ffi::OsStr,
    ) -> Result<Self, ToolsMissing> {
        let find = |given: Option<PathBuf>, names: &[&str], missing: ToolsMissing| {
            given
                .filter(|it| is_program(it))
                .or_else(|| {
                    std::env::split_paths(path)
                        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
                        .find(|it| is_program(it))
                })
                .ok_or(missing)
        };
        Ok(Self {
            prometheus: find(
                prometheus,
                &["prometheus"],
                ToolsMissing {
                    program: "Prometheus",
                    flag: "prometheus",
                },
            )?,
            // Debian's name, then that of the project.
            alertmanager: find(
                alertmanager,
                &["prometheus-alertmanager", "alertmanager"],
                ToolsMissing {
                    program: "Prometheus' Alertmanager",
                    flag: "alertmanager",
                },
            )?,
        })
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_line_that_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str();
        let find = || Tools::find(None, None, path);
        assert!(
            find()
                .unwrap_err()
                .to_string()
                .starts_with("Prometheus is not installed: apt-get install ")
        );
        let program = |name: &str, mode| {
            let file = folder.path().join(name);
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        program("prometheus", 0o644);
        assert!(find().is_err(), "it cannot be run");
        program("prometheus", 0o755);
        assert!(
            find()
                .unwrap_err()
                .to_string()
                .starts_with("Prometheus' Alertmanager is not installed")
        );
        program("alertmanager", 0o755);
        let found = find().unwrap();
        assert_eq!(found.alertmanager, folder.path().join("alertmanager"));
        program("prometheus-alertmanager", 0o755);
        assert_eq!(
            find().unwrap().alertmanager,
            folder.path().join("prometheus-alertmanager")
        );
    }
}
