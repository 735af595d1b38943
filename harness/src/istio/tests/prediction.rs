//! Outcomes by what arrives and what the server's mode is (sidecar_simulation_test.go `TestInbound`,
//! peer_authentication_simulation_test.go, istio/istio@1.30.3), and by what the certificates are.
//!
//! Long because it is one table of cases.

use super::{
    destination_rule as rule, mesh_config, of_release, peer_authentication as policy, topology, workload,
};
use crate::call::{Call, CallKind, Destination, Payload};
use crate::fault::Conditions;
use crate::istio::{Prediction, Topology, predict};
use crate::pki::{RootName, Validity, WorkloadCredentials};

/// A call in short: `from to[ kind][ tcp| server-first][ alpn=a,b][ subset=s]`, where `to` is `ns/service:port` or `pod/ns/workload:port`.
fn call(text: &str) -> Call {
    let mut words = text.split(' ');
    let from = workload(words.next().unwrap());
    let (to, port) = words.next().unwrap().rsplit_once(':').unwrap();
    let port = port.parse().unwrap();
    let to = match (to.strip_prefix("pod/"), to.split_once('/')) {
        (Some(pod), _) => Destination::Pod {
            pod: workload(pod).pod(0),
            port,
        },
        (None, Some((namespace, name))) => Destination::Service {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port,
        },
        (None, None) => Destination::Host {
            host: to.to_owned(),
            port,
        },
    };
    let mut call = Call::app(from, to);
    for word in words {
        match (word, word.split_once('=')) {
            ("tcp", _) => call.payload = Payload::Tcp,
            ("server-first", _) => call.payload = Payload::ServerFirst,
            ("raw-plaintext", _) => call.kind = CallKind::RawPlaintext,
            ("raw-tls", _) => call.kind = CallKind::RawTls,
            ("raw-mtls", _) => call.kind = CallKind::RawMtls,
            (_, Some(("alpn", list))) => call.alpn = list.split(',').map(str::to_owned).collect(),
            (_, Some(("subset", subset))) => call.subset = Some(subset.to_owned()),
            _ => panic!("{word}"),
        }
    }
    call
}

fn predicted(topology: &Topology, text: &str) -> Prediction {
    predict(topology, &Conditions::default(), &call(text))
}

fn outcome(topology: &Topology, text: &str) -> String {
    predicted(topology, text).outcome.to_string()
}

fn mode(mode: &str) -> Topology {
    topology(&policy("payments", "a", &format!("mtls: {{mode: {mode}}}")))
}

