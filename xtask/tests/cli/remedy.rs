//! `diagnose --apply`: a safe remedy is shown, asked about, done, and undone where it does not help.

use std::io::Write as _;
use std::process::{Child, Stdio};

use kubernetes_double::Double;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::diagnose::{ASKS, CALLER, READS, bare_pod, cluster};
use crate::probe::{AGENT, answered, play_on, refused};
use crate::session::{Ended, Session, eventually};

const CHANGES: &str = include_str!("../../../manifests/rbac/remedy.yaml");
const BEFORE: &str = "payment.before.yaml";

/// Diagnoses and applies, with this on standard input.
fn apply(session: &Session, double: &Double, more: &[&str], said: &str) -> Ended {
    let child = applying(session, double, &[&["--watch", "1"], more].concat(), said);
    Ended::from(child.wait_with_output().unwrap())
}

fn applying(session: &Session, double: &Double, more: &[&str], said: &str) -> Child {
    let kubeconfig = session.write("kubeconfig", &double.kubeconfig("staging", "token"));
    let call = ["--from", "checkout", "--to", "payment:8080", "--apply"];
    let mut command = session.command(&["diagnose", "--context", "staging", "--kubeconfig"]);
    command.arg(&kubeconfig).args(call).args(more);
    command.current_dir(session.path(".")).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Whoever needs no answer may be gone.
    let _ = child.stdin.take().unwrap().write_all(said.as_bytes());
    child
}

fn rules(double: &Double) -> Vec<Value> {
    double.objects("networking.istio.io", "destinationrules")
}

fn changes(double: &Double) -> Vec<String> {
    let written = double
        .seen()
        .into_iter()
        .filter(|it| !matches!(it.verb.as_str(), "list" | "get") && !it.resource.ends_with("/exec"));
    written.map(|it| format!("{} {}", it.verb, it.code)).collect()
}

#[test]
fn a_safe_remedy_is_shown_applied_and_kept_where_the_call_recovers() {
    let session = Session::new();
    let double = cluster();
    let ended = apply(&session, &double, &[], "y\n");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(rules(&double), Vec::<Value>::new());
    assert!(ended.err.contains("-      mode: DISABLE"), "{}", ended.err);
    assert!(
        ended
            .err
            .contains("delete DestinationRule/payments/payment in staging"),
        "{}",
        ended.err
    );
    assert!(
        ended
            .out
            .contains("applied and kept: diagnosed again, the call is mtls"),
        "{}",
        ended.out
    );
    let before = std::fs::read_to_string(session.path(BEFORE)).unwrap();
    assert!(
        before.contains("mode: DISABLE") && !before.contains("resourceVersion"),
        "{before}"
    );
    // Tried first, then made: nothing else is written.
    assert_eq!(changes(&double), ["delete 200", "delete 200"]);
}

#[test]
fn a_call_made_again_decides_whether_it_has_recovered() {
    for (then, code, ended, why) in [
        (
            answered(),
            0,
            "kept",
            "made it, and it became unknown (mtls or tls)",
        ),
        // Nothing predicted or logged speaks against it, and the call fails all the same.
        (refused(), 1, "undone", "still plaintext-to-strict"),
    ] {
        let session = Session::new();
        let double = play_on(refused(), then);
        let more = [&["--yes", "--output", "json", "--probe"], AGENT].concat();
        let run = apply(&session, &double, &more, "");
        assert_eq!(run.code, Some(code), "{run:#?}");
        let applied = &run.json()["applied"];
        assert_eq!(applied["ended"], ended, "{applied:#}");
        assert!(applied["why"].as_str().unwrap().contains(why), "{applied:#}");
        assert_eq!(rules(&double).len(), usize::from(code == 1));
    }
}

#[test]
fn what_nobody_says_yes_to_is_not_done() {
    for said in ["n\n", ""] {
        let session = Session::new();
        let double = cluster();
        let ended = apply(&session, &double, &["--output", "json"], said);
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert_eq!(ended.json()["applied"]["ended"], "not-done");
        assert_eq!(rules(&double).len(), 1);
        assert!(!session.path(BEFORE).exists());
        assert_eq!(changes(&double), ["delete 200"], "tried, and that is all");
    }
}

