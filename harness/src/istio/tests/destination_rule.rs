//! Cases of push_context_test.go, sidecar_test.go and cluster_test.go (istio/istio@1.30.3).

use super::{destination_rule as rule, mesh_config, of_release, topology, workload};
use crate::istio::Topology;
use crate::istio::policy::{ClientCertificate, ClientTls, Discovery, Trust};

/// The rule that decides a call of `client` to the server's HTTP port, as `namespace/name`.
fn decides(topology: &Topology, client: &str) -> Option<String> {
    let client = workload(client);
    topology
        .outbound(&client, "payments", "api", 80, None)
        .unwrap()
        .destination_rule
}

/// A workload in the root namespace, which is a client of its own kind.
const ROOT_CLIENT: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tool, namespace: istio-system}
spec: {template: {metadata: {labels: {app: tool}}, spec: {containers: [{name: app}]}}}
---
";

const HOST: &str = "host: api.payments.svc.cluster.local";

/// Rules as (namespace, name, spec), and which one decides for the clients shop/web, payments/api, istio-system/tool.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str, &'static str)],
    [&'static str; 3],
);

const CASES: &[Case] = &[
    ("none", &[], ["", "", ""]),
    (
        "of the service's namespace",
        &[("payments", "a", "HOST")],
        ["payments/a"; 3],
    ),
    (
        "short names are of the rule's namespace",
        &[("shop", "a", "host: api")],
        ["", "", ""],
    ),
    (
        "short name in the service's namespace",
        &[("payments", "a", "host: api")],
        ["payments/a"; 3],
    ),
    (
        "the client's namespace comes first",
        &[("payments", "a", "HOST"), ("shop", "b", "HOST")],
        ["shop/b", "payments/a", "payments/a"],
    ),
    (
        "a wildcard of the client's namespace hides an exact host elsewhere",
        &[("payments", "a", "HOST"), ("shop", "b", "host: '*.local'")],
        ["shop/b", "payments/a", "payments/a"],
    ),
    (
        "of the root namespace",
        &[("istio-system", "a", "host: '*.local'")],
        ["istio-system/a"; 3],
    ),
    (
        "the service's namespace comes before the root namespace",
        &[("istio-system", "a", "HOST"), ("payments", "b", "host: '*'")],
        ["payments/b"; 3],
    ),
    (
        "private",
        &[("payments", "a", "HOST, exportTo: ['.']")],
        ["", "payments/a", ""],
    ),
    (
        "private by its own name",
        &[("payments", "a", "HOST, exportTo: [payments]")],
        ["", "payments/a", ""],
    ),
    (
        "exported to one namespace, and not even its own",
        &[("payments", "a", "HOST, exportTo: [shop]")],
        ["payments/a", "", ""],
    ),
    (
        "exported to all but not seen as its own: `.` is not listed",
        &[("shop", "a", "HOST, exportTo: [payments]")],
        ["", "", ""],
    ),
    (
        "a client in the root namespace sees private rules there as its own",
        &[
            ("istio-system", "a", "HOST, exportTo: ['.']"),
            ("payments", "b", "HOST"),
        ],
        ["payments/b", "payments/b", "istio-system/a"],
    ),
    (
        "a client in the root namespace sees public rules there last",
        &[("istio-system", "a", "HOST"), ("payments", "b", "HOST")],
        ["payments/b"; 3],
    ),
    (
        "the most specific host is picked before exportTo is asked",
        &[
            ("payments", "a", "HOST, exportTo: [legacy, '.']"),
            ("payments", "b", "host: '*.local'"),
            ("istio-system", "c", "host: '*'"),
        ],
        ["istio-system/c", "payments/a", "istio-system/c"],
    ),
    (
        "exact before wildcard, longer wildcard before shorter",
        &[
            ("payments", "a", "host: '*.local'"),
            ("payments", "b", "host: '*.payments.svc.cluster.local'"),
        ],
        ["payments/b"; 3],
    ),
    (
        "the selector of a rule selects clients",
        &[(
            "shop",
            "a",
            "HOST, workloadSelector: {matchLabels: {tier: front}}",
        )],
        ["shop/a", "", ""],
    ),
    (
        "a selector that matches beats an older rule without",
        &[
            ("shop", "a", "HOST"),
            ("shop", "b", "HOST, workloadSelector: {matchLabels: {app: web}}"),
        ],
        ["shop/b", "", ""],
    ),
    (
        "a selector that does not match leaves the rule without",
        &[
            ("shop", "a", "HOST"),
            ("shop", "b", "HOST, workloadSelector: {matchLabels: {app: other}}"),
        ],
        ["shop/a", "", ""],
    ),
    (
        "rules with a selector are not exported",
        &[(
            "payments",
            "a",
            "HOST, exportTo: ['*'], workloadSelector: {matchLabels: {app: api}}",
        )],
        ["", "payments/a", ""],
    ),
    (
        "of rules that do not merge the last without selector counts",
        &[
            ("payments", "a", "HOST, exportTo: ['*']"),
            ("payments", "b", "HOST, exportTo: [shop]"),
        ],
        ["payments/b", "payments/a", "payments/a"],
    ),
];

