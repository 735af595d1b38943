//! `diagnose`: from what a cluster shows, and from scenarios whose cause is hidden, to a verdict and an exit code.

use std::sync::Arc;

use kubernetes_double::{Double, Executed, ISTIO, Key, Setup};

use crate::session::{Ended, Session};

/// Incidents of each source that decides: objects, certificates of one end or of both, secrets, and logs.
const INCIDENTS: &[&str] = &[
    "strict-vs-disable",
    "rule-hidden-by-export-to",
    "missing-sidecar",
    "expired-ca",
    "secret-missing-server",
    "p384-keys-and-groups",
];

#[test]
fn incidents_of_every_kind_are_named_rightly() {
    let session = Session::new();
    let arguments = [&["diagnose", "--output", "json", "--self-test"], INCIDENTS].concat();
    let ended = session.run(&arguments);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let table = ended.json();
    assert_eq!(table["measureMet"], true);
    assert_eq!(table["confidentlyWrong"], 0);
    let scenarios = table["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), INCIDENTS.len());
    for scenario in scenarios {
        assert_eq!(scenario["scored"], "right", "{scenario:#}");
        assert_ne!(scenario["failing"], 0, "{scenario:#}");
    }
}

#[test]
fn a_scenario_is_diagnosed_without_a_word_of_its_cause() {
    let ended = Session::new().run(&["diagnose", "--scenario", "expired-ca", "--output", "json"]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let diagnosis = ended.json();
    let verdict = &diagnosis["verdicts"][0];
    assert_eq!(verdict["outcome"], "certificate-expired");
    assert_eq!(verdict["cause"], "leaf");
    assert_eq!(verdict["confidence"], "high");
    assert_eq!(verdict["responsible"][0]["object"], "Deployment/payments/payment");
    assert_eq!(verdict["reproducedBy"], "expired-ca");
    assert!(!verdict["remedy"]["commands"].as_array().unwrap().is_empty());
    let text = diagnosis.to_string();
    assert!(
        !text.contains("leaf-expired"),
        "the phase and its fault are hidden"
    );
}

#[test]
fn exit_codes_say_whether_something_fails_whatever_the_format() {
    let session = Session::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    let apps = root.join("apps/payments.yaml").display().to_string();
    let rule = session
        .write(
            "rule.yaml",
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: payment, namespace: payments}\n\
             spec: {host: payment, trafficPolicy: {tls: {mode: DISABLE}}}\n\
             ---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict, namespace: payments}\n\
             spec: {mtls: {mode: STRICT}}\n",
        )
        .display()
        .to_string();
    for (files, code) in [(vec![apps.as_str()], 0), (vec![apps.as_str(), rule.as_str()], 1)] {
        for output in ["text", "json"] {
            let mut arguments = vec![
                "diagnose",
                "--output",
                output,
                "--from",
                "checkout",
                "--to",
                "payment:8080",
                "-f",
            ];
            arguments.extend(&files);
            let ended = session.run(&arguments);
            assert_eq!(ended.code, Some(code), "{files:?} {output}: {ended:#?}");
        }
    }
}

#[test]
fn a_bad_input_has_one_clear_error() {
    let session = Session::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/apps/payments.yaml");
    let apps = root.display().to_string();
    let empty = session.write("empty.yaml", "").display().to_string();
    for (arguments, message) in [
        (vec!["diagnose"], "the input holds no object"),
        (
            vec!["diagnose", "-f", "no-such.yaml"],
            "cannot read no-such.yaml: there is no such file",
        ),
        (vec!["diagnose", "-f", &empty], "the input holds no object"),
        (
            vec!["diagnose", "--scenario", "no-such"],
            "there is no scenario no-such",
        ),
        (
            vec!["diagnose", "--scenario", "expired-ca", "--phase", "none"],
            "expired-ca has no phase `none`; it has control",
        ),
        (
            vec!["diagnose", "--self-test", "no-such"],
            "there is no scenario no-such",
        ),
        (
            vec!["diagnose", "-f", &apps, "--from", "checkout"],
            "the following required arguments were not provided",
        ),
        (
            vec![
                "diagnose",
                "-f",
                &apps,
                "--from",
                "nobody",
                "--to",
                "payment:8080",
            ],
            "nobody",
        ),
        (
            vec![
                "diagnose",
                "-f",
                &apps,
                "--from",
                "checkout",
                "--to",
                "nobody:8080",
            ],
            "nobody",
        ),
        (
            vec!["diagnose", "-f", &apps, "-n", "nowhere"],
            "no workload is in namespace `nowhere`",
        ),
    ] {
        let ended = session.run(&arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:#?}");
        assert!(ended.err.starts_with("error: "), "{arguments:?}: {ended:#?}");
        assert!(ended.err.contains(message), "{arguments:?}: {ended:#?}");
    }
}

const APPS: &str = include_str!("../../../manifests/apps/payments.yaml");
pub(crate) const READS: &str = include_str!("../../../manifests/rbac/preflight.yaml");
pub(crate) const ASKS: &str = include_str!("../../../manifests/rbac/diagnose.yaml");
const POLICY: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: payment, namespace: payments}
spec: {host: payment, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: payments}
spec: {mtls: {mode: STRICT}}
";
/// A client whose server closes the connection, as its sidecar logs it.
const LINE: &str = r#"2026-11-22T04:50:42.4Z [2026-11-22T04:50:42.383Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl" "r1" "payment:8080" "10.0.0.7:8080" outbound|8080||payment.payments.svc.cluster.local 10.0.0.6:49972 10.1.1.1:8080 10.0.0.6:48298 - default
"#;

