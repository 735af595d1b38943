//! What becomes of a call between two sidecars whose certificates, TLS or network are at fault. Where several things
//! are, the order decides in which BoringSSL and Envoy look at them.

use super::{of_release, peer_authentication, workload};
use crate::call::{Call, CallKind, Destination};
use crate::fault::{Conditions, Fault, History};
use crate::istio::{Topology, predict};
use crate::outcome::OutcomeId;

/// A call from `shop/web` to `payments/api:80` while these faults are active, written as in a scenario.
fn outcome(topology: &Topology, faults: &[&str], kind: CallKind) -> String {
    let names = topology.workloads.keys();
    let identities = names
        .filter_map(|name| Some((name.clone(), topology.identity(name)?)))
        .collect();
    let mut history = History::default();
    for (number, text) in faults.iter().enumerate() {
        let text = text.replacen('{', &format!("{{name: f{number}, "), 1);
        let fault: Fault = serde_saphyr::from_str(&text).unwrap();
        history.inject(&fault, topology.workloads.keys()).unwrap();
    }
    let to = Destination::Service {
        namespace: "payments".to_owned(),
        name: "api".to_owned(),
        port: 80,
    };
    let call = Call {
        kind,
        ..Call::app(workload("shop/web"), to)
    };
    let predicted = predict(topology, &Conditions::of(&identities, &history), &call).outcome;
    assert_eq!(predicted.reason.is_some(), predicted.id == OutcomeId::Unknown);
    predicted.to_string()
}

fn strict(minor: u64) -> Topology {
    of_release(
        minor,
        &peer_authentication("istio-system", "default", "mtls: {mode: STRICT}"),
    )
}

const SERVER: &str = "payments/api";
const CLIENT: &str = "shop/web";

/// `{}` and `{w,` stand for the workload, `{of the other}` for the one that calls it or is called by it.
fn of(text: &str, workload: &str) -> String {
    let other = if workload == SERVER { CLIENT } else { SERVER };
    text.replace("{of the other}", &format!("{{workload: {other}}}"))
        .replace("{}", &format!("{{workload: {workload}}}"))
        .replace("{w,", &format!("{{workload: {workload},"))
}

#[test]
fn either_end_refuses_the_others_certificate_for_the_same_reasons() {
    let topology = strict(30);
    let table: &[(&[&str], &str)] = &[
        (&["missing-intermediate: {}"], "untrusted-root"),
        (&["key-encipherment-only: {}"], "bad-key-usage"),
        (&["revoked-leaf: {}"], "certificate-revoked"),
        (&["revoked-intermediate: {}"], "certificate-revoked"),
        (&["not-yet-valid-intermediate: {}"], "certificate-not-yet-valid"),
        (&["leaf-key: {w, key: ecdsa-p384}"], "mtls"),
        (&["leaf-key: {w, key: rsa-2048}"], "mtls"),
        // Under TLS 1.3 whether the key may sign comes first, then the chain, then revocation, then dates.
        (
            &["key-encipherment-only: {}", "foreign-root: {}"],
            "bad-key-usage",
        ),
        (
            &["missing-intermediate: {}", "revoked-leaf: {}"],
            "untrusted-root",
        ),
        (&["revoked-leaf: {}", "expired-leaf: {}"], "certificate-revoked"),
        (
            &["revoked-leaf: {}", "expired-intermediate: {}"],
            "certificate-revoked",
        ),
        (
            &["revoked-leaf: {}", "expired-crl: {of the other}"],
            "crl-unavailable",
        ),
        (
            &["revoked-leaf: {}", "missing-crl: {of the other}"],
            "certificate-revoked",
        ),
        (
            &["expired-leaf: {}", "missing-crl: {of the other}"],
            "crl-unavailable",
        ),
        // The intermediate would be on the root's list, which is the one that is missing.
        (
            &["revoked-intermediate: {}", "missing-crl: {of the other}"],
            "crl-unavailable",
        ),
        (
            &["not-yet-valid-intermediate: {}", "expired-leaf: {}"],
            "certificate-not-yet-valid",
        ),
    ];
    for (faults, expected) in table {
        for (workload, refuser) in [(SERVER, "client"), (CLIENT, "server")] {
            let faults: Vec<String> = faults.iter().map(|fault| of(fault, workload)).collect();
            let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
            let expected = match *expected {
                "mtls" => "mtls".to_owned(),
                id => format!("{id} by {refuser}"),
            };
            assert_eq!(outcome(&topology, &faults, CallKind::App), expected, "{faults:?}");
        }
    }
}

