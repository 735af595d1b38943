//! Where and from what a run was made, beside what its components say of the proxies.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::KernelCapability;

/// What besides scenario and proxies can move an outcome. There is no seed: a scenario draws nothing at random.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The version of meshproof.
    pub meshproof: String,
    /// The commit of the scenarios, with `-dirty` where files differ from it; absent outside a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The operating system and its kernel's release.
    pub kernel: String,
    /// What this user gets of the kernel. Empty where nobody asked for it, as beside a measurement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_capabilities: Vec<KernelCapability>,
    /// The processor's architecture.
    pub machine: String,
    /// How many processors there were for it.
    pub processors: usize,
    /// When the results were written, RFC 3339 in UTC.
    pub written: String,
}

impl Provenance {
    /// Of a run that was just made here, of the scenarios below `root`.
    #[must_use]
    pub fn here(root: &Path) -> Self {
        let (kernel, machine) = match nix::sys::utsname::uname() {
            Ok(name) => (
                format!(
                    "{} {}",
                    name.sysname().to_string_lossy(),
                    name.release().to_string_lossy()
                ),
                name.machine().to_string_lossy().into_owned(),
            ),
            Err(_) => (std::env::consts::OS.to_owned(), std::env::consts::ARCH.to_owned()),
        };
        Self {
            meshproof: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit(root),
            kernel,
            kernel_capabilities: Vec::new(),
            machine,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            written: jiff::Timestamp::now()
                .round(jiff::Unit::Second)
                .unwrap_or_default()
                .to_string(),
        }
    }

    /// The same, with what this user gets of the kernel.
    #[must_use]
    pub async fn with_kernel_capabilities(self) -> Self {
        Self {
            kernel_capabilities: KernelCapability::measure().await,
            ..self
        }
    }
}

/// What git says. Nobody waits for it long: a report without a commit is still a report.
fn commit(root: &Path) -> Option<String> {
    let git = duct::cmd!(
        "git",
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*"
    )
    .dir(root)
    .stdout_capture()
    .stderr_null()
    .unchecked()
    .start()
    .ok()?;
    let Ok(Some(output)) = git.wait_timeout(Duration::from_secs(5)) else {
        let _ = git.kill();
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}