#[test]
fn what_arrives_meets_the_servers_mode() {
    const STRICT: &str = "plaintext-to-strict by server";
    const TO_PLAIN: &str = "tls-to-plaintext by server";
    const NO_CERT: &str = "no-client-certificate by server";
    const NO_CHAIN: &str = "no-filter-chain by server";
    const MISFIT: &str = "protocol-mismatch by server";
    const STALL: &str = "server-first-stall";
    // The call, then STRICT, PERMISSIVE, DISABLE.
    let cases = [
        ("shop/web payments/api:80", ["mtls", "mtls", "plaintext"]),
        ("shop/web payments/api:90", ["mtls", "mtls", "plaintext"]),
        ("shop/web payments/api:90 tcp", ["mtls", "mtls", "plaintext"]),
        ("shop/web payments/api:70", ["mtls", "mtls", "plaintext"]),
        ("shop/web payments/api:70 tcp", ["mtls", "mtls", "plaintext"]),
        ("shop/web payments/api:80 tcp", [STRICT, MISFIT, MISFIT]),
        (
            "shop/web payments/api-headless:9100",
            ["mtls", "mtls", "plaintext"],
        ),
        // Declared TCP, it is taken through at once where nothing is inspected; whoever speaks TLS speaks first.
        (
            "shop/web payments/api:90 server-first",
            ["mtls", "mtls", "plaintext"],
        ),
        ("shop/web payments/api:80 server-first", [STALL, STALL, STALL]),
        ("shop/web payments/api:70 server-first", [STALL, STALL, STALL]),
        (
            "shop/web pod/payments/api:9100 server-first",
            ["mtls", "mtls", "plaintext"],
        ),
        (
            "legacy/old payments/api:90 server-first",
            [STALL, STALL, "plaintext"],
        ),
        (
            "shop/web payments/api:90 raw-plaintext server-first",
            [STALL, STALL, "plaintext"],
        ),
        (
            "shop/web payments/api:90 raw-mtls server-first",
            ["mtls", "mtls", TO_PLAIN],
        ),
        ("legacy/old payments/api:80", [STRICT, "plaintext", "plaintext"]),
        ("legacy/old payments/api:90", [STRICT, "plaintext", "plaintext"]),
        ("legacy/old payments/api:70", [STRICT, "plaintext", "plaintext"]),
        ("legacy/old payments/api:80 tcp", [STRICT, MISFIT, MISFIT]),
        (
            "shop/web pod/payments/api:4242",
            [STRICT, "plaintext", "plaintext"],
        ),
        (
            "shop/web pod/payments/api:8080",
            [STRICT, "plaintext", "plaintext"],
        ),
        ("shop/web pod/payments/api:9100", ["mtls", "mtls", "plaintext"]),
        (
            "shop/web pod/payments/api:8100",
            [STRICT, "plaintext", "plaintext"],
        ),
        (
            "shop/web payments/api:80 raw-plaintext",
            [STRICT, "plaintext", "plaintext"],
        ),
        ("shop/web payments/api:80 raw-mtls", ["mtls", "mtls", TO_PLAIN]),
        (
            "shop/web payments/api:90 raw-mtls tcp",
            ["mtls", "mtls", TO_PLAIN],
        ),
        ("shop/web payments/api:70 raw-mtls", ["mtls", "mtls", TO_PLAIN]),
        (
            "shop/web payments/api:70 raw-mtls tcp",
            ["mtls", "mtls", TO_PLAIN],
        ),
        (
            "shop/web pod/payments/api:4242 raw-mtls",
            ["mtls", "mtls", TO_PLAIN],
        ),
        (
            "shop/web payments/api:80 raw-mtls tcp",
            [MISFIT, MISFIT, TO_PLAIN],
        ),
        (
            "shop/web payments/api:80 raw-mtls alpn=h2",
            ["mtls", NO_CHAIN, TO_PLAIN],
        ),
        (
            "shop/web payments/api:90 raw-mtls alpn=h2",
            ["mtls", TO_PLAIN, TO_PLAIN],
        ),
        ("shop/web payments/api:80 raw-tls", [NO_CERT, NO_CHAIN, TO_PLAIN]),
        (
            "shop/web payments/api:80 raw-tls alpn=istio",
            [NO_CERT, NO_CERT, TO_PLAIN],
        ),
        ("shop/web payments/api:90 raw-tls", [NO_CERT, TO_PLAIN, TO_PLAIN]),
        ("shop/web payments/api:70 raw-tls", [NO_CERT, TO_PLAIN, TO_PLAIN]),
        (
            "shop/web pod/payments/api:4242 raw-tls",
            [NO_CERT, TO_PLAIN, TO_PLAIN],
        ),
        ("shop/web legacy/old:80", ["plaintext"; 3]),
        ("shop/web legacy/old:80 tcp", [MISFIT; 3]),
        ("shop/web legacy/old:80 raw-mtls", [TO_PLAIN; 3]),
        ("shop/web legacy/old:80 raw-tls", [TO_PLAIN; 3]),
        ("shop/web payments/nobody:80", ["no-route by client"; 3]),
        ("shop/web payments/api:81", ["no-route by client"; 3]),
        ("shop/web example.com:443", ["no-route by client"; 3]),
    ];
    let modes = ["STRICT", "PERMISSIVE", "DISABLE"].map(mode);
    for (text, expected) in cases {
        let ours = modes.each_ref().map(|topology| outcome(topology, text));
        assert_eq!(ours, expected.map(str::to_owned), "{text}");
    }
}

