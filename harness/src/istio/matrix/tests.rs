//! Groups change nothing: every call of random meshes, predicted alone, is what its group says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use semver::Version;

use super::{CallShape, Decider, Matrix, Verdict, differences, joint, predict_all};
use crate::call::{CallKind, Payload, WorkloadName};
use crate::fault::{Conditions, Obstacle, TlsLimits, TlsVersion};
use crate::istio::{RuleId, Topology, predict};
use crate::outcome::Side;
use crate::pki::{Credentials, LeafKey, Revocation, RootName, Validity, WorkloadCredentials};
use crate::snapshot::Snapshot;

const NAMESPACES: [&str; 4] = ["shop", "shop", "shop", "payments"];
const MODES: [&str; 4] = ["STRICT", "PERMISSIVE", "DISABLE", "UNSET"];
const TLS: [&str; 6] = [
    "tls: {mode: DISABLE}",
    "tls: {mode: ISTIO_MUTUAL}",
    "tls: {mode: SIMPLE}",
    "tls: {mode: ISTIO_MUTUAL, subjectAltNames: ['spiffe://cluster.local/ns/shop/sa/w1']}",
    "loadBalancer: {simple: PASSTHROUGH}",
    "portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}], tls: {mode: ISTIO_MUTUAL}",
];

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(words)
}

/// A workload and its Service. Most are alike, and most others differ in one thing only: so a difference that no key
/// knows of falls into a group where it shows.
#[derive(Clone, Debug)]
struct Pair {
    namespace: &'static str,
    label: &'static str,
    replicas: u8,
    container_ports: &'static str,
    shape: &'static str,
    selector: &'static str,
    ports: &'static str,
}

fn pair() -> impl Strategy<Value = Pair> {
    let usual = Pair {
        namespace: "shop",
        label: "version: v1",
        replicas: 1,
        container_ports: "",
        shape: "",
        selector: "",
        ports: "[{name: http, port: 80, targetPort: 8080}]",
    };
    let u = || usual.clone();
    let mut variants = vec![u(), u(), u()];
    for label in [
        "version: v2",
        "sidecar.istio.io/inject: 'false'",
        "security.istio.io/tlsMode: disabled",
        "security.istio.io/tlsMode: istio, sidecar.istio.io/inject: 'false'",
        "istio: ingressgateway",
    ] {
        variants.push(Pair { label, ..u() });
    }
    for container_ports in [
        "ports: [{containerPort: 8080, name: web}]",
        "ports: [{containerPort: 9999}]",
    ] {
        variants.push(Pair {
            container_ports,
            ..u()
        });
    }
    for shape in [
        "clusterIP: None,",
        "type: ExternalName, externalName: example.com,",
    ] {
        variants.push(Pair { shape, ..u() });
    }
    for selector in ["{version: v1}", "{version: v2}", "{}"] {
        variants.push(Pair { selector, ..u() });
    }
    for ports in [
        "[{name: http, port: 81, targetPort: 8080}]",
        "[{name: http, port: 80, targetPort: 8081}]",
        "[{name: tcp, port: 80, targetPort: 8080}, {name: db, port: 3306}]",
        "[{name: web, port: 80, targetPort: web}]",
        "[{name: grpc, port: 80, targetPort: 8080}]",
        "[{name: auto, port: 80, targetPort: 8080}]",
    ] {
        variants.push(Pair { ports, ..u() });
    }
    variants.push(Pair { replicas: 0, ..u() });
    let tcp = "[{name: tcp, port: 80, targetPort: 8080}]";
    for (shape, selector, ports) in [
        ("", "{version: v1}", tcp),
        ("clusterIP: None,", "", tcp),
        ("clusterIP: None,", "{version: v1}", tcp),
    ] {
        variants.push(Pair {
            shape,
            selector,
            ports,
            ..u()
        });
    }
    variants.extend([
        Pair {
            namespace: "payments",
            ..u()
        },
        Pair {
            namespace: "payments",
            ..u()
        },
        Pair {
            namespace: "legacy",
            ..u()
        },
    ]);
    proptest::sample::select(variants)
}

impl Pair {
    fn text(&self, number: usize) -> String {
        let Self {
            namespace,
            label,
            replicas,
            container_ports,
            shape,
            ports,
            ..
        } = self;
        let selector = match self.selector {
            "" => format!("{{app: w{number}}}"),
            selector => selector.to_owned(),
        };
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w{number}, namespace: {namespace}}}\nspec: {{replicas: {replicas}, template: {{metadata: {{labels: {{app: w{number}, {label}}}}}, spec: {{serviceAccountName: w{number}, containers: [{{name: app, {container_ports}}}]}}}}}}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: {namespace}}}\nspec: {{{shape} selector: {selector}, ports: {ports}}}\n---\n"
        )
    }
}

