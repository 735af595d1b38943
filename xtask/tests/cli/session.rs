//! A place of its own for each test to run the program in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a condition is waited for. Measured: milliseconds; the limit is for a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A scenario, to be called `healthy.yaml`, in which nothing is wrong.
pub(crate) const HEALTHY: &str = "\
apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata:
  name: healthy
  title: Nothing is refused
  description: A mesh in which nothing is wrong.
spec:
  istio: 1.30.3
  manifests: [manifests/apps/payments.yaml]
  phases:
    - name: control
      expect:
        - {from: checkout, to: \"payment:8080\", outcome: mtls}
";

/// A folder for files of the test, and in it the temporary folder of the programs it runs.
pub(crate) struct Session {
    folder: TempDir,
}

/// How a program ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Session {
    pub(crate) fn new() -> Self {
        // Below /tmp and short: sockets in it must have short paths.
        let folder = tempfile::Builder::new().prefix("mp").tempdir_in("/tmp").unwrap();
        std::fs::create_dir(folder.path().join("t")).unwrap();
        Self { folder }
    }

    /// A path for a file of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program, with the temporary folder as `TMPDIR`.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(arguments)
            .current_dir(workspace())
            .env("TMPDIR", self.path("t"))
            .env("NO_COLOR", "1")
            .env_remove("MESHPROOF_LOG")
            .env_remove("MESHPROOF_PROXY")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end; whatever that is, nothing may be left behind.
    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Ended {
        self.finish(&mut self.command(arguments))
    }

    pub(crate) fn finish(&self, command: &mut Command) -> Ended {
        let ended = Ended::from(command.output().unwrap());
        self.assert_nothing_left();
        ended
    }

    /// No directory in the temporary folder, and no process whose command line names it.
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.left_behind(), Vec::<PathBuf>::new());
        // A killed process is listed until the system is done with it.
        eventually("no process is left", || self.processes().is_empty());
    }

    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        entries(&self.path("t"))
    }

    /// Files in run directories whose names end like this. A `.pid` stands for a running Envoy.
    pub(crate) fn files(&self, end: &str) -> Vec<PathBuf> {
        let files = self.left_behind().into_iter().flat_map(|run| entries(&run));
        files
            .filter(|path| path.to_string_lossy().ends_with(end))
            .collect()
    }

    /// Command lines of living processes that name the temporary folder.
    pub(crate) fn processes(&self) -> Vec<String> {
        let listed = Command::new("ps")
            .args(["-A", "-o", "command="])
            .output()
            .unwrap();
        let folder = self.path("t").display().to_string();
        String::from_utf8_lossy(&listed.stdout)
            .lines()
            .filter(|line| line.contains(&folder))
            .map(str::to_owned)
            .collect()
    }

    /// Runs `check` with snapshots in which paths and times are replaced.
    pub(crate) fn with_stable_text(&self, check: impl FnOnce()) {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&self.folder.path().display().to_string(), "[DIR]");
        settings.add_filter(&workspace().display().to_string(), "[ROOT]");
        settings.add_filter(r"meshproof-\w{6}", "meshproof-[RANDOM]");
        settings.add_filter(r"\d+ ms\b", "[N] ms");
        settings.add_filter(r"\d+\.\d+ s\b", "[N] s");
        settings.bind(check);
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// The one JSON value on standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The text of a scenario of the catalogue.
pub(crate) fn scenario_text(name: &str) -> String {
    std::fs::read_to_string(workspace().join(format!("scenarios/{name}.yaml"))).unwrap()
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "waited {DEADLINE:?} in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    // Run directories come and go while they are looked at.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