/// The pod that calls.
pub(crate) const CALLER: &str = "checkout-5d4f8c7b9-abcde";

fn pod(workload: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata:
  name: {workload}-5d4f8c7b9-abcde
  namespace: payments
  labels: {{app: {workload}, pod-template-hash: 5d4f8c7b9, security.istio.io/tlsMode: istio}}
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: {workload}-5d4f8c7b9, uid: u, controller: true}}]
spec:
  serviceAccountName: {workload}
  containers: [{{name: app, image: a, ports: [{{name: http, containerPort: 8080}}]}}, {{name: istio-proxy, image: 'istio/proxyv2:1.30.3'}}]
status: {{phase: Running}}
"
    )
}

/// As [`pod`], without a sidecar.
pub(crate) fn bare_pod(workload: &str) -> String {
    let sidecar = ", {name: istio-proxy, image: 'istio/proxyv2:1.30.3'}";
    let label = ", security.istio.io/tlsMode: istio";
    pod(workload).replace(sidecar, "").replace(label, "")
}

pub(crate) fn cluster() -> Double {
    let double = Double::start(Setup { tls: true });
    double.serve(ISTIO);
    for text in [APPS, POLICY, &pod("checkout"), &pod("payment")] {
        double.apply(text);
    }
    double.log("payments", CALLER, Some("istio-proxy"), LINE);
    double.log("payments", "payment-5d4f8c7b9-abcde", Some("istio-proxy"), "");
    double
}

fn diagnosed(session: &Session, double: &Double) -> Ended {
    let kubeconfig = session.write("kubeconfig", &double.kubeconfig("staging", "token"));
    let call = ["--from", "checkout", "--to", "payment:8080", "--output", "json"];
    let cluster = ["diagnose", "--context", "staging", "--kubeconfig"];
    let mut command = session.command(&cluster);
    session.finish(command.arg(&kubeconfig).args(call))
}

fn check(ended: &Ended, id: &str) -> String {
    let json = ended.json();
    let mut checks = json["checks"].as_array().unwrap().iter();
    checks.find(|it| it["check"] == id).unwrap().to_string()
}

