//! Machines that cannot run a scenario: one clear error with its remedy, and nothing left behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::session::{Ended, Session};

/// One error on standard error, nothing on standard output but what was printed before.
fn assert_one_error(ended: &Ended, code: i32) {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    let errors = ended
        .err
        .lines()
        .filter(|line| line.starts_with("error: "))
        .count();
    assert!(errors == 1 && ended.err.starts_with("error: "), "{ended:#?}");
}

#[test]
fn without_docker_nothing_is_run_in_containers_and_it_is_said_why() {
    let session = Session::new();
    let mut command = session.command(&[
        "scenario",
        "baseline-strict",
        "--on",
        "docker",
        "--require",
        "docker",
    ]);
    let ended = session.finish(command.env("DOCKER_HOST", "unix:///no/such/socket"));
    assert_eq!(ended.code, Some(3), "{}{}", ended.out, ended.err);
    session.with_stable_text(|| insta::assert_snapshot!(ended.out));
}

#[test]
fn a_binary_is_no_image_and_an_image_is_none_elsewhere() {
    let session = Session::new();
    for flags in [
        ["--on", "docker", "--proxy", "1.24.0=/bin/sh"],
        ["--on", "netns", "--proxy-image", "envoy:1"],
        ["--on", "docker", "--proxy-image", "1.24=x"],
    ] {
        let ended = session.run(&[&["scenario", "baseline-strict"][..], &flags].concat());
        assert_one_error(&ended, 2);
        assert!(ended.err.contains("--proxy-image"), "{}", ended.err);
    }
}

#[test]
fn without_an_envoy_and_without_python_it_exits_3_and_says_what_to_install() {
    let session = Session::new();
    let (cache, empty) = (session.path("cache"), session.path("bin"));
    std::fs::create_dir(&empty).unwrap();
    let mut command = session.command(&["scenario", "baseline-strict"]);
    let ended = session.finish(command.env("MESHPROOF_CACHE", &cache).env("PATH", &empty));
    assert_one_error(&ended, 3);
    session.with_stable_text(|| insta::assert_snapshot!(ended.err));
}

#[test]
fn a_temporary_folder_that_cannot_be_used_exits_3_and_names_tmpdir() {
    let session = Session::new();
    let long = session.path(&"long".repeat(25));
    std::fs::create_dir(&long).unwrap();
    let file = session.write("file", "");
    let messages = [session.path("missing"), file, long.clone()].map(|folder| {
        let mut command = session.command(&["scenario", "baseline-strict"]);
        let ended = session.finish(command.env("TMPDIR", &folder));
        assert_one_error(&ended, 3);
        ended.err
    });
    assert_eq!(
        std::fs::read_dir(&long).unwrap().count(),
        0,
        "nothing is left in the long folder"
    );
    session.with_stable_text(|| insta::assert_snapshot!(messages.concat()));
}

#[test]
fn a_proxy_that_is_no_envoy_or_ends_at_start_is_named_with_its_last_words() {
    let session = Session::new();
    let no_envoy = script(&session, "no-envoy", "exit 7");
    let ends_at_start = script(
        &session,
        "ends-at-start",
        "[ \"$1\" = --version ] && echo 'x  version: 0/1.38.3/Clean/RELEASE/BoringSSL' && exit 0\n\
         echo 'cannot allocate a thing' >&2\nexit 9",
    );
    let messages = [(no_envoy, 3), (ends_at_start, 4)].map(|(proxy, code)| {
        let ended = session.run(&[
            "scenario",
            "baseline-strict",
            "--proxy",
            &format!("1.30.3={proxy}"),
        ]);
        assert_one_error(&ended, code);
        assert!(ended.err.contains("envoy"), "{ended:#?}");
        ended.err
    });
    session.with_stable_text(|| insta::assert_snapshot!(messages.concat()));
}

fn script(session: &Session, name: &str, body: &str) -> String {
    let path = session.write(name, &format!("#!/bin/sh\n{body}\n"));
    make_executable(&path);
    path.display().to_string()
}

fn make_executable(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
