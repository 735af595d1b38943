//! Cases of policy_applier_test.go and authentication_test.go (istio/istio@1.30.3).

use super::{peer_authentication as policy, topology, workload};
use crate::istio::policy::MtlsMode::{self, Disable, Permissive, Strict};

/// Policies as (namespace, name, spec), and the modes of the pod ports 8080 and 9000 and of any other.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str, &'static str)],
    [MtlsMode; 3],
);

const SELECTS: &str = "selector: {matchLabels: {app: api}}";

const CASES: &[Case] = &[
    ("no policy", &[], [Permissive; 3]),
    (
        "mesh",
        &[("istio-system", "a", "mtls: {mode: STRICT}")],
        [Strict; 3],
    ),
    (
        "mesh, empty selector",
        &[(
            "istio-system",
            "a",
            "selector: {matchLabels: {}}, mtls: {mode: STRICT}",
        )],
        [Strict; 3],
    ),
    (
        "mesh, mode unset",
        &[("istio-system", "a", "mtls: {mode: UNSET}")],
        [Permissive; 3],
    ),
    ("mesh, no mtls", &[("istio-system", "a", "")], [Permissive; 3]),
    (
        "a policy with a selector in the root namespace is ignored",
        &[("istio-system", "a", "SELECTS, mtls: {mode: STRICT}")],
        [Permissive; 3],
    ),
    (
        "namespace overrides mesh",
        &[
            ("istio-system", "a", "mtls: {mode: STRICT}"),
            ("payments", "b", "mtls: {mode: DISABLE}"),
        ],
        [Disable; 3],
    ),
    (
        "namespace without mode inherits the mesh's",
        &[
            ("istio-system", "a", "mtls: {mode: STRICT}"),
            ("payments", "b", "mtls: {}"),
        ],
        [Strict; 3],
    ),
    (
        "policies of other namespaces do not count",
        &[("shop", "a", "mtls: {mode: STRICT}")],
        [Permissive; 3],
    ),
    (
        "workload overrides namespace, also to something weaker",
        &[
            ("payments", "a", "mtls: {mode: STRICT}"),
            ("payments", "b", "SELECTS, mtls: {mode: DISABLE}"),
        ],
        [Disable; 3],
    ),
    (
        "workload without mode inherits the namespace's",
        &[
            ("payments", "a", "mtls: {mode: STRICT}"),
            ("payments", "b", "SELECTS, mtls: {mode: UNSET}"),
        ],
        [Strict; 3],
    ),
    (
        "a selector that does not match is no candidate",
        &[(
            "payments",
            "a",
            "selector: {matchLabels: {app: api, version: v2}}, mtls: {mode: STRICT}",
        )],
        [Permissive; 3],
    ),
    (
        "the oldest of a class wins, however specific the others",
        &[
            ("payments", "z", "SELECTS, mtls: {mode: STRICT}"),
            (
                "payments",
                "a",
                "selector: {matchLabels: {app: api, version: v1}}, mtls: {mode: DISABLE}",
            ),
        ],
        [Strict; 3],
    ),
    (
        "the younger of a class adds nothing, not even ports",
        &[
            ("payments", "z", "SELECTS"),
            (
                "payments",
                "a",
                "SELECTS, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}",
            ),
        ],
        [Permissive; 3],
    ),
    (
        "the oldest of the mesh wins",
        &[
            ("istio-system", "z", "mtls: {mode: STRICT}"),
            ("istio-system", "a", "mtls: {mode: DISABLE}"),
        ],
        [Strict; 3],
    ),
    (
        "port level",
        &[(
            "payments",
            "a",
            "SELECTS, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}, 9000: {mode: PERMISSIVE}}",
        )],
        [Disable, Permissive, Strict],
    ),
    (
        "port level unset inherits the workload's",
        &[(
            "payments",
            "a",
            "SELECTS, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: UNSET}, 9000: {}}",
        )],
        [Strict; 3],
    ),
    (
        "port level alone leaves other ports to the wider policy",
        &[
            ("istio-system", "a", "mtls: {mode: STRICT}"),
            ("payments", "b", "SELECTS, portLevelMtls: {8080: {mode: DISABLE}}"),
        ],
        [Disable, Strict, Strict],
    ),
    (
        "port level is by pod port, not by service port",
        &[("payments", "a", "SELECTS, portLevelMtls: {80: {mode: STRICT}}")],
        [Permissive; 3],
    ),
    (
        "port level without selector is ignored",
        &[(
            "payments",
            "a",
            "mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}",
        )],
        [Strict; 3],
    ),
];

#[test]
fn modes_compose_from_mesh_to_namespace_to_workload_to_port() {
    for (name, policies, expected) in CASES {
        let text: String = policies
            .iter()
            .map(|(ns, name, spec)| policy(ns, name, &spec.replace("SELECTS", SELECTS)))
            .collect();
        let topology = topology(&text);
        let mode = |port| topology.inbound(&workload("payments/api"), port).unwrap().mode;
        assert_eq!([mode(8080), mode(9000), mode(4242)], *expected, "{name}");
    }
}

#[test]
fn a_creation_timestamp_decides_before_the_order_of_application() {
    let dated = |name: &str, mode: &str, day: u8| {
        policy("payments", name, &format!("mtls: {{mode: {mode}}}")).replace(
            "namespace: payments",
            &format!("namespace: payments, creationTimestamp: '2026-01-0{day}T00:00:00Z'"),
        )
    };
    let mode = |text: String| {
        topology(&text)
            .inbound(&workload("payments/api"), 8080)
            .unwrap()
            .mode
    };
    assert_eq!(
        mode([dated("a", "DISABLE", 2), dated("b", "STRICT", 1)].concat()),
        Strict
    );
    assert_eq!(
        mode([dated("b", "STRICT", 1), dated("a", "DISABLE", 1)].concat()),
        Disable,
        "equal ages go by name"
    );
}

#[test]
fn what_is_ignored_or_refused_is_a_finding_with_its_line() {
    let text = [
        policy(
            "istio-system",
            "root-selector",
            "selector: {matchLabels: {app: api}}, mtls: {mode: STRICT}",
        ),
        policy("payments", "first", "mtls: {mode: STRICT}"),
        policy(
            "payments",
            "second",
            "mtls: {mode: DISABLE}, portLevelMtls: {8080: {mode: STRICT}}",
        ),
        policy(
            "payments",
            "nobody",
            "selector: {matchLabels: {app: none}}, portLevelMtls: {}",
        ),
        super::destination_rule(
            "shop",
            "lost",
            "host: nowhere, exportTo: ['*', shop], trafficPolicy: {portLevelSettings: [{port: {number: 80}}]}",
        ),
        super::destination_rule(
            "payments",
            "empty",
            "host: api, subsets: [{name: v9, labels: {version: v9}}]",
        ),
    ];
    let findings: Vec<String> = topology(&text.concat())
        .findings()
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(findings.join("\n"));
}
