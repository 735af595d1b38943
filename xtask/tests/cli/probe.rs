//! `diagnose --probe`: a call made by an agent in an ephemeral container, from the question to the verdict.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use kubernetes_double::{Double, Executed, Key};
use meshproof::probe::agent::{Answer, Question};
use meshproof::probe::dial::request_id;
use meshproof::probe::evidence::{Caller, HttpAnswer};
use serde_json::{Value, json};

use crate::diagnose::{ASKS, CALLER, READS, cluster};
use crate::session::{Ended, Session};

const PROBES: &str = include_str!("../../../manifests/rbac/probe.yaml");
const SERVER: &str = "payment-5d4f8c7b9-abcde";
const CLUSTER: &str = "outbound|8080||payment.payments.svc.cluster.local";

/// What an agent sees, and what the sidecars log of it: the caller's, then the server's.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    status: u16,
    logged: fn(&str) -> [String; 2],
    /// How many connections the cluster had opened before, and after.
    opened: [u64; 2],
}

/// A server that closes what is no mTLS.
pub(crate) const fn refused() -> Scene {
    Scene {
        status: 503,
        logged: |request| {
            [
                client_line(503, "UC", "upstream_reset_before_response_started{connection_termination}", request),
                r#"[2026-11-22T04:50:42.384Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" - - 10.0.0.7:8080 10.0.0.6:49972 - -"#.to_owned(),
            ]
        },
        opened: [3, 4],
    }
}

/// An application that does not know the path, reached over mTLS.
pub(crate) const fn answered() -> Scene {
    Scene {
        status: 404,
        logged: |request| {
            let server = format!(
                r#"[2026-11-22T04:50:42.384Z] "GET /x HTTP/1.1" 404 - via_upstream - "-" 0 95 1 0 "-" "-" "{request}" "payment:8080" "10.0.0.7:8080" inbound|8080|| 127.0.0.6:40000 10.0.0.7:8080 10.0.0.6:49972 outbound_.8080_._.payment.payments.svc.cluster.local default"#
            );
            [client_line(404, "-", "via_upstream", request), server]
        },
        opened: [3, 4],
    }
}

fn client_line(code: u16, flags: &str, details: &str, request: &str) -> String {
    format!(
        r#"[2026-11-22T04:50:42.383Z] "GET /x HTTP/1.1" {code} {flags} {details} - "-" 0 95 1 - "-" "-" "{request}" "payment:8080" "10.0.0.7:8080" {CLUSTER} 10.0.0.6:49972 10.1.1.1:8080 10.0.0.6:48298 - default"#
    )
}

/// A kubelet that runs the agent, and sidecars that log what it did.
fn play(scene: Scene) -> Arc<Double> {
    play_on(scene, scene)
}

/// The same, and another scene once a DestinationRule is deleted.
pub(crate) fn play_on(first: Scene, then: Scene) -> Arc<Double> {
    let is_over = Arc::new(AtomicBool::new(false));
    let double = Arc::new(cluster());
    // What was logged before is of another call.
    double.log("payments", CALLER, Some("istio-proxy"), "");
    let told: Weak<Double> = Arc::downgrade(&double);
    let over = Arc::clone(&is_over);
    double.on_delete(move |key, _| {
        is_over.fetch_or(key.plural == "destinationrules", Ordering::SeqCst);
        Vec::new()
    });
    double.on_write(move |key, pod| {
        let scene = if over.load(Ordering::SeqCst) { then } else { first };
        let Some(added) = pod["spec"]["ephemeralContainers"]
            .as_array()
            .and_then(|it| it.last())
            .cloned()
        else {
            return Vec::new();
        };
        let question: Question = serde_json::from_str(added["args"][1].as_str().unwrap()).unwrap();
        assert_eq!(added["args"][0], "call");
        assert_eq!(question.host, "payment.payments.svc.cluster.local");
        let answer = Answer::Seen(Box::new(Caller {
            http: Some(HttpAnswer {
                status: scene.status,
                ..HttpAnswer::default()
            }),
            ..Caller::default()
        }));
        let answer = serde_json::to_string(&answer).unwrap();
        let lines = (scene.logged)(&request_id(&question.nonce));
        let (told, pod_name) = (told.clone(), key.name.clone());
        let name = added["name"].as_str().unwrap().to_owned();
        pod["status"]["ephemeralContainerStatuses"] =
            json!([{"name": name, "state": {"terminated": {"exitCode": 0}}}]);
        // The write is not over yet.
        std::thread::spawn(move || {
            let Some(double) = told.upgrade() else { return };
            log_now(&double, &pod_name, &name, &answer);
            for (pod, line) in [CALLER, SERVER].into_iter().zip(lines) {
                log_now(&double, pod, "istio-proxy", &line);
            }
        });
        Vec::new()
    });
    let mut asked = 0;
    double.on_exec(move |exec| match exec.command.last().map(String::as_str) {
        Some("clusters?format=json") => {
            asked += 1;
            let opened = first.opened[usize::from(asked > 1)].to_string();
            let output = json!({"cluster_statuses": [{"name": CLUSTER, "host_statuses": [
                {"stats": [{"name": "cx_total", "value": opened}]}]}]});
            Executed {
                output: output.to_string(),
                ..Executed::default()
            }
        }
        _ => Executed {
            output: r#"{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"}]}"#
                .to_owned(),
            ..Executed::default()
        },
    });
    double
}