fn peer_authentication() -> impl Strategy<Value = String> {
    let namespaces = one_of(&["shop", "payments", "legacy", "istio-system"]);
    let selectors = one_of(&[
        "",
        "",
        "selector: {matchLabels: {app: w1}},",
        "selector: {matchLabels: {version: v2}},",
    ]);
    (namespaces, 0..3_u8, selectors, one_of(&MODES), proptest::option::of(one_of(&MODES))).prop_map(
        |(namespace, number, selector, mode, port)| {
            let ports = port.map(|mode| format!(", portLevelMtls: {{8080: {{mode: {mode}}}}}")).unwrap_or_default();
            format!(
                "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: p{number}, namespace: {namespace}}}\nspec: {{{selector} mtls: {{mode: {mode}}}{ports}}}\n---\n"
            )
        },
    )
}

fn destination_rule() -> impl Strategy<Value = String> {
    let hosts = one_of(&[
        "s0",
        "s1.payments.svc.cluster.local",
        "'*.payments.svc.cluster.local'",
        "'*.local'",
        "'*'",
    ]);
    let scopes = one_of(&[
        "",
        "",
        "exportTo: ['.'],",
        "exportTo: [payments],",
        "workloadSelector: {matchLabels: {version: v1}},",
        "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {tls: {mode: DISABLE}}}],",
    ]);
    let namespaces = one_of(&["shop", "payments", "istio-system"]);
    (namespaces, 0..4_u8, hosts, scopes, one_of(&TLS)).prop_map(|(namespace, number, host, scope, tls)| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d{number}, namespace: {namespace}}}\nspec: {{host: {host}, {scope} trafficPolicy: {{{tls}}}}}\n---\n"
        )
    })
}

fn other() -> impl Strategy<Value = String> {
    let documents = [
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: shop}\nspec: {hosts: [s0.payments.svc.cluster.local], http: [{route: [{destination: {host: s1.payments.svc.cluster.local, subset: v1}}]}]}\n---\n",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: w, namespace: payments}\nspec: {hosts: ['*.shop.svc.cluster.local'], tcp: [{route: [{destination: {host: s0}}]}], http: [{match: [{}]}]}\n---\n",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: shop}\nspec: {workloadSelector: {labels: {version: v1}}}\n---\n",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec: {selector: {matchLabels: {version: v2}}}\n---\n",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: shop}\nspec: {hosts: [s1.shop.svc.cluster.local]}\n---\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: '{trustDomainAliases: [old], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}'}\n---\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'enableAutoMtls: false'}\n---\n",
    ];
    proptest::sample::select(documents.map(str::to_owned).to_vec())
}

prop_compose! {
    fn mesh()(
        pairs in prop::collection::vec(pair(), 3..8),
        policies in prop::collection::vec(peer_authentication(), 0..4),
        rules in prop::collection::vec(destination_rule(), 0..4),
        others in prop::collection::vec(other(), 0..3),
    ) -> String {
        let injected = |name: &str| format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{istio-injection: enabled}}}}\n---\n"
        );
        let pairs = pairs.iter().enumerate().map(|(number, pair)| pair.text(number)).collect();
        [vec![injected("shop"), injected("payments")], pairs, policies, rules, others].concat().concat()
    }
}

/// Faults of the workloads with these names.
fn conditions() -> impl Strategy<Value = Vec<(&'static str, u8, u8)>> {
    prop::collection::vec((one_of(&NAMESPACES), 0..4_u8, 0..14_u8), 0..4)
}

fn shape() -> impl Strategy<Value = CallShape> {
    let kinds = [
        CallKind::App,
        CallKind::App,
        CallKind::App,
        CallKind::RawPlaintext,
        CallKind::RawTls,
        CallKind::RawMtls,
    ];
    let payloads = [Payload::Http, Payload::Http, Payload::Tcp];
    let subsets = [None, None, Some("v1".to_owned())];
    (
        proptest::sample::select(kinds.to_vec()),
        proptest::sample::select(payloads.to_vec()),
        proptest::sample::select(subsets.to_vec()),
    )
        .prop_map(|(kind, payload, subset)| CallShape {
            subset: subset.filter(|_| kind == CallKind::App),
            kind,
            payload,
            alpn: Vec::new(),
        })
}