#[test]
fn some_faults_show_at_one_end_only() {
    let topology = strict(30);
    let table: &[(&[&str], &str)] = &[
        (
            &["extended-key-usage: {workload: payments/api, only: server-auth}"],
            "mtls",
        ),
        (
            &["extended-key-usage: {workload: shop/web, only: client-auth}"],
            "mtls",
        ),
        (
            &["extended-key-usage: {workload: payments/api, only: client-auth}"],
            "bad-key-usage by client",
        ),
        (
            &["extended-key-usage: {workload: shop/web, only: server-auth}"],
            "bad-key-usage by server",
        ),
        (
            &["trust-domain: {workload: payments/api, domain: other}"],
            "san-mismatch by client",
        ),
        (
            &["trust-domain: {workload: shop/web, domain: other}"],
            "trust-domain-mismatch by server",
        ),
        (
            &["expired-crl: {workload: payments/api}"],
            "crl-unavailable by server",
        ),
        (
            &["expired-crl: {workload: shop/web}"],
            "crl-unavailable by client",
        ),
        (
            &["missing-secret: {workload: payments/api, secret: roots}"],
            "no-certificate-yet by server",
        ),
        (
            &["missing-secret: {workload: shop/web, secret: certificate}"],
            "no-certificate-yet by client",
        ),
        (&["black-hole: {workload: payments/api}"], "connect-timeout"),
        (&["silent-port: {workload: payments/api}"], "handshake-timeout"),
        (
            &["refused-port: {workload: payments/api}"],
            "connection-refused by server",
        ),
        (&["refused-port: {workload: payments/api, port: 1}"], "mtls"),
        (&["refused-port: {workload: shop/web}"], "mtls"),
        // What does not arrive is not judged.
        (
            &[
                "black-hole: {workload: payments/api}",
                "expired-leaf: {workload: payments/api}",
            ],
            "connect-timeout",
        ),
    ];
    for (faults, expected) in table {
        assert_eq!(outcome(&topology, faults, CallKind::App), *expected, "{faults:?}");
    }
}

#[test]
fn a_proxy_waits_for_a_secret_that_something_names() {
    let table = [
        ("STRICT", CLIENT, "no-certificate-yet by client"),
        ("STRICT", SERVER, "no-certificate-yet by server"),
        ("DISABLE", CLIENT, "plaintext"),
        ("DISABLE", SERVER, "plaintext"),
    ];
    for (mode, workload, expected) in table {
        let policy = peer_authentication("istio-system", "default", &format!("mtls: {{mode: {mode}}}"));
        let topology = of_release(30, &policy);
        for secret in ["certificate", "roots"] {
            let fault = format!("missing-secret: {{workload: {workload}, secret: {secret}}}");
            let found = outcome(&topology, &[&fault], CallKind::App);
            assert_eq!(found, expected, "{mode} {fault}");
        }
    }
}

#[test]
fn parameters_are_agreed_on_before_any_certificate_is_looked_at() {
    let topology = strict(30);
    let expired = "expired-leaf: {workload: payments/api}";
    for (limits, expected) in [
        ("end: client, maxVersion: '1.2'", "certificate-expired by client"),
        ("end: server, minVersion: '1.3'", "certificate-expired by client"),
        ("end: server, groups: [P-384]", "tls-group-mismatch by server"),
        (
            "end: server, maxVersion: '1.2', cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256]",
            "unknown (tls-cipher-mismatch or tls-group-mismatch)",
        ),
    ] {
        let workload = if limits.contains("client") { CLIENT } else { SERVER };
        let limits = format!("tls-limits: {{workload: {workload}, {limits}}}");
        assert_eq!(
            outcome(&topology, &[&limits, expired], CallKind::App),
            expected,
            "{limits}"
        );
    }
    let both = [
        "tls-limits: {workload: shop/web, maxVersion: '1.2'}",
        "tls-limits: {workload: payments/api, minVersion: '1.3'}",
        expired,
    ];
    assert_eq!(
        outcome(&topology, &both, CallKind::App),
        "tls-version-mismatch by server"
    );
    // A caller that bypasses its sidecar is not limited, and brings P-384.
    assert_eq!(outcome(&topology, &both, CallKind::RawMtls), "mtls");
    let p384 = "tls-limits: {workload: payments/api, groups: [P-384]}";
    assert_eq!(outcome(&topology, &[p384], CallKind::RawMtls), "mtls");
}

#[test]
fn what_a_release_changed_is_told_apart() {
    let may_not_sign = "key-encipherment-only: {workload: payments/api}";
    let old = "tls-limits: {workload: payments/api, maxVersion: '1.2'}";
    let post_quantum = "tls-limits: {workload: payments/api, end: server, groups: [X25519MLKEM768]}";
    for (minor, under_1_2, post_quantum_only) in [
        (29, "mtls", "tls-group-mismatch by server"),
        (30, "bad-key-usage by client", "tls-group-mismatch by server"),
        (32, "bad-key-usage by client", "mtls"),
    ] {
        let topology = strict(minor);
        assert_eq!(
            outcome(&topology, &[may_not_sign, old], CallKind::App),
            under_1_2,
            "1.{minor}"
        );
        assert_eq!(
            outcome(&topology, &[may_not_sign], CallKind::App),
            "bad-key-usage by client",
            "1.{minor}"
        );
        assert_eq!(
            outcome(&topology, &[post_quantum], CallKind::App),
            post_quantum_only,
            "1.{minor}"
        );
    }
    // Of a client every server minds it, as part of its purpose and so before dates.
    let topology = strict(29);
    let of_client = "key-encipherment-only: {workload: shop/web}";
    assert_eq!(
        outcome(&topology, &[of_client, old], CallKind::App),
        "bad-key-usage by server"
    );
    let expired = "expired-leaf: {workload: shop/web}";
    assert_eq!(
        outcome(&topology, &[of_client, expired, old], CallKind::App),
        "bad-key-usage by server"
    );
}