fn confidence(ended: &Ended) -> String {
    ended.json()["verdicts"][0]["confidence"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn is_named(ended: &Ended) {
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let verdict = &ended.json()["verdicts"][0];
    assert_eq!(verdict["outcome"], "plaintext-to-strict", "{verdict:#}");
    assert_eq!(
        verdict["responsible"][0]["object"],
        "DestinationRule/payments/payment"
    );
}

#[test]
fn the_proxies_of_a_cluster_are_asked_and_nothing_is_written() {
    let session = Session::new();
    let double = cluster();
    double.on_exec(|exec| match exec.command.join(" ").as_str() {
        "pilot-agent request GET config_dump" => Executed {
            output: r#"{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {"node":
                {"metadata": {"ISTIO_VERSION": "1.30.3"}}}}]}"#
                .to_owned(),
            ..Executed::default()
        },
        other => Executed {
            errors: format!("{other}: not found"),
            code: 127,
            ..Executed::default()
        },
    });
    for text in [READS, ASKS] {
        double.apply(text);
    }
    double.user("token", "system:serviceaccount:meshproof:preflight");
    let ended = diagnosed(&session, &double);
    is_named(&ended);
    let versions = check(&ended, "proxies.versions");
    assert!(
        versions.contains("checkout-5d4f8c7b9-abcde says it is 1.30.3"),
        "{versions}"
    );
    let told = check(&ended, "logs.proxies");
    assert!(told.contains("connection_termination"), "{told}");
    assert_eq!(confidence(&ended), "high");
    let written = double
        .seen()
        .into_iter()
        .filter(|it| !matches!(it.verb.as_str(), "list" | "get"));
    assert_eq!(
        written.map(|it| it.path).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

#[test]
fn a_step_without_rights_says_so_and_the_others_go_on() {
    let session = Session::new();
    let double = cluster();
    double.apply(READS);
    double.user("token", "system:serviceaccount:meshproof:preflight");
    let ended = diagnosed(&session, &double);
    is_named(&ended);
    for id in ["proxies.in-sync", "certificates.in-use", "logs.proxies"] {
        let said = check(&ended, id);
        assert!(said.contains("cannot-tell") && said.contains("403"), "{said}");
    }
    assert_eq!(confidence(&ended), "medium", "nothing but prediction says so");
}

#[test]
fn a_proxy_whose_agent_does_not_reach_it_is_told() {
    let session = Session::new();
    let double = cluster();
    double.on_exec(|_| Executed {
        errors: "Error: failed to execute command on Envoy: connection refused".to_owned(),
        code: 1,
        ..Executed::default()
    });
    let ended = diagnosed(&session, &double);
    is_named(&ended);
    let said = check(&ended, "proxies.in-sync");
    assert!(said.contains("its agent shows no config_dump"), "{said}");
    assert!(said.contains("connection refused"), "{said}");
}

#[test]
fn a_pod_that_vanishes_midway_is_told_and_the_others_are_asked() {
    let session = Session::new();
    let double = Arc::new(cluster());
    let cluster = Arc::downgrade(&double);
    double.on_exec(move |exec| {
        if exec.pod.starts_with("payment") {
            let key = Key {
                group: String::new(),
                plural: "pods".to_owned(),
                namespace: exec.namespace.clone(),
                name: exec.pod.clone(),
            };
            cluster.upgrade().unwrap().delete(&key);
            return Executed {
                code: 137,
                ..Executed::default()
            };
        }
        Executed {
            output: r#"{"configs": []}"#.to_owned(),
            ..Executed::default()
        }
    });
    // Its log went with it: what is left is the caller's, which does not say who closed.
    double.log("payments", CALLER, Some("istio-proxy"), "");
    let ended = diagnosed(&session, &double);
    is_named(&ended);
    let said = check(&ended, "proxies.in-sync");
    assert!(
        said.contains("payment-5d4f8c7b9-abcde: its agent shows no"),
        "{said}"
    );
    assert!(!said.contains("checkout-5d4f8c7b9-abcde:"), "{said}");
    assert_eq!(confidence(&ended), "medium");
}

#[test]
fn of_an_ambient_pod_it_is_said_that_nothing_is_known_of_its_calls() {
    let session = Session::new();
    let double = cluster();
    double.apply(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: payments, labels: {istio.io/dataplane-mode: ambient}}",
    );
    double.apply(&bare_pod("payment"));
    let ended = diagnosed(&session, &double);
    let said = check(&ended, "injection.sidecars");
    assert!(
        said.contains("of an ambient mesh: ztunnel speaks for it"),
        "{said}"
    );
    let verdict = &ended.json()["verdicts"][0];
    assert_ne!(verdict["confidence"], "high", "{verdict:#}");
}

#[test]
fn what_flux_has_not_delivered_is_told() {
    let session = Session::new();
    let double = cluster();
    double.serve(&[(
        "helm.toolkit.fluxcd.io",
        &["v2"],
        "helmreleases",
        "HelmRelease",
        true,
    )]);
    double.apply(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: istiod, namespace: flux-system}\n\
         spec: {chart: {spec: {chart: istiod}}}\n\
         status: {conditions: [{type: Ready, status: 'False', reason: UpgradeFailed, message: hunter2}]}\n",
    );
    double.apply(READS);
    double.user("token", "system:serviceaccount:meshproof:preflight");
    let said = check(&diagnosed(&session, &double), "delivery.helm-releases");
    assert!(
        said.contains("HelmRelease/flux-system/istiod is not ready: UpgradeFailed"),
        "{said}"
    );
    assert!(
        !said.contains("hunter2"),
        "messages quote what Helm was given: {said}"
    );
}
