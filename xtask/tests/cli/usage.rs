//! What needs no proxy: lists, explanations, and bad usage.

use std::collections::BTreeSet;

use crate::session::{HEALTHY, Session, workspace};

#[test]
fn the_list_names_every_file_of_the_catalogue() {
    let session = Session::new();
    let files: BTreeSet<String> = std::fs::read_dir(workspace().join("scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let text = session.run(&["scenario", "--list"]);
    let first_words = text
        .out
        .lines()
        .map(|line| line.split(' ').next().unwrap().to_owned());
    assert_eq!(
        (text.code, first_words.collect::<BTreeSet<_>>()),
        (Some(0), files.clone())
    );
    let json = session.run(&["scenario", "--list", "--output", "json"]).json();
    let names = json
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap().to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), files);
}

#[test]
fn the_catalogue_has_no_mistakes() {
    let session = Session::new();
    let ended = session.run(&["scenario", "--lint"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.out.ends_with(" scenarios, no mistakes\n"), "{ended:#?}");
    assert_eq!(
        session.run(&["scenario", "--lint", "--output", "json"]).json(),
        serde_json::json!([])
    );
}

#[test]
fn an_explanation_says_what_is_expected_and_how_to_run_it() {
    let ended = Session::new().run(&["scenario", "--explain", "baseline-strict"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for part in [
        "baseline-strict: STRICT mTLS lets the mesh in and strangers out",
        "plaintext-to-strict",
        "cargo xtask scenario baseline-strict --without-faults",
    ] {
        assert!(ended.out.contains(part), "no {part:?} in {}", ended.out);
    }
}

#[test]
fn help_has_a_line_for_every_command_and_each_explains_itself() {
    let session = Session::new();
    let help = |arguments: &[&str]| {
        let ended = session.run(arguments);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        ended.out
    };
    for commands in [
        help(&["--help"]),
        help(&["bench", "--help"]),
        help(&["cluster", "--help"]),
    ] {
        let listed = commands.split("\nCommands:\n").nth(1).unwrap();
        let listed = listed.lines().take_while(|line| !line.is_empty());
        let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let unexplained = names.filter(|line| line.split_whitespace().nth(1).is_none());
        assert_eq!(unexplained.collect::<Vec<_>>(), Vec::<&str>::new());
    }
    for (command, part) in [
        (&["trace"] as &[_], "Needs root, bpftrace"),
        (&["bench", "local"], "what no harness could do without"),
        (&["clean"], "A cluster does not tell whether a run still lives"),
    ] {
        let text = help(&[command, &["--help"]].concat());
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn bad_usage_exits_2_and_says_what_to_write() {
    let session = Session::new();
    let text = session.write("notes.txt", "");
    let not_executable = format!("1.30.3={}", text.display());
    let cases: [&[&str]; 16] = [
        &["scenario"],
        &["scenario", "baseline-strikt"],
        &["scenario", "nothing-like-any"],
        &["scenario", "--explain", "baseline-strikt"],
        &[
            "scenario",
            "baseline-strict",
            "--only",
            "baseline-strict::control::nobody",
        ],
        &["scenario", "baseline-strict", "--on", "nowhere"],
        &["scenario", "baseline-strict", "--repeat", "0"],
        &["scenario", "baseline-strict", "--timeout", "0"],
        &["scenario", "baseline-strict", "--istio", "1.30"],
        &["scenario", "baseline-strict", "--proxy", "1.30.3=/nonexistent"],
        &["scenario", "baseline-strict", "--proxy", &not_executable],
        &["scenario", "baseline-strict", "--proxy", "envoy"],
        &["scenario", "--list", "--explain", "baseline-strict"],
        &["scenario", "--file", "no-such-file.yaml"],
        &["guardrails", "no-such-guardrail"],
        &["guardrails", "--warn"],
    ];
    let messages: Vec<String> = cases
        .iter()
        .map(|arguments| {
            let ended = session.run(arguments);
            assert_eq!(
                (ended.code, ended.out.as_str()),
                (Some(2), ""),
                "{arguments:?}: {ended:#?}"
            );
            format!("$ cargo xtask {}\n{}", arguments.join(" "), ended.err)
        })
        .collect();
    session.with_stable_text(|| insta::assert_snapshot!(messages.join("\n")));
}

#[test]
fn guardrails_are_listed_and_printed_for_either_engine() {
    let session = Session::new();
    let json = session
        .run(&["guardrails", "port-level-mtls", "--output", "json"])
        .json();
    assert_eq!(
        json["scenarios"],
        serde_json::json!(["port-level-without-selector"])
    );
    let listed = session.run(&["guardrails"]).out;
    let policies = |engine: &str, kind: &str| {
        let ended = session.run(&["guardrails", "--engine", engine, "--output", "yaml"]);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        ended
            .out
            .lines()
            .filter(|it| *it == format!("kind: {kind}"))
            .count()
    };
    let count = listed.lines().filter(|it| !it.starts_with(' ')).count();
    assert_eq!(
        policies("kubernetes", "ValidatingAdmissionPolicy"),
        count,
        "{listed}"
    );
    assert_eq!(policies("kubernetes", "ValidatingAdmissionPolicyBinding"), count);
    assert_eq!(policies("kyverno", "ClusterPolicy"), count);
}

#[test]
fn mistakes_of_a_file_are_all_shown_where_they_stand() {
    let session = Session::new();
    let text = HEALTHY
        .replace("payment:8080", "payment:8081")
        .replace("outcome: mtls", "outcome: mtsl")
        .replace("from: checkout", "form: checkout");
    let file = session.write("healthy.yaml", &text).display().to_string();
    let run = session.run(&["scenario", "--file", &file]);
    let lint = session.run(&["scenario", "--lint", "--file", &file]);
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
    assert_eq!((lint.code, &lint.err), (Some(2), &run.err));
    session.with_stable_text(|| insta::assert_snapshot!(run.err));
}

#[test]
fn outside_of_a_checkout_it_says_where_to_go() {
    let session = Session::new();
    let folder = session.path("t");
    let ended = session.finish(session.command(&["scenario", "--all"]).current_dir(folder));
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .err
            .contains("run the command inside a checkout of meshproof"),
        "{ended:#?}"
    );
}

#[test]
fn predictions_alone_need_neither_proxy_nor_room() {
    let session = Session::new();
    let mut command = session.command(&["scenario", "--all", "--predict-only"]);
    let ended = session.finish(
        command
            .env("TMPDIR", "/nonexistent")
            .env("MESHPROOF_CACHE", "/nonexistent"),
    );
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.out.contains("baseline-strict"), "{ended:#?}");
}