#[test]
fn a_rules_tls_meets_the_servers_mode() {
    let host = "host: api.payments.svc.cluster.local";
    let with = |mode: &str, tls: &str| {
        topology(
            &(policy("payments", "a", &format!("mtls: {{mode: {mode}}}"))
                + &rule(
                    "payments",
                    "r",
                    &format!("{host}, trafficPolicy: {{tls: {{{tls}}}}}"),
                )),
        )
    };
    let cases = [
        ("STRICT", "mode: DISABLE", "plaintext-to-strict by server"),
        ("DISABLE", "mode: ISTIO_MUTUAL", "tls-to-plaintext by server"),
        ("PERMISSIVE", "mode: SIMPLE", "no-filter-chain by server"),
        ("STRICT", "mode: SIMPLE", "untrusted-root by client"),
        (
            "STRICT",
            "mode: SIMPLE, insecureSkipVerify: true",
            "no-client-certificate by server",
        ),
        (
            "STRICT",
            "mode: SIMPLE, credentialName: x",
            "plaintext-to-strict by server",
        ),
        (
            "STRICT",
            "mode: MUTUAL, clientCertificate: /c, privateKey: /k",
            "unknown",
        ),
        (
            "STRICT",
            "mode: ISTIO_MUTUAL, subjectAltNames: [spiffe://cluster.local/ns/payments/sa/other]",
            "san-mismatch by client",
        ),
    ];
    for (mode, tls, expected) in cases {
        assert_eq!(
            outcome(&with(mode, tls), "shop/web payments/api:80"),
            expected,
            "{mode} {tls}"
        );
    }
    let everywhere = topology(&rule(
        "istio-system",
        "r",
        "host: '*.local', trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}",
    ));
    assert_eq!(
        outcome(&everywhere, "shop/web legacy/old:80"),
        "tls-to-plaintext by server"
    );
    let trap = policy("payments", "a", "mtls: {mode: DISABLE}")
        + &policy(
            "payments",
            "b",
            "selector: {matchLabels: {app: api}}, mtls: {mode: STRICT}",
        );
    assert_eq!(
        outcome(&topology(&trap), "shop/web payments/api:80"),
        "plaintext-to-strict by server"
    );
}

#[test]
fn certificates_are_judged_by_the_client_first_then_by_the_server() {
    type Change = fn(&mut WorkloadCredentials);
    let server: &[(&str, Change, &str)] = &[
        ("healthy", |_| {}, "mtls"),
        ("leaf", |it| it.leaf = Validity::Expired, "certificate-expired"),
        (
            "leaf",
            |it| it.leaf = Validity::NotYetValid,
            "certificate-not-yet-valid",
        ),
        (
            "intermediate",
            |it| it.intermediate = Validity::Expired,
            "ca-expired",
        ),
        (
            "expired twice",
            |it| (it.intermediate, it.leaf) = (Validity::Expired, Validity::Expired),
            "ca-expired",
        ),
        (
            "other root",
            |it| it.issuer = RootName("other".to_owned()),
            "untrusted-root",
        ),
        (
            "expired and of another root",
            |it| (it.leaf, it.issuer) = (Validity::Expired, RootName("other".to_owned())),
            "untrusted-root",
        ),
        ("dot", |it| it.identity.push('.'), "san-mismatch"),
        (
            "expired and dot",
            |it| {
                it.identity.push('.');
                it.leaf = Validity::Expired
            },
            "certificate-expired",
        ),
    ];
    let client: &[(&str, Change, &str)] = &[
        ("leaf", |it| it.leaf = Validity::Expired, "certificate-expired"),
        (
            "intermediate",
            |it| it.intermediate = Validity::Expired,
            "ca-expired",
        ),
        (
            "other root",
            |it| it.issuer = RootName("other".to_owned()),
            "untrusted-root",
        ),
        (
            "a dot after the path is not looked at",
            |it| it.identity.push('.'),
            "mtls",
        ),
        (
            "a dot in the trust domain is",
            |it| it.identity = it.identity.replace("cluster.local", "cluster.local."),
            "trust-domain-mismatch",
        ),
        (
            "another trust domain",
            |it| it.identity = it.identity.replace("cluster.local", "old"),
            "trust-domain-mismatch",
        ),
        (
            "another trust domain and no path",
            |it| it.identity = "spiffe://old".to_owned(),
            "trust-domain-mismatch",
        ),
        (
            "no path",
            |it| it.identity = "spiffe://cluster.local".to_owned(),
            "san-mismatch",
        ),
        (
            "no SPIFFE id",
            |it| it.identity = "https://example.com/".to_owned(),
            "san-mismatch",
        ),
    ];
    let topology = mode("STRICT");
    let with = |name: &str, change: Change, kind: &str| {
        let mut credentials = WorkloadCredentials::healthy(topology.identity(&workload(name)).unwrap());
        change(&mut credentials);
        let mut conditions = Conditions::default();
        conditions
            .credentials
            .workloads
            .insert(workload(name), credentials);
        predict(
            &topology,
            &conditions,
            &call(&format!("shop/web payments/api:80{kind}")),
        )
        .outcome
        .to_string()
    };
    let by = |id: &str, side: &str| {
        if id == "mtls" {
            id.to_owned()
        } else {
            format!("{id} by {side}")
        }
    };
    for (name, change, expected) in server {
        assert_eq!(
            with("payments/api", *change, ""),
            by(expected, "client"),
            "server {name}"
        );
        assert_eq!(
            with("payments/api", *change, " raw-mtls"),
            "mtls",
            "raw callers judge nobody: {name}"
        );
    }
    for (name, change, expected) in client {
        assert_eq!(
            with("shop/web", *change, ""),
            by(expected, "server"),
            "client {name}"
        );
        assert_eq!(
            with("shop/web", *change, " raw-mtls"),
            by(expected, "server"),
            "raw client {name}"
        );
    }
}

