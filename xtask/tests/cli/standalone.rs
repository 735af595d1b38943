//! The program by itself: outside of a checkout, with the catalogue that it carries.

use std::process::Command;

use crate::session::{Ended, Session, workspace};

/// Runs `meshproof` in an empty folder, with a home of its own.
fn meshproof(session: &Session, arguments: &[&str]) -> Ended {
    let folder = session.path("empty");
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", session.path("home"));
    command.output().unwrap().into()
}

#[test]
fn it_carries_the_whole_catalogue_and_what_the_scenarios_need() {
    let session = Session::new();
    let carried = meshproof(&session, &["scenario", "--list"]);
    let in_checkout = session.run(&["scenario", "--list"]);
    assert_eq!(
        (carried.code, carried.out),
        (Some(0), in_checkout.out),
        "if files were added, build anew: touch xtask/src/bin/meshproof.rs"
    );
    let predicted = meshproof(&session, &["scenario", "--all", "--predict-only"]);
    assert_eq!(predicted.code, Some(0), "{}", predicted.err);
}

#[test]
fn it_says_what_to_type_as_it_was_called() {
    let session = Session::new();
    let explained = meshproof(&session, &["scenario", "--explain", "expired-ca"]);
    let helped = meshproof(&session, &["scenario", "--help"]);
    let predicted = meshproof(
        &session,
        &["scenario", "expired-ca", "--predict-only", "--output", "json"],
    );
    for text in [&explained.out, &helped.out, &predicted.out] {
        assert!(text.contains("meshproof scenario"), "{text}");
        assert!(!text.contains("cargo xtask"), "{text}");
    }
}

#[test]
fn a_new_scenario_is_written_where_one_stands_and_lints() {
    let session = Session::new();
    let written = meshproof(&session, &["scenario", "new", "mine"]);
    assert_eq!(written.code, Some(0), "{written:#?}");
    let linted = meshproof(&session, &["scenario", "--lint", "--file", "mine.yaml"]);
    assert_eq!(linted.code, Some(0), "{linted:#?}");
}

#[test]
fn what_needs_the_sources_says_so() {
    let session = Session::new();
    let suite = meshproof(&session, &["suite"]);
    assert_eq!(suite.code, Some(2), "{suite:#?}");
    assert!(suite.err.contains("inside a checkout"), "{suite:#?}");
}

#[test]
fn shells_and_man_know_every_command() {
    let session = Session::new();
    let help = meshproof(&session, &["--help"]).out;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A description that does not fit goes on deeper.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let completions = meshproof(&session, &["completions", shell]).out;
        for command in &commands {
            assert!(completions.contains(command), "{shell} does not know {command}");
        }
    }
    let pages = session.path("man1");
    let ended = meshproof(&session, &["man", "--out", pages.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for command in &commands {
        assert!(
            pages.join(format!("meshproof-{command}.1")).is_file(),
            "{command}"
        );
    }
    let page = std::fs::read_to_string(pages.join("meshproof-scenario.1")).unwrap();
    assert!(page.contains("meshproof scenario") && !page.contains("cargo xtask"));
}

#[test]
fn a_checkout_goes_before_what_it_carries() {
    let session = Session::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    command
        .args(["scenario", "--list"])
        .current_dir(workspace())
        .env("HOME", session.path("home"))
        .env("MESHPROOF_CACHE", session.path("cache"));
    let ended = Ended::from(command.output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(!session.path("cache").exists());
}