fn probed(session: &Session, double: &Double, more: &[&str]) -> Ended {
    let kubeconfig = session.write("kubeconfig", &double.kubeconfig("staging", "token"));
    let mut command = session.command(&["diagnose", "--context", "staging", "--kubeconfig"]);
    command
        .arg(&kubeconfig)
        .args(["--from", "checkout", "--to", "payment:8080", "--output", "json"]);
    session.finish(command.arg("--probe").args(more))
}

/// A container logs this, and has logged nothing before.
fn log_now(double: &Double, pod: &str, container: &str, line: &str) {
    let text = format!("{} {line}\n", jiff::Timestamp::now());
    double.log("payments", pod, Some(container), &text);
}

pub(crate) const AGENT: &[&str] = &["--agent", "registry.example/meshproof-agent:1"];

fn step(ended: &Ended) -> Value {
    let json = ended.json();
    let checks = json["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|it| it["check"] == "probe.call")
        .unwrap()
        .clone()
}

#[test]
fn a_call_made_now_is_classified_from_what_both_ends_log_of_it() {
    let session = Session::new();
    let double = play(refused());
    for text in [READS, ASKS, PROBES] {
        double.apply(text);
    }
    double.user("token", "system:serviceaccount:meshproof:preflight");
    let ended = probed(&session, &double, AGENT);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let said = step(&ended);
    assert_eq!(said["status"], "bad", "{said:#}");
    assert!(
        said.to_string().contains("became plaintext-to-strict by server"),
        "{said:#}"
    );
    let verdict = &ended.json()["verdicts"][0];
    assert_eq!(verdict["outcome"], "plaintext-to-strict");
    assert_eq!(verdict["confidence"], "high");
    let pod = double
        .objects("", "pods")
        .into_iter()
        .find(|it| it["metadata"]["name"] == CALLER)
        .unwrap();
    let added = pod["spec"]["ephemeralContainers"].as_array().unwrap();
    assert_eq!(added.len(), 1, "one call, one container");
    assert_eq!(added[0]["image"], "registry.example/meshproof-agent:1");
    let context = &added[0]["securityContext"];
    assert_eq!(
        (&context["runAsNonRoot"], &context["runAsUser"]),
        (&json!(true), &json!(10001))
    );
    let changes = double
        .seen()
        .into_iter()
        .filter(|it| !matches!(it.verb.as_str(), "list" | "get"));
    let written: Vec<String> = changes
        .filter(|it| !it.path.ends_with("/exec"))
        .map(|it| it.path.trim_end_matches('?').to_owned())
        .collect();
    assert_eq!(
        written,
        [format!(
            "/api/v1/namespaces/payments/pods/{CALLER}/ephemeralcontainers"
        )]
    );
}

#[test]
fn an_application_that_does_not_know_the_path_was_reached_all_the_same() {
    let session = Session::new();
    let double = play(answered());
    for object in ["destinationrules/payment", "peerauthentications/strict"] {
        let (plural, name) = object.split_once('/').unwrap();
        let group = if plural == "destinationrules" {
            "networking.istio.io"
        } else {
            "security.istio.io"
        };
        double.delete(&Key {
            group: group.to_owned(),
            plural: plural.to_owned(),
            namespace: "payments".to_owned(),
            name: name.to_owned(),
        });
    }
    let ended = probed(&session, &double, AGENT);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let said = step(&ended);
    assert_eq!(said["status"], "ok", "{said:#}");
    assert!(
        said.to_string().contains("was answered by the application"),
        "{said:#}"
    );
    assert_eq!(ended.json()["verdicts"][0]["outcome"], "mtls");
}

#[test]
fn what_an_open_connection_carries_says_nothing_of_new_ones() {
    let session = Session::new();
    let double = play(Scene {
        opened: [3, 3],
        ..answered()
    });
    let ended = probed(&session, &double, AGENT);
    let said = step(&ended);
    assert_eq!(said["status"], "cannot-tell", "{said:#}");
    assert!(said.to_string().contains("open before"), "{said:#}");
    assert_eq!(
        ended.code,
        Some(1),
        "by its policies a new call fails: {ended:#?}"
    );
}

#[test]
fn without_rights_or_an_image_the_step_says_so_and_the_others_go_on() {
    let session = Session::new();
    let double = play(refused());
    for text in [READS, ASKS] {
        double.apply(text);
    }
    double.user("token", "system:serviceaccount:meshproof:preflight");
    let ended = probed(&session, &double, AGENT);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let said = step(&ended).to_string();
    assert!(
        said.contains("403") && said.contains("manifests/rbac/probe.yaml"),
        "{said}"
    );

    let double = cluster();
    double.on_write(|_, pod| {
        if let Some(added) = pod["spec"]["ephemeralContainers"]
            .as_array()
            .and_then(|it| it.last())
        {
            let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image"});
            let status = json!([{"name": added["name"], "state": {"waiting": waiting}}]);
            pod["status"]["ephemeralContainerStatuses"] = status;
        }
        Vec::new()
    });
    let said = step(&probed(&session, &double, AGENT)).to_string();
    assert!(
        said.contains("does not start: ImagePullBackOff Back-off pulling image"),
        "{said}"
    );
}

#[test]
fn a_probe_needs_a_call_and_an_image() {
    let session = Session::new();
    let double = cluster();
    let ended = probed(&session, &double, &[]);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.err.contains("--probe needs --agent IMAGE"), "{ended:#?}");
    let kubeconfig = session.write("kubeconfig", &double.kubeconfig("staging", "token"));
    let mut command = session.command(&["diagnose", "--context", "staging", "--probe", "--kubeconfig"]);
    let ended = session.finish(command.arg(&kubeconfig).args(AGENT));
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.err.contains("name it with --from and --to"), "{ended:#?}");
}
