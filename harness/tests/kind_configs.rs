//! The real kind reads every file of `kind-configs/`. No cluster is made: it is led to a Docker that is not there, which it
//! asks for after it has read its configuration.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let is_there = Command::new("kind").arg("version").output().is_ok();
    let name = |of: &str| match is_there {
        true => format!("kind_reads_{of}"),
        false => format!("kind_reads_{of} (not run: there is no kind in PATH)"),
    };
    let mut trials: Vec<Trial> = files()
        .into_iter()
        .map(|file| {
            let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
            Trial::test(name(&stem), move || reads(&file)).with_ignored_flag(!is_there)
        })
        .collect();
    trials
        .push(Trial::test(name("a_mistake_and_says_where"), refuses_a_mistake).with_ignored_flag(!is_there));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join("kind-configs");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    files.sort();
    files
}

fn reads(file: &Path) -> Result<(), Failed> {
    let said = kind(file);
    let has_read_it = said.contains("docker info") && !said.contains("decode config");
    has_read_it.then_some(()).ok_or_else(|| said.into())
}

fn refuses_a_mistake() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mistaken.yaml");
    let text = std::fs::read_to_string(&files()[0])?;
    std::fs::write(&file, text.replace("nodes:", "nods:"))?;
    let said = kind(&file);
    let names_it = said.contains("unable to decode config") && said.contains("nods");
    names_it.then_some(()).ok_or_else(|| said.into())
}

/// What kind says to a file, at the point where it would begin.
fn kind(file: &Path) -> String {
    let output = Command::new("kind")
        .args(["create", "cluster", "--name", "meshproof-never-made", "--config"])
        .arg(file)
        .env("KIND_EXPERIMENTAL_PROVIDER", "docker")
        .env("DOCKER_HOST", "unix:///nonexistent/meshproof.sock")
        .output()
        .unwrap();
    assert!(!output.status.success(), "no cluster can have been made");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