fn topology_of(text: &str) -> Topology {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    snapshot.add_yaml(text, "mesh.yaml").unwrap();
    Topology::new(&snapshot, None)
}

fn broken(topology: &Topology, faults: &[(&str, u8, u8)]) -> Conditions {
    let credentials = faults.iter().filter_map(|(namespace, number, fault)| {
        let name = WorkloadName::new(*namespace, format!("w{number}"));
        let mut held = WorkloadCredentials::healthy(topology.identity(&name)?);
        match fault {
            0 => held.leaf = Validity::Expired,
            1 => held.identity.push('.'),
            2 => held.issuer = RootName("other".to_owned()),
            3 => held.bundle = Vec::new(),
            4 => held.identity = "spiffe://elsewhere/ns/shop/sa/w1".to_owned(),
            5 => held.usage.client_auth = false,
            6 => (held.key, held.usage.digital_signature) = (LeafKey::Rsa2048, false),
            7 => (held.revoked, held.revocation) = (true, Revocation::Current),
            8 => held.supply.certificate = false,
            9 => held.serves_intermediate = false,
            _ => held.generation = 1,
        }
        Some((name, held))
    });
    let named = |kind: u8| {
        let faults = faults.iter().filter(move |(.., fault)| *fault == kind);
        faults.map(|(namespace, number, _)| WorkloadName::new(*namespace, format!("w{number}")))
    };
    let old = TlsLimits {
        max_version: Some(TlsVersion::V1_2),
        ..TlsLimits::default()
    };
    let new = TlsLimits {
        min_version: Some(TlsVersion::V1_3),
        ..TlsLimits::default()
    };
    let limits = named(10).map(|name| (name, [(Side::Client, old.clone())].into()));
    let limits = limits.chain(named(11).map(|name| (name, [(Side::Server, new.clone())].into())));
    Conditions {
        tls_limits: limits.collect(),
        obstacles: named(12)
            .map(|name| (name, [(None, Obstacle::BlackHole)].into()))
            .collect(),
        credentials: Credentials {
            workloads: credentials.collect(),
            roots: BTreeMap::new(),
        },
        killed: named(13).collect(),
        ..Conditions::default()
    }
}

fn alone(
    topology: &Topology,
    conditions: &Conditions,
    matrix: &Matrix,
    caller: usize,
    column: usize,
) -> Verdict {
    let call = matrix.call(caller, column);
    Verdict::new(topology, &call, predict(topology, conditions, &call))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None,
        // The same meshes on every machine, every time.
        rng_seed: RngSeed::Fixed(20_261_122), ..ProptestConfig::with_cases(250) })]

    #[test]
    fn a_call_predicted_alone_is_what_its_group_says(text in mesh(), faults in conditions(), shape in shape()) {
        let topology = topology_of(&text);
        let conditions = broken(&topology, &faults);
        let matrix = predict_all(&topology, &conditions, &shape);
        for caller in 0..matrix.callers().len() {
            for column in 0..matrix.columns().len() {
                let grouped = &matrix.verdicts()[matrix.verdict_index(caller, column)];
                let single = alone(&topology, &conditions, &matrix, caller, column);
                prop_assert_eq!(grouped, &single, "{:?}", matrix.call(caller, column));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_122), ..ProptestConfig::with_cases(100) })]

    #[test]
    fn two_matrices_held_together_have_every_call_once(text in mesh()) {
        let of = |minor| {
            let mut snapshot = Snapshot::new(Version::new(1, minor, 0));
            snapshot.add_yaml(&text, "mesh.yaml").unwrap();
            predict_all(&Topology::new(&snapshot, None), &Conditions::default(), &CallShape::default())
        };
        let (one, other) = (of(23), of(31));
        let mut counted: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for cell in one.cells() {
            let of = |matrix: &Matrix| matrix.verdict_index(cell.caller, cell.column);
            *counted.entry((of(&one), of(&other))).or_default() += 1;
        }
        let found: BTreeMap<_, _> = joint(&one, &other).into_iter().map(|it| (it.verdicts, it.calls)).collect();
        prop_assert_eq!(found, counted);
    }
}