#[test]
fn a_rule_is_sought_in_the_clients_then_the_services_then_the_root_namespace() {
    for (name, rules, expected) in CASES {
        let text: String = rules
            .iter()
            .map(|(ns, name, spec)| rule(ns, name, &spec.replace("HOST", HOST)))
            .collect();
        let topology = topology(&(ROOT_CLIENT.to_owned() + &text));
        let ours = ["shop/web", "payments/api", "istio-system/tool"]
            .map(|client| decides(&topology, client).unwrap_or_default());
        assert_eq!(ours, *expected, "{name}");
    }
}

#[test]
fn a_default_of_private_holds_only_for_rules_that_say_nothing() {
    let private = mesh_config("defaultDestinationRuleExportTo: [\".\"]");
    let silent = topology(&(private.clone() + &rule("payments", "a", HOST)));
    assert_eq!(decides(&silent, "shop/web"), None);
    let public = topology(&(private + &rule("payments", "a", &format!("{HOST}, exportTo: ['*']"))));
    assert_eq!(decides(&public, "shop/web").as_deref(), Some("payments/a"));
}

#[test]
fn rules_of_one_host_merge_subsets_and_take_the_first_policy_as_a_whole() {
    let text = [
        rule(
            "payments",
            "a",
            &format!("{HOST}, subsets: [{{name: v1, labels: {{version: v1}}}}]"),
        ),
        rule(
            "payments",
            "b",
            &format!(
                "{HOST}, trafficPolicy: {{tls: {{mode: SIMPLE}}}}, subsets: [{{name: v1, labels: {{version: v9}}}}, {{name: v2, labels: {{app: api}}}}]"
            ),
        ),
        rule(
            "payments",
            "c",
            &format!("{HOST}, trafficPolicy: {{tls: {{mode: DISABLE}}}}"),
        ),
    ];
    let topology = topology(&text.concat());
    let outbound = |subset| topology.outbound(&workload("shop/web"), "payments", "api", 80, subset);
    assert!(
        matches!(outbound(None).unwrap().tls, ClientTls::Fixed(_)),
        "the first policy there is"
    );
    assert_eq!(
        outbound(Some("v1")).unwrap().endpoints.len(),
        1,
        "the first subset of a name"
    );
    assert_eq!(outbound(Some("v2")).unwrap().endpoints.len(), 1);
    assert_eq!(outbound(Some("v3")), None);
    let objects: Vec<_> = outbound(None)
        .unwrap()
        .because
        .iter()
        .filter_map(|it| it.object.clone())
        .take(3)
        .collect();
    assert_eq!(
        objects,
        ["a", "b", "c"].map(|name| format!("DestinationRule/payments/{name}"))
    );
}

#[test]
fn merging_asks_for_export_to_from_1_24_on() {
    let text = [
        rule(
            "payments",
            "a",
            &format!("{HOST}, trafficPolicy: {{tls: {{mode: SIMPLE}}}}"),
        ),
        rule(
            "payments",
            "b",
            &format!("{HOST}, exportTo: [shop], trafficPolicy: {{tls: {{mode: DISABLE}}}}"),
        ),
    ]
    .concat();
    assert_eq!(
        decides(&of_release(23, &text), "shop/web").as_deref(),
        Some("payments/a")
    );
    assert_eq!(
        decides(&of_release(24, &text), "shop/web").as_deref(),
        Some("payments/b")
    );
}

#[test]
fn a_rule_with_selector_inherits_only_from_rules_exported_to_their_own_namespace() {
    let selecting = rule(
        "shop",
        "a",
        &format!("{HOST}, workloadSelector: {{matchLabels: {{app: web}}}}"),
    );
    let disables = |export_to: &str| {
        let spec = format!("{HOST}, trafficPolicy: {{tls: {{mode: DISABLE}}}}{export_to}");
        let topology = topology(&(selecting.clone() + &rule("shop", "b", &spec)));
        topology
            .outbound(&workload("shop/web"), "payments", "api", 80, None)
            .unwrap()
            .tls
            == ClientTls::Plaintext
    };
    assert!(!disables(""));
    assert!(!disables(", exportTo: ['*']"));
    assert!(disables(", exportTo: ['.']"));
    assert!(disables(", exportTo: ['.', payments]"));
}