#[test]
fn what_does_not_help_is_undone() {
    let session = Session::new();
    let double = cluster();
    let rule = rules(&double).remove(0);
    // Somebody closes the mesh to all at the moment in which the rule goes, so that the call fails all the same.
    double.on_delete(|key, _| match key.plural.as_str() {
        "destinationrules" => vec![serde_json::json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "all", "namespace": "istio-system"},
            "spec": {"host": "*.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
        })],
        _ => Vec::new(),
    });
    let ended = apply(&session, &double, &["--yes", "--output", "json"], "");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let applied = &ended.json()["applied"];
    assert_eq!(applied["ended"], "undone", "{applied:#}");
    let why = applied["why"].as_str().unwrap();
    assert!(
        why.contains("still plaintext-to-strict") && why.contains("is as it was"),
        "{why}"
    );
    let again = rules(&double)
        .into_iter()
        .find(|it| it["metadata"]["name"] == "payment");
    assert_eq!(again.unwrap()["spec"], rule["spec"]);
    assert!(!session.path(BEFORE).exists());
}

#[test]
fn what_is_interrupted_before_it_is_known_to_help_is_undone() {
    let session = Session::new();
    let double = cluster();
    let child = applying(&session, &double, &["--yes", "--watch", "600"], "");
    eventually("the rule to go", || rules(&double).is_empty());
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    assert!(
        ended
            .out
            .contains("interrupted; DestinationRule/payments/payment is as it was"),
        "{ended:#?}"
    );
    assert_eq!(rules(&double).len(), 1);
    assert!(!session.path(BEFORE).exists());
}

#[test]
fn without_the_right_to_change_it_nothing_is_asked_and_the_error_says_what_grants_it() {
    let session = Session::new();
    let double = cluster();
    for text in [READS, ASKS] {
        double.apply(text);
    }
    double.user("token", "system:serviceaccount:meshproof:preflight");
    let ended = apply(&session, &double, &["--yes"], "");
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(
        ended
            .err
            .contains("manifests/rbac/remedy.yaml grants what it needs")
            && ended.err.contains("403"),
        "{}",
        ended.err
    );
    assert_eq!(rules(&double).len(), 1);
    double.apply(CHANGES);
    let ended = apply(&session, &double, &["--yes"], "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[test]
fn what_would_break_other_calls_or_lose_more_than_tls_is_left_to_people() {
    const MORE: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
        metadata: {name: payment, namespace: payments}\n\
        spec: {host: payment, subsets: [{name: v1}], trafficPolicy: {tls: {mode: DISABLE, sni: a}}}\n";
    /// The client speaks TLS to a port that somebody opened for callers without a sidecar.
    const OPENED: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
        metadata: {name: payment, namespace: payments}\n\
        spec: {host: payment, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}\n---\n\
        apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
        metadata: {name: opened, namespace: payments}\n\
        spec: {selector: {matchLabels: {app: payment}}, mtls: {mode: DISABLE}}\n";
    let legacy = bare_pod("legacy");
    for (objects, log, expected) in [
        (MORE, true, "says more of TLS than its mode"),
        (
            OPENED,
            false,
            "other calls would fail: payments/legacy-5d4f8c7b9-abcde->payments/payment:8080",
        ),
    ] {
        let session = Session::new();
        let double = cluster();
        double.apply(objects);
        double.apply(&legacy);
        if !log {
            double.log("payments", CALLER, Some("istio-proxy"), "");
        }
        let ended = apply(&session, &double, &["--yes", "--output", "json"], "");
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        let applied = &ended.json()["applied"];
        assert_eq!(applied["ended"], "not-done", "{ended:#?}");
        let why = applied["why"].as_str().unwrap();
        assert!(why.contains(expected), "{why}");
        assert!(changes(&double).len() <= 1, "tried at most");
        assert!(!session.path(BEFORE).exists());
    }
}

#[test]
fn a_rule_that_says_more_gets_mtls_by_a_server_side_apply_and_keeps_the_rest() {
    const SUBSETS: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
        metadata: {name: payment, namespace: payments}\n\
        spec: {host: payment, subsets: [{name: v1}], trafficPolicy: {tls: {mode: DISABLE}, loadBalancer: {simple: RANDOM}}}\n";
    let session = Session::new();
    let double = cluster();
    double.apply(SUBSETS);
    let ended = apply(&session, &double, &["--yes"], "");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(
        ended
            .err
            .contains("-      mode: DISABLE\n+      mode: ISTIO_MUTUAL"),
        "{}",
        ended.err
    );
    let spec = &rules(&double)[0]["spec"];
    assert_eq!(spec["trafficPolicy"]["tls"]["mode"], "ISTIO_MUTUAL");
    assert_eq!(spec["trafficPolicy"]["loadBalancer"]["simple"], "RANDOM");
    assert_eq!(spec["subsets"][0]["name"], "v1");
    assert_eq!(changes(&double), ["patch 200", "patch 200"]);
}
