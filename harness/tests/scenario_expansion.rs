//! What expectations stand for: which calls, under which ids.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use meshproof::istio::Topology;
use meshproof::mesh::Tier;
use meshproof::scenario::{Expectation, expand};
use meshproof::snapshot::Snapshot;

const MESH: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: payments, labels: {istio-injection: enabled}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle, namespace: shop}
spec:
  replicas: 0
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec: {containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: legacy, namespace: shop, labels: {app: legacy, sidecar.istio.io/inject: "false"}}
spec: {containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: payment, namespace: payments}
spec:
  replicas: 2
  serviceName: payment
  selector: {matchLabels: {app: payment}}
  template:
    metadata: {labels: {app: payment}}
    spec: {containers: [{name: app, image: app, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: payment, namespace: payments}
spec: {selector: {app: payment}, ports: [{name: http, port: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 8080}]}
"#;

fn topology() -> Topology {
    let mut snapshot = Snapshot::new("1.30.3".parse().unwrap());
    snapshot.add_yaml(MESH, "mesh.yaml").unwrap();
    Topology::new(&snapshot, None)
}

/// Ids of the calls that expectations, written as in a scenario, stand for; or the error.
fn ids(expectations: &str, tier: Tier) -> Vec<String> {
    let expectations: Vec<Expectation> = serde_saphyr::from_str(expectations).unwrap();
    match expand("s::p", &expectations, &topology(), Some(tier)) {
        Ok(calls) => calls.into_iter().map(|call| call.id).collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn every_form_of_an_expectation_stands_for_the_calls_it_says() {
    let table: &[(&str, &[&str])] = &[
        // A Service in the caller's namespace, in another one, and by its full name.
        (
            "from: legacy, to: 'cart:8080'",
            &["s::p::shop/legacy->shop/cart:8080"],
        ),
        (
            "from: legacy, to: 'cart.shop:8080'",
            &["s::p::shop/legacy->shop/cart:8080"],
        ),
        (
            "from: payment, to: 'cart.shop.svc:8080'",
            &["s::p::payments/payment->shop/cart:8080"],
        ),
        (
            "from: payments/payment, to: 'cart.shop.svc.cluster.local:8080'",
            &["s::p::payments/payment->shop/cart:8080"],
        ),
        // One row per endpoint.
        (
            "from: cart, to: 'payment.payments:8080'",
            &[
                "s::p::shop/cart->payments/payment:8080@payment-0",
                "s::p::shop/cart->payments/payment:8080@payment-1",
            ],
        ),
        // Lists on both sides.
        (
            "from: [cart, legacy], to: ['cart:8080', 'example.com:443']",
            &[
                "s::p::shop/cart->shop/cart:8080",
                "s::p::shop/legacy->shop/cart:8080",
                "s::p::shop/cart->example.com:443",
                "s::p::shop/legacy->example.com:443",
            ],
        ),
        // `*` leaves out those who would call themselves, and those without pods.
        (
            "from: '*', to: 'cart.shop:8080'",
            &[
                "s::p::payments/payment->shop/cart:8080",
                "s::p::shop/legacy->shop/cart:8080",
            ],
        ),
        (
            "from: cart, to: '*:8080'",
            &[
                "s::p::shop/cart->payments/payment:8080@payment-0",
                "s::p::shop/cart->payments/payment:8080@payment-1",
            ],
        ),
        // Pods, all or one.
        (
            "from: cart, to: 'pod/payments/payment:7777'",
            &[
                "s::p::shop/cart->pod/payments/payment-0:7777",
                "s::p::shop/cart->pod/payments/payment-1:7777",
            ],
        ),
        (
            "from: cart, to: 'pod/payments/payment-1:7777'",
            &["s::p::shop/cart->pod/payments/payment-1:7777"],
        ),
        // What is not default.
        (
            "from: cart, to: 'pod/shop/legacy:8080', call: raw-tls, payload: tcp, alpn: [h2, istio]",
            &["s::p::shop/cart->pod/shop/legacy-0:8080#raw-tls,tcp,alpn=h2,alpn=istio"],
        ),
        (
            "from: legacy, to: 'cart:8080', subset: v1",
            &["s::p::shop/legacy->shop/cart:8080#subset=v1"],
        ),
        // A name that does not exist may be called where that is expected to fail.
        (
            "from: cart, to: 'ghost:80', outcome: no-route",
            &["s::p::shop/cart->ghost:80"],
        ),
        (
            "from: cart, to: 'ghost:80'",
            &["no Service `ghost` in namespace `shop`"],
        ),
        // Releases and tiers.
        (
            "from: cart, to: 'cart:8080', when: {client: '>=1.30', tier: local}",
            &["s::p::shop/cart->shop/cart:8080"],
        ),
        ("from: cart, to: 'cart:8080', when: {server: '<1.30'}", &[]),
        ("from: legacy, to: 'cart:8080', when: {client: '>=1.0'}", &[]),
        ("from: cart, to: 'cart:8080', when: {tier: [kind, cluster]}", &[]),
        // Nobody can call from no pod.
        (
            "from: idle, to: 'cart:8080'",
            &["workload `shop/idle` has no pod to call from"],
        ),
    ];
    for (expectation, expected) in table {
        let outcome = if expectation.contains("outcome") {
            ""
        } else {
            ", outcome: mtls"
        };
        assert_eq!(
            ids(&format!("- {{{expectation}{outcome}}}"), Tier::Local),
            *expected,
            "{expectation}"
        );
    }
}

#[test]
fn a_call_may_be_expected_twice_only_where_one_of_them_does_not_apply() {
    let on =
        |tier: &str| format!("- {{from: legacy, to: 'cart:8080', outcome: mtls, when: {{tier: {tier}}}}}\n");
    let both = format!("{}{}", on("local"), on("kind"));
    assert_eq!(ids(&both, Tier::Kind), ["s::p::shop/legacy->shop/cart:8080"]);
    let twice = format!("{}{}", on("local"), on("local"));
    assert_eq!(
        ids(&twice, Tier::Local),
        ["`s::p::shop/legacy->shop/cart:8080` is expected twice"]
    );
}

#[test]
fn ids_are_plain_ascii() {
    for id in ids(
        "- {from: '*', to: ['*:8080', '*:9000'], outcome: mtls}",
        Tier::Local,
    ) {
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    }
}
