//! Results: what is printed of them, what is written, and the exit code they make.

use std::process::Command;

use serde_json::Value;

use crate::session::{Ended, HEALTHY, Session, scenario_text};

/// The baseline with a wrong expectation of its last call.
fn wrong_baseline() -> String {
    let right = "call: raw-mtls, outcome: mtls";
    let text = scenario_text("baseline-strict");
    assert!(text.contains(right), "baseline-strict has no `{right}`");
    text.replace(
        right,
        "call: raw-mtls, outcome: no-client-certificate, side: server",
    )
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_scenario_that_holds_exits_0() {
    let session = Session::new();
    let ended = session.run(&["scenario", "baseline-strict"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:#?}");
    assert!(
        ended.out.lines().last().unwrap().starts_with("held "),
        "{ended:#?}"
    );
}

#[test]
fn a_wrong_expectation_exits_1_with_all_that_is_known_and_the_command_that_repeats_the_call() {
    let session = Session::new();
    let file = session
        .write("baseline-strict.yaml", &wrong_baseline())
        .display()
        .to_string();
    let ended = session.run(&["scenario", "--file", &file]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let shown: Vec<&str> = ended
        .out
        .lines()
        .skip_while(|line| !line.contains("falsified payments/"))
        .take_while(|line| !line.starts_with("  payments/"))
        .collect();
    let begins_with = |words: &str| shown.iter().any(|line| line.trim_start().starts_with(words));
    for part in [
        format!("at         {file}:"),
        "expected   no-client-certificate by server".to_owned(),
        "predicted  mtls".to_owned(),
        "observed   mtls".to_owned(),
        "caller     {".to_owned(),
        "server     access log {".to_owned(),
        "server     listener log {".to_owned(),
        "repeat     cargo xtask scenario --file".to_owned(),
    ] {
        assert!(begins_with(&part), "no {part:?} in {shown:#?}");
    }

    let line = shown
        .iter()
        .find_map(|line| line.trim_start().strip_prefix("repeat     cargo xtask "));
    let again = shell(&session, line.unwrap());
    assert_eq!(again.code, Some(1), "{again:#?}");
    let calls = again
        .out
        .lines()
        .filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let calls: Vec<&str> = calls.collect();
    assert_eq!(
        calls,
        ["    falsified payments/checkout->payments/payment:8080#raw-mtls  mtls"],
        "{again:#?}"
    );
}

/// Runs a command of the program as a shell reads it.
fn shell(session: &Session, line: &str) -> Ended {
    let program = session.command(&[] as &[&str]);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("'{}' {line}", program.get_program().display()))
        .current_dir(program.get_current_dir().unwrap());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    session.finish(&mut shell)
}

#[test]
fn without_its_causes_a_scenario_exits_1_and_repeats_its_calls_the_same_way() {
    let session = Session::new();
    let ended = session.run(&["scenario", "baseline-strict", "--without-faults"]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let repeats = ended.out.lines().filter(|line| line.contains("repeat     cargo"));
    let repeats: Vec<&str> = repeats.collect();
    assert!(
        !repeats.is_empty() && repeats.iter().all(|line| line.contains("--without-faults")),
        "{repeats:#?}"
    );
}

#[test]
fn a_scenario_without_refusals_says_that_it_has_nothing_to_leave_out() {
    let session = Session::new();
    let file = session.write("healthy.yaml", HEALTHY).display().to_string();
    let ended = session.run(&["scenario", "--file", &file, "--without-faults"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(
        ended
            .out
            .contains("healthy expects no refusal, so there is nothing to leave out"),
        "{ended:#?}"
    );
}

#[test]
fn what_a_tier_cannot_run_is_reported_with_its_reason_and_fails_only_where_required() {
    let session = Session::new();
    let text = HEALTHY.replace("  manifests:", "  needs: [interception]\n  manifests:");
    let file = session.write("healthy.yaml", &text).display().to_string();
    let arguments = ["scenario", "--file", &file, "--output", "json"];
    let ended = session.run(&arguments);
    let result = ended.json();
    assert_eq!(ended.code, Some(0));
    assert_eq!(result["verdict"], "not-run");
    assert_eq!(result["reason"], "the tier local has no interception");
    let required = session.run(&[&arguments[..], &["--require", "local"]].concat());
    assert_eq!(required.code, Some(3), "{required:#?}");
}

#[test]
fn json_has_the_documented_shape() {
    let session = Session::new();
    let ended = session.run(&["scenario", "baseline-strict", "--output", "json"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let result = ended.json();
    assert_eq!(
        keys(&result),
        [
            "components",
            "millis",
            "phases",
            "reproduce",
            "scenario",
            "tier",
            "verdict"
        ]
    );
    assert_eq!(result["scenario"], "baseline-strict");
    assert_eq!(result["tier"], "local");
    assert_eq!(result["verdict"], "held");
    assert_eq!(
        result["reproduce"],
        "cargo xtask scenario baseline-strict --on local"
    );
    let component = &result["components"][0];
    assert_eq!(
        keys(component),
        ["envoy", "istio", "provenance", "sha256", "workload"]
    );
    assert_eq!(component["workload"], "payments/checkout");
    let phase = &result["phases"][1];
    assert_eq!(
        keys(phase),
        ["calls", "faults", "millis", "name", "policies", "verdict"]
    );
    assert_eq!(phase["policies"][0], "PeerAuthentication/payments/strict");
    let calls = phase["calls"].as_array().unwrap();
    let refused = calls.iter().find(|call| call["call"] == "raw-tls").unwrap();
    let known = [
        "call",
        "evidence",
        "expected",
        "from",
        "id",
        "location",
        "millis",
        "observed",
        "predicted",
        "to",
        "verdict",
    ];
    assert_eq!(keys(refused), known);
    assert_eq!(
        refused["id"],
        "baseline-strict::strict::payments/checkout->payments/payment:8080#raw-tls"
    );
    assert_eq!(refused["from"], "payments/checkout");
    assert_eq!(refused["to"], "payment.payments.svc.cluster.local:8080");
    for opinion in ["expected", "predicted", "observed"] {
        let outcome = (&refused[opinion]["outcome"], &refused[opinion]["side"]);
        assert_eq!(
            outcome,
            (&"no-client-certificate".into(), &"server".into()),
            "{opinion}"
        );
    }
    assert!(refused["evidence"]["caller"].is_object(), "{refused:#}");
    assert!(refused["millis"].as_f64().unwrap() > 0.0);
}

#[test]
fn repeated_runs_print_a_line_each_and_the_report_holds_them_too() {
    let session = Session::new();
    let report = session.path("report");
    let folder = report.display().to_string();
    let arguments = [
        "baseline-strict",
        "--repeat",
        "3",
        "--output",
        "json",
        "--report",
        &folder,
    ];
    let ended = session.run(&[&["scenario"], &arguments[..]].concat());
    assert_eq!(
        (ended.code, ended.out.lines().count()),
        (Some(0), 3),
        "{ended:#?}"
    );
    assert_eq!(
        std::fs::read_to_string(report.join("results.jsonl")).unwrap(),
        ended.out
    );
}

#[test]
fn a_replay_judges_the_recorded_evidence_anew() {
    let session = Session::new();
    let folder = session.path("recorded");
    let recorded = session.run(&[
        "scenario",
        "baseline-strict",
        "--report",
        folder.to_str().unwrap(),
    ]);
    assert_eq!(recorded.code, Some(0), "{recorded:#?}");
    let replay = format!("replay={}", folder.display());
    let again = session.run(&["scenario", "baseline-strict", "--on", &replay, "--output", "json"]);
    assert_eq!(again.code, Some(0), "{again:#?}");
    let result = again.json();
    assert_eq!(
        (&result["tier"], &result["verdict"]),
        (&"replay".into(), &"held".into())
    );

    // Evidence decides, and nothing that was concluded from it then.
    let file = folder.join("results.jsonl");
    let mut line: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let call = &mut line["phases"][0]["calls"][0];
    assert_eq!(call["observed"]["outcome"], "mtls");
    call["evidence"]["application"] = Value::Null;
    call["evidence"]["caller"]["http"]["fromApplication"] = false.into();
    std::fs::write(&file, line.to_string()).unwrap();
    let falsified = session.run(&["scenario", "baseline-strict", "--on", &replay]);
    assert_eq!(falsified.code, Some(1), "{falsified:#?}");

    let other = session.run(&["scenario", "expired-ca", "--on", &replay, "--require", "replay"]);
    assert_eq!(other.code, Some(3), "{other:#?}");
    assert!(other.out.contains("no run of it is recorded"), "{other:#?}");
}