#[test]
fn an_expired_root_is_found_by_whoever_looks_first() {
    let topology = mode("STRICT");
    let mut conditions = Conditions::default();
    conditions
        .credentials
        .roots
        .insert(RootName::default(), Validity::Expired);
    let side = |kind: &str| {
        predict(
            &topology,
            &conditions,
            &call(&format!("shop/web payments/api:80{kind}")),
        )
        .outcome
        .to_string()
    };
    assert_eq!(side(""), "ca-expired by client");
    assert_eq!(side(" raw-mtls"), "ca-expired by server");
}

#[test]
fn registry_only_blocks_what_no_object_declares() {
    let topology = topology(&mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"));
    for text in [
        "shop/web example.com:443",
        "shop/web payments/nobody:80",
        "shop/web pod/payments/api:4242",
        "shop/web payments/api:80 tcp",
    ] {
        assert_eq!(outcome(&topology, text), "egress-blocked by client", "{text}");
    }
    assert_eq!(outcome(&topology, "shop/web payments/api:80"), "mtls");
    assert_eq!(
        outcome(&topology, "legacy/old example.com:443"),
        "no-route by client"
    );
}

#[test]
fn objects_outside_of_the_rules_make_it_unknown_and_are_named() {
    let other = |group: &str, kind: &str, namespace: &str, spec: &str| {
        format!(
            "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: x, namespace: {namespace}}}\nspec: {{{spec}}}\n"
        )
    };
    let networking = "networking.istio.io";
    let cases = [
        (
            other(networking, "Sidecar", "shop", "egress: []"),
            "Sidecar/shop/x",
        ),
        (other(networking, "Sidecar", "payments", ""), "Sidecar/payments/x"),
        (
            other(networking, "Sidecar", "istio-system", ""),
            "Sidecar/istio-system/x",
        ),
        (
            other(
                networking,
                "EnvoyFilter",
                "payments",
                "workloadSelector: {labels: {app: api}}",
            ),
            "EnvoyFilter/payments/x",
        ),
        (
            other(
                networking,
                "ServiceEntry",
                "shop",
                "hosts: [api.payments.svc.cluster.local]",
            ),
            "ServiceEntry/shop/x",
        ),
        (
            other("security.istio.io", "AuthorizationPolicy", "payments", ""),
            "AuthorizationPolicy/payments/x",
        ),
        (
            other(
                networking,
                "VirtualService",
                "payments",
                "hosts: [api], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: api}}]}]",
            ),
            "VirtualService/payments/x",
        ),
    ];
    for (object, name) in cases {
        let prediction = predicted(&topology(&object), "shop/web payments/api:80");
        assert_eq!(prediction.outcome.id.as_str(), "unknown", "{object}");
        assert!(prediction.outcome.reason.unwrap().contains(name), "{object}");
        assert!(
            prediction
                .because
                .iter()
                .any(|it| it.object.as_deref() == Some(name)),
            "{object}"
        );
    }
    let elsewhere = [
        other(
            networking,
            "EnvoyFilter",
            "payments",
            "workloadSelector: {labels: {app: other}}",
        ),
        other(networking, "Sidecar", "legacy", ""),
        other(
            "security.istio.io",
            "AuthorizationPolicy",
            "payments",
            "selector: {matchLabels: {app: other}}",
        ),
        other("example.com", "Sidecar", "shop", ""),
    ];
    for object in elsewhere {
        assert_eq!(
            outcome(&topology(&object), "shop/web payments/api:80"),
            "mtls",
            "{object}"
        );
    }
    let denied = topology(&other("security.istio.io", "AuthorizationPolicy", "payments", ""));
    assert_eq!(
        outcome(&denied, "shop/web payments/api:80"),
        "unknown (mtls or access-denied)"
    );
}

#[test]
fn routes_lead_to_subsets() {
    let routed = |route: &str| {
        let rules = rule(
            "payments",
            "r",
            "host: api, subsets: [{name: plain, labels: {app: api}, trafficPolicy: {tls: {mode: DISABLE}}}, {name: mesh, labels: {app: api}}]",
        );
        let service = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v, namespace: payments}}\nspec: {{hosts: [api], http: [{{route: [{route}]}}]}}\n---\n"
        );
        topology(&(policy("payments", "a", "mtls: {mode: STRICT}") + &rules + &service))
    };
    let to = |subset: &str, weight: u8| {
        format!("{{destination: {{host: api, subset: {subset}}}, weight: {weight}}}")
    };
    let http = "shop/web payments/api:80";
    assert_eq!(
        outcome(&routed(&to("plain", 100)), http),
        "plaintext-to-strict by server"
    );
    assert_eq!(outcome(&routed(&to("mesh", 100)), http), "mtls");
    assert_eq!(outcome(&routed(&to("gone", 100)), http), "no-route by client");
    assert_eq!(
        outcome(&routed(&format!("{}, {}", to("plain", 50), to("mesh", 50))), http),
        "unknown (mtls or plaintext-to-strict)"
    );
    assert_eq!(
        outcome(&routed(&format!("{}, {}", to("plain", 0), to("mesh", 100))), http),
        "mtls"
    );
    assert_eq!(
        outcome(&routed(&to("plain", 100)), "shop/web payments/api:90"),
        "mtls",
        "only HTTP is routed"
    );
    assert_eq!(
        outcome(&routed(&to("mesh", 100)), "shop/web payments/api:80 subset=plain"),
        "plaintext-to-strict by server"
    );
}

