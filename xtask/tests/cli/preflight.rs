//! Preflight: its exit codes, which depend on what is found and read and on nothing else.

use crate::session::{Ended, Session};

const CLEAN: &str = include_str!("../../../harness/tests/data/audit/clean.yaml");
const PLAIN_TO_STRICT: &str = include_str!("../../../harness/tests/data/audit/plain-to-strict.yaml");
const UNREADABLE: &str = "---\na: [\n";
const FORMS: [&str; 6] = ["text", "json", "sarif", "junit", "markdown", "prometheus"];

fn preflight(session: &Session, mesh: &str, more: &[&str]) -> Ended {
    let file = session.write("mesh.yaml", mesh).display().to_string();
    let arguments = ["preflight", "-f", &file, "--istio", "1.30.3", "--to", "1.31.1"];
    session.run(&[&arguments, more].concat())
}

#[test]
fn the_exit_code_never_depends_on_the_form() {
    let session = Session::new();
    let cases = [
        (CLEAN.to_owned(), 0),
        (format!("{CLEAN}{PLAIN_TO_STRICT}"), 1),
        (format!("{CLEAN}{UNREADABLE}"), 3),
        (format!("{CLEAN}{PLAIN_TO_STRICT}{UNREADABLE}"), 1),
    ];
    for (mesh, code) in cases {
        for form in FORMS {
            let ended = preflight(&session, &mesh, &["--output", form]);
            assert_eq!((form, ended.code), (form, Some(code)), "{ended:#?}");
        }
    }
}

#[test]
fn what_is_found_names_file_and_line_and_remedy() {
    let ended = preflight(&Session::new(), &format!("{CLEAN}{PLAIN_TO_STRICT}"), &[]);
    for part in [
        "× no DestinationRule sends plaintext to a STRICT server",
        "high    policy.disable-to-strict  DestinationRule/shop/plain (",
        "mesh.yaml:24)",
        "remedy: Remove trafficPolicy.tls",
        "docs/audit.md#policydisable-to-strict",
        "to go back: ",
    ] {
        assert!(ended.out.contains(part), "no {part:?} in {}", ended.out);
    }
}

#[test]
fn an_incomplete_audit_is_no_success_unless_that_is_allowed() {
    let session = Session::new();
    let mesh = format!("{CLEAN}{UNREADABLE}");
    let ended = preflight(&session, &mesh, &[]);
    assert!(
        ended.out.contains("INCOMPLETE") && ended.out.contains("mesh.yaml:"),
        "{ended:#?}"
    );
    assert_eq!(preflight(&session, &mesh, &["--allow-incomplete"]).code, Some(0));
    let json = preflight(&session, &mesh, &["--output", "json"]).json();
    assert_eq!(
        (&json["complete"], json["incomplete"].as_array().unwrap().len()),
        (&false.into(), 1)
    );
}

#[test]
fn the_least_severity_that_fails_can_be_chosen_and_findings_accepted() {
    let session = Session::new();
    let mesh = format!("{CLEAN}{PLAIN_TO_STRICT}");
    assert_eq!(preflight(&session, CLEAN, &["--fail-on", "info"]).code, Some(1));
    let baseline = "accept: [{finding: policy.disable-to-strict, reason: known}]";
    let baseline = session.write("baseline.yaml", baseline).display().to_string();
    let ended = preflight(&session, &mesh, &["--baseline", &baseline]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(
        ended.out.contains("1 accepted") && ended.out.contains("known"),
        "{ended:#?}"
    );
}

#[test]
fn bad_input_exits_2_and_says_what_to_do() {
    let session = Session::new();
    let file = session.write("mesh.yaml", CLEAN).display().to_string();
    let bad = session
        .write("bad.yaml", "accept: [{finding: a}]")
        .display()
        .to_string();
    let cases: [(&[&str], &str); 4] = [
        (
            &["-f", &file, "--to", "1.31.9"],
            "there is no Istio 1.31.9 (as of 2026-11-22); did you mean 1.31.1?",
        ),
        (&["-f", &file, "--to", "1.31"], "write all three numbers"),
        (
            &["-f", "/no/such/folder", "--to", "1.31.1"],
            "cannot read /no/such/folder",
        ),
        (
            &["-f", &file, "--to", "1.31.1", "--baseline", &bad],
            "missing field `reason`",
        ),
    ];
    for (arguments, message) in cases {
        let ended = session.run(&[&["preflight"], arguments].concat());
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.err.contains(message), "no {message:?} in {}", ended.err);
    }
}

#[test]
fn a_risky_call_is_confirmed_on_real_proxies_and_written_down() {
    let session = Session::new();
    let folder = session.path("scenarios").display().to_string();
    let mesh = format!("{CLEAN}{PLAIN_TO_STRICT}");
    let ended = preflight(
        &session,
        &mesh,
        &["--replay", "--scenarios", &folder, "--output", "json"],
    );
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let json = ended.json();
    assert_eq!(json["replayed"][0]["verdict"], "confirmed", "{json:#}");
    let scenario = json["replayed"][0]["scenario"].as_str().unwrap();
    for release in ["1.30.3", "1.31.1"] {
        let again = session.run(&["scenario", "--file", scenario, "--istio", release]);
        assert_eq!(again.code, Some(0), "{release}: {again:#?}");
    }
}