/// A mesh of like workloads, `count` of them, each with a Service and an account of its own.
fn uniform(count: usize) -> String {
    let namespace =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---\n"
            .to_owned();
    let pair = |n: usize| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w{n}, namespace: shop}}\nspec: {{template: {{metadata: {{labels: {{app: w{n}}}}}, spec: {{serviceAccountName: w{n}, containers: [{{name: app}}]}}}}}}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: w{n}, namespace: shop}}\nspec: {{selector: {{app: w{n}}}, ports: [{{name: http, port: 80}}]}}\n---\n"
        )
    };
    (0..count).fold(namespace, |text, n| text + &pair(n))
}

#[test]
fn like_workloads_are_one_group_whatever_their_names_and_accounts() {
    let topology = topology_of(&uniform(5));
    let matrix = predict_all(&topology, &Conditions::default(), &CallShape::default());
    assert_eq!((matrix.callers().len(), matrix.columns().len()), (5, 5));
    assert_eq!(matrix.group_count(), (1, 1));
    assert_eq!(matrix.cells().count(), 20);
}

#[test]
fn a_rule_that_names_a_host_sets_it_apart() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: shop}\nspec: {host: w3, trafficPolicy: {tls: {mode: DISABLE}}}\n---\n";
    let topology = topology_of(&(uniform(5) + rule));
    let matrix = predict_all(&topology, &Conditions::default(), &CallShape::default());
    assert_eq!(matrix.group_count(), (1, 2));
    let to_named = &matrix.verdicts()[matrix.verdict_index(0, 3)];
    let deciders: Vec<_> = to_named
        .because
        .iter()
        .map(|step| (step.rule, step.by.clone()))
        .collect();
    let object = Decider::Object("DestinationRule/shop/d".to_owned());
    assert_eq!(
        deciders,
        [
            (RuleId::DestinationRuleClientNamespace, object.clone()),
            (RuleId::DestinationRuleTrafficPolicy, object),
            (RuleId::InboundDeclaredPort, Decider::Service),
            (RuleId::PeerAuthenticationDefault, Decider::Default),
        ]
    );
}

/// The calls whose outcome changes between two minor releases: caller, destination, and both outcomes.
fn changes(text: &str, minors: [u64; 2], shape: &CallShape) -> Vec<String> {
    let [one, other] = minors.map(|minor| {
        let mut snapshot = Snapshot::new(Version::new(1, minor, 0));
        snapshot.add_yaml(text, "mesh.yaml").unwrap();
        predict_all(&Topology::new(&snapshot, None), &Conditions::default(), shape)
    });
    let differing = differences(&one, &other);
    let outcome =
        |matrix: &Matrix, (caller, column)| matrix.verdicts()[matrix.verdict_index(caller, column)].outcome();
    differing
        .into_iter()
        .map(|cell| {
            let (from, to) = (&one.callers()[cell.0], &one.columns()[cell.1]);
            format!(
                "{from} -> {to}: {}, then {}",
                outcome(&one, cell),
                outcome(&other, cell)
            )
        })
        .collect()
}

const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n---\n";

#[test]
fn from_1_31_a_subset_takes_the_rules_tls_when_endpoints_are_marked() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: shop}\nspec: {host: w1, subsets: [{name: all}], trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}}\n---\n";
    let mesh = uniform(2) + STRICT + rule;
    let subset = CallShape {
        subset: Some("all".to_owned()),
        ..CallShape::default()
    };
    assert_eq!(
        changes(&mesh, [30, 31], &subset),
        ["shop/w0 -> shop/w1:80: mtls, then plaintext-to-strict by server"]
    );
    assert!(changes(&mesh, [30, 31], &CallShape::default()).is_empty());
    assert!(changes(&mesh, [29, 30], &subset).is_empty());
}

#[test]
fn from_1_24_rules_that_are_exported_to_others_are_not_merged() {
    let rule = |name: &str, export: &str, policy: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{host: w0, exportTo: [{export}]{policy}}}\n---\n"
        )
    };
    let client = "apiVersion: v1\nkind: Pod\nmetadata: {name: client, namespace: front, labels: {sidecar.istio.io/inject: 'true'}}\nspec: {containers: [{name: app}]}\n---\n";
    let disable = ", trafficPolicy: {tls: {mode: DISABLE}}";
    let mesh = uniform(1) + STRICT + client + &rule("a", "front", "") + &rule("b", "back", disable);
    assert_eq!(
        changes(&mesh, [23, 24], &CallShape::default()),
        ["front/client -> shop/w0:80: plaintext-to-strict by server, then mtls"]
    );
    assert!(changes(&mesh, [24, 30], &CallShape::default()).is_empty());
}
