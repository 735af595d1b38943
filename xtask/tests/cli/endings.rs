//! Ends that nobody planned: an interrupt at any moment, and a harness that is killed.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::session::{Ended, Session, eventually};

/// Starts more work than a test lasts, in a process group of its own.
fn start(session: &Session) -> Child {
    session
        .command(&["scenario", "--all", "--repeat", "50"])
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether a file whose name ends like this holds anything.
fn has_content(session: &Session, end: &str) -> bool {
    let mut files = session.files(end).into_iter();
    files.any(|file| std::fs::metadata(file).is_ok_and(|it| it.len() > 0))
}

fn id(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

#[test]
fn an_interrupt_at_any_moment_exits_130_and_leaves_nothing_behind() {
    type Await = fn(&Session);
    let moments: [(&str, Await); 5] = [
        ("a run directory exists", |it| {
            eventually("a run directory exists", || !it.left_behind().is_empty());
        }),
        ("an Envoy runs", |it| {
            eventually("an Envoy runs", || !it.files(".pid").is_empty());
        }),
        ("four Envoys run", |it| {
            eventually("four Envoys run", || it.files(".pid").len() >= 4);
        }),
        ("a call was made", |it| {
            eventually("a call was logged", || has_content(it, ".access.log"));
        }),
        ("a run is over", |it| {
            eventually("a run directory exists", || !it.left_behind().is_empty());
            let first = it.left_behind();
            eventually("a run is over", || first.iter().any(|run| !run.exists()));
        }),
    ];
    for (moment, await_moment) in moments {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let session = Session::new();
            let child = start(&session);
            await_moment(&session);
            killpg(id(&child), signal).unwrap();
            let ended = Ended::from(child.wait_with_output().unwrap());
            assert_eq!(
                (ended.code, ended.err.as_str()),
                (Some(130), ""),
                "{signal} when {moment}"
            );
            session.assert_nothing_left();
        }
    }
}

#[test]
fn a_killed_harness_takes_its_envoys_along_and_clean_removes_the_rest() {
    let session = Session::new();
    let child = start(&session);
    eventually("Envoys run", || session.files(".pid").len() >= 2);
    let left = session.left_behind();
    kill(id(&child), Signal::SIGKILL).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), None);
    if cfg!(target_os = "linux") {
        eventually("no Envoy is left", || session.processes().is_empty());
    }
    assert!(!left.is_empty());
    let clean = || {
        session.finish(
            session
                .command(&["clean"])
                .env("MESHPROOF_CACHE", session.path("cache")),
        )
    };
    let ended = clean();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.out.lines().count() >= 1 && ended.out.lines().all(|line| line.starts_with("removed ")));
    assert_eq!(clean().out, "nothing was left behind\n");
}

#[test]
fn clean_leaves_a_living_run_alone() {
    let session = Session::new();
    let child = start(&session);
    eventually("an Envoy runs", || !session.files(".pid").is_empty());
    let before = session.left_behind();
    let clean = session
        .command(&["clean"])
        .env("MESHPROOF_CACHE", session.path("cache"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(clean.stdout).unwrap(),
        "nothing was left behind\n",
        "{before:?}"
    );
    killpg(id(&child), Signal::SIGINT).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    session.assert_nothing_left();
}
