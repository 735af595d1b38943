//! The workflows of GitHub: their syntax, what they may do, that each step is a line that a person can run, and the Rust
//! they build with.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};

/// What a `run:` may be besides a line of `cargo xtask` or a script of `.ci`.
const TOOLS: &[&str] = &[
    "rustup component add ",
    "cargo install --locked --version ",
    "docker build --file ",
];

/// What stands for the environment of a step when its line is tried.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("\"$ROW\"", "as-written"),
    ("\"$PLATFORM\"", "linux"),
    ("\"$SHARD\"", "1/2"),
    ("\"$ISTIO\"", "1.31.1"),
    ("\"$KUBERNETES\"", "1.36"),
    ("\"$TAG\"", "v0.1.0"),
    (" >> \"$GITHUB_OUTPUT\"", ""),
];

fn main() {
    let actionlint = Command::new("actionlint").arg("--version").output().is_ok();
    let name = if actionlint {
        "actionlint_finds_nothing"
    } else {
        "actionlint_finds_nothing (not run: there is no actionlint in PATH)"
    };
    let tests = vec![
        Trial::test(name, || lints().map_err(Failed::from)).with_ignored_flag(!actionlint),
        Trial::test("every_action_is_pinned_by_its_commit", || check(pinned)),
        Trial::test("every_step_is_a_line_that_a_person_can_run", || check(runs)),
        Trial::test(
            "the_oldest_rust_that_is_supported_is_the_one_that_ci_builds_with",
            oldest_rust,
        ),
        Trial::test("rights_are_given_to_jobs_and_only_reading_to_all", || {
            check(rights)
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn lints() -> Result<(), String> {
    let output = Command::new("actionlint")
        .arg("-no-color")
        .current_dir(workspace())
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A commit, and beside it the version that people know it by.
fn pinned(workflow: &str) -> Vec<String> {
    let uses = values(workflow, "uses:");
    let unpinned = uses.filter(|value| {
        let pin = value.split_once('@').and_then(|(_, pin)| pin.split_once(" # v"));
        !pin.is_some_and(|(commit, version)| {
            commit.len() == 40
                && commit.bytes().all(|it| it.is_ascii_hexdigit())
                && version.split('.').count() == 3
        })
    });
    unpinned
        .map(|value| format!("{value}: write it as owner/action@commit # v1.2.3"))
        .collect()
}

fn runs(workflow: &str) -> Vec<String> {
    values(workflow, "run:").filter_map(|line| wrong(&line)).collect()
}

/// What is wrong with a line of a step.
fn wrong(line: &str) -> Option<String> {
    if let Some(script) = line.strip_prefix("bash .ci/") {
        let script = script.split(' ').next()?;
        let there = workspace().join(".ci").join(script).is_file();
        return (!there).then(|| format!("{line}: there is no .ci/{script}"));
    }
    if TOOLS.iter().any(|tool| line.starts_with(tool)) {
        return None;
    }
    let Some(arguments) = line.strip_prefix("cargo xtask ") else {
        return Some(format!("{line}: not a line of cargo xtask nor a script of .ci"));
    };
    let mut arguments = arguments.to_owned();
    for (variable, value) in ENVIRONMENT {
        arguments = arguments.replace(variable, value);
    }
    // Help is printed if all before it was understood.
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments.split(' '))
        .arg("--help")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then(|| format!("{line}: {error}"))
}

fn rights(workflow: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !workflow.contains("\npermissions:\n  contents: read\n\n") {
        wrong.push("the workflow as a whole may do more than read, or does not say".to_owned());
    }
    let count = |text: &str| workflow.matches(text).count();
    if count("uses: actions/checkout@") != count("persist-credentials: false") {
        wrong.push("a checkout leaves its token behind: persist-credentials: false".to_owned());
    }
    if count("runs-on:") != count("timeout-minutes:") {
        wrong.push("a job has no timeout-minutes".to_owned());
    }
    if count("\nconcurrency:\n") != 1 {
        wrong.push("it has no concurrency group".to_owned());
    }
    wrong
}

/// Nothing else shows that an older one would do, or that this one does.
fn oldest_rust() -> Result<(), Failed> {
    let toolchain = std::fs::read_to_string(workspace().join("rust-toolchain.toml")).unwrap();
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    if toolchain.contains(&format!("channel = \"{oldest}.0\"")) {
        return Ok(());
    }
    Err(format!("rust-toolchain.toml does not pin {oldest}.0, the rust-version of Cargo.toml").into())
}

/// What stands after a key of a step, line by line. A block (`run: |`) shows as `|`, which is no line to run.
fn values(workflow: &str, key: &str) -> impl Iterator<Item = String> {
    let values = workflow
        .lines()
        .filter_map(move |line| line.trim_start().trim_start_matches("- ").strip_prefix(key));
    values.map(|value| value.trim().to_owned())
}

/// Every workflow without its mistakes.
fn check(mistakes: fn(&str) -> Vec<String>) -> Result<(), Failed> {
    let mut found = Vec::new();
    for file in workflows() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        found.extend(mistakes(&text).into_iter().map(|it| format!("{name}: {it}")));
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(found.join("\n").into())
}

fn workflows() -> Vec<PathBuf> {
    let files = std::fs::read_dir(workspace().join(".github/workflows")).unwrap();
    let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    files
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