/// The TLS of the server's HTTP and TCP port, in short.
fn tls_of(spec: &str, subset: Option<&str>) -> [String; 2] {
    let topology = topology(&rule("payments", "a", &format!("{HOST}, {spec}")));
    [80, 90].map(|port| {
        let outbound = topology
            .outbound(&workload("shop/web"), "payments", "api", port, subset)
            .unwrap();
        match outbound.tls {
            ClientTls::Plaintext => "plaintext".to_owned(),
            ClientTls::Auto(_) => "auto".to_owned(),
            ClientTls::Fixed(tls) => match tls.certificate {
                ClientCertificate::Workload => "mesh".to_owned(),
                ClientCertificate::None => format!("simple {:?}", tls.trust),
                ClientCertificate::Files { .. } => "mutual".to_owned(),
            },
        }
    })
}

#[test]
fn ports_stand_alone_and_subsets_override() {
    const SUBSET: &str = "subsets: [{name: s, labels: {app: api}";
    let cases: &[(&str, Option<&str>, [&str; 2])] = &[
        (
            "trafficPolicy: {tls: {mode: DISABLE}}",
            None,
            ["plaintext", "plaintext"],
        ),
        (
            "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]}",
            None,
            ["plaintext", "mesh"],
        ),
        (
            "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}, portLevelSettings: [{port: {number: 80}, connectionPool: {}}]}",
            None,
            ["auto", "mesh"],
        ),
        (
            "trafficPolicy: {portLevelSettings: [{port: {number: 8080}, tls: {mode: DISABLE}}]}",
            None,
            ["auto", "auto"],
        ),
        ("trafficPolicy: {tls: {}}", None, ["plaintext", "plaintext"]),
        (
            "trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}",
            None,
            ["simple Nobody", "simple Nobody"],
        ),
        (
            "trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /ca}}",
            None,
            ["simple File(\"/ca\")", "simple File(\"/ca\")"],
        ),
        (
            "trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k}}",
            None,
            ["mutual", "mutual"],
        ),
        (
            "trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: /c}}",
            None,
            ["plaintext", "plaintext"],
        ),
        (
            "trafficPolicy: {tls: {mode: MUTUAL, credentialName: x}}",
            None,
            ["plaintext", "plaintext"],
        ),
        (
            "trafficPolicy: {tls: {mode: SIMPLE, credentialName: x}}",
            None,
            ["plaintext", "plaintext"],
        ),
        (
            "trafficPolicy: {tls: {mode: DISABLE}}, SUBSET}]",
            Some("s"),
            ["plaintext", "plaintext"],
        ),
        (
            "trafficPolicy: {tls: {mode: DISABLE}}, SUBSET, trafficPolicy: {connectionPool: {}}}]",
            Some("s"),
            ["plaintext", "plaintext"],
        ),
        (
            "trafficPolicy: {tls: {mode: DISABLE}}, SUBSET, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]",
            Some("s"),
            ["mesh", "mesh"],
        ),
        (
            "trafficPolicy: {tls: {mode: DISABLE}}, SUBSET, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]",
            None,
            ["plaintext", "plaintext"],
        ),
        (
            "trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}, SUBSET, trafficPolicy: {portLevelSettings: [{port: {number: 80}, connectionPool: {}}]}}]",
            Some("s"),
            ["auto", "mesh"],
        ),
    ];
    for (spec, subset, expected) in cases {
        assert_eq!(
            tls_of(&spec.replace("SUBSET", SUBSET), *subset),
            *expected,
            "{spec} {subset:?}"
        );
    }
}

#[test]
fn passthrough_goes_to_the_address_dialled_and_skip_verify_trusts_anybody() {
    let topology = topology(&rule(
        "payments",
        "a",
        &format!(
            "{HOST}, trafficPolicy: {{loadBalancer: {{simple: PASSTHROUGH}}, connectionPool: {{tcp: {{connectTimeout: 2s}}}}}}"
        ),
    ));
    let outbound = topology
        .outbound(&workload("shop/web"), "payments", "api", 90, None)
        .unwrap();
    assert_eq!(outbound.discovery, Discovery::OriginalDst);
    assert_eq!(outbound.connect_timeout_ms, Some(2000));
    let ClientTls::Fixed(tls) = outbound.tls else {
        panic!("{:?}", outbound.tls)
    };
    assert_eq!((tls.trust, tls.alpn_override), (Trust::Mesh, false));
    assert_eq!(
        tls.sni.as_deref(),
        Some("outbound_.90_._.api.payments.svc.cluster.local")
    );
}