#[test]
fn endpoints_that_differ_are_told_apart_by_the_call() {
    let bare = "apiVersion: v1\nkind: Pod\nmetadata: {name: bare, namespace: payments, labels: {app: api, sidecar.istio.io/inject: 'false'}}\nspec: {containers: [{name: app, ports: [{containerPort: 1}]}]}\n";
    let topology = topology(bare);
    assert_eq!(
        outcome(&topology, "shop/web payments/api:80"),
        "unknown (mtls or connection-refused)"
    );
    let at = |pod: &str| {
        let mut call = call("shop/web payments/api:80");
        call.endpoint = Some(workload(pod).pod(0));
        predict(&topology, &Conditions::default(), &call)
            .outcome
            .to_string()
    };
    assert_eq!(at("payments/api"), "mtls");
    assert_eq!(at("payments/bare"), "connection-refused by server");
}

#[test]
fn an_empty_service_has_no_healthy_endpoint() {
    let empty = "apiVersion: v1\nkind: Service\nmetadata: {name: empty, namespace: payments}\nspec: {selector: {app: none}, ports: [{name: http, port: 80}]}\n";
    assert_eq!(
        outcome(&topology(empty), "shop/web payments/empty:80"),
        "no-healthy-upstream by client"
    );
}

#[test]
fn the_objects_that_decide_are_named_in_order() {
    let objects = policy("payments", "strict", "mtls: {mode: STRICT}")
        + &rule(
            "payments",
            "plain",
            "host: api, trafficPolicy: {tls: {mode: DISABLE}}",
        );
    let lines = |topology: &Topology, text: &str| {
        let because = predicted(topology, text).because;
        let lines: Vec<String> = because
            .iter()
            .map(|it| format!("{} {}", it.rule, it.object.as_deref().unwrap_or("-")))
            .collect();
        lines.join("\n")
    };
    let all = [
        lines(&topology(&objects), "shop/web payments/api:80"),
        lines(&of_release(24, ""), "shop/web payments/api:80"),
        lines(&mode("STRICT"), "legacy/old payments/api:80"),
    ];
    insta::assert_snapshot!(all.join("\n\n"));
}

/// Services beside those of the mesh: without endpoints, headless, and for a workload that listens on 9000 only.
const NARROW: &str = "
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: payments}
spec: {selector: {app: nobody}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: void, namespace: payments}
spec: {clusterIP: None, selector: {app: nobody}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: narrow, namespace: payments}
spec: {template: {metadata: {labels: {app: narrow}}, spec: {containers: [{name: app, ports: [{containerPort: 9000}]}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: narrow, namespace: payments}
spec:
  selector: {app: narrow}
  ports: [{name: tcp, port: 90, targetPort: 9000}, {name: tcp-deaf, port: 91, targetPort: 9001}, {name: http-deaf, port: 92, targetPort: 9002}]
---
apiVersion: v1
kind: Service
metadata: {name: direct, namespace: payments}
spec: {clusterIP: None, selector: {app: narrow}, ports: [{name: tcp, port: 9000}, {name: tcp-translated, port: 93, targetPort: 9000}]}
---
";

#[test]
fn nobody_there_is_told_apart_by_who_finds_out() {
    let topology = topology(NARROW);
    let (refused, stranded) = ("connection-refused by server", "no-route by client");
    for (text, expected) in [
        ("shop/web payments/empty:80", "no-healthy-upstream by client"),
        ("shop/web payments/empty:80 tcp", refused),
        ("legacy/old payments/empty:80", refused),
        ("shop/web payments/empty:80 raw-mtls", refused),
        // Its name has no address.
        ("shop/web payments/void:80", stranded),
        ("legacy/old payments/void:80", stranded),
        ("shop/web payments/narrow:90", "mtls"),
        ("shop/web payments/narrow:91", refused),
        ("shop/web payments/narrow:92", refused),
        ("shop/web payments/direct:9000", "mtls"),
        // Nobody translates the port of a headless Service.
        ("shop/web payments/direct:93", refused),
        ("legacy/old payments/direct:93", refused),
    ] {
        assert_eq!(outcome(&topology, text), expected, "{text}");
    }
}

#[test]
fn a_tcp_proxy_without_application_hangs_up_during_the_handshake() {
    let topology = topology(&(NARROW.to_owned() + &policy("payments", "a", "mtls: {mode: STRICT}")));
    let either = "unknown (no-client-certificate or connection-refused)";
    assert_eq!(outcome(&topology, "shop/web payments/narrow:91 raw-tls"), either);
    // HTTP waits for a request, so for the end of the handshake.
    let first = "no-client-certificate by server";
    assert_eq!(outcome(&topology, "shop/web payments/narrow:92 raw-tls"), first);
}

#[test]
fn a_subset_does_not_confine_calls_to_the_address_dialled() {
    let rules = rule(
        "payments",
        "r",
        "host: direct.payments.svc.cluster.local, subsets: [{name: other, labels: {version: other}}]",
    );
    let topology = topology(&(NARROW.to_owned() + &rules));
    assert_eq!(
        outcome(&topology, "shop/web payments/direct:9000 subset=other"),
        "mtls"
    );
}
