//! Cases of ep_filters_test.go (`mtlsCases`) and cluster_tls_test.go (istio/istio@1.30.3).

use super::{
    destination_rule as rule, mesh_config, of_release, peer_authentication as policy, topology, workload,
};
use crate::istio::Topology;
use crate::istio::policy::ClientTls;

/// How a call to a service port leaves the client: the cluster's TLS and whether the endpoint is marked.
fn leaves(topology: &Topology, service: &str, port: u16, subset: Option<&str>) -> (&'static str, bool) {
    let (namespace, name) = service.split_once('/').unwrap();
    let outbound = topology
        .outbound(&workload("shop/web"), namespace, name, port, subset)
        .unwrap();
    let cluster = match outbound.tls {
        ClientTls::Plaintext => "plaintext",
        ClientTls::Auto(_) => "auto",
        ClientTls::Fixed(_) => "fixed",
    };
    (cluster, outbound.endpoints.iter().all(|it| it.tls_mode))
}

const API: &str = "selector: {matchLabels: {app: api}}";
const HOST: &str = "host: api.payments.svc.cluster.local";

#[test]
fn each_endpoint_gets_what_its_server_accepts() {
    let cases: [(&str, String, &str, u16, _); 17] = [
        ("sidecar", String::new(), "payments/api", 80, ("auto", true)),
        ("no sidecar", String::new(), "legacy/old", 80, ("auto", false)),
        ("strict", policy("payments", "a", "mtls: {mode: STRICT}"), "payments/api", 80, ("auto", true)),
        ("namespace disable", policy("payments", "a", "mtls: {mode: DISABLE}"), "payments/api", 80, ("plaintext", false)),
        ("mesh disable", policy("istio-system", "a", "mtls: {mode: DISABLE}"), "payments/api", 80, ("plaintext", false)),
        ("workload disable", policy("payments", "a", &format!("{API}, mtls: {{mode: DISABLE}}")), "payments/api", 80, ("auto", false)),
        ("port disable", policy("payments", "a", &format!("{API}, portLevelMtls: {{8080: {{mode: DISABLE}}}}")), "payments/api", 80, ("auto", false)),
        ("other port disable", policy("payments", "a", &format!("{API}, portLevelMtls: {{8080: {{mode: DISABLE}}}}")), "payments/api", 90, ("auto", true)),
        (
            "the trap: namespace disable, workload strict",
            policy("payments", "a", "mtls: {mode: DISABLE}") + &policy("payments", "b", &format!("{API}, mtls: {{mode: STRICT}}")),
            "payments/api",
            80,
            ("plaintext", true),
        ),
        ("automatic mTLS off", mesh_config("enableAutoMtls: false"), "payments/api", 80, ("plaintext", true)),
        ("a rule's ISTIO_MUTUAL, whatever the server says", policy("payments", "a", "mtls: {mode: DISABLE}") + &rule("payments", "r", &format!("{HOST}, trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL}}}}")), "payments/api", 80, ("fixed", true)),
        ("a rule's DISABLE", rule("payments", "r", &format!("{HOST}, trafficPolicy: {{tls: {{mode: DISABLE}}}}")), "payments/api", 80, ("plaintext", false)),
        ("a port entry without tls makes the cluster automatic and the endpoint go by the top level", rule("payments", "r", &format!("{HOST}, trafficPolicy: {{tls: {{mode: SIMPLE}}, portLevelSettings: [{{port: {{number: 80}}, connectionPool: {{}}}}]}}")), "payments/api", 80, ("auto", false)),
        ("headless, all with sidecar", String::new(), "payments/api-headless", 9100, ("fixed", true)),
        ("headless ignores the workload's DISABLE", policy("payments", "a", &format!("{API}, mtls: {{mode: DISABLE}}")), "payments/api-headless", 9100, ("fixed", false)),
        ("headless, namespace disable", policy("payments", "a", "mtls: {mode: DISABLE}"), "payments/api-headless", 9100, ("plaintext", false)),
        (
            "headless, one without sidecar",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: bare, namespace: payments, labels: {app: api, sidecar.istio.io/inject: 'false'}}\nspec: {containers: []}\n".to_owned(),
            "payments/api-headless",
            9100,
            ("plaintext", false),
        ),
    ];
    for (name, objects, service, port, expected) in cases {
        assert_eq!(
            leaves(&topology(&objects), service, port, None),
            expected,
            "{name}"
        );
    }
}

#[test]
fn a_subset_falls_back_to_the_rules_tls_from_1_31_on() {
    let text = rule(
        "payments",
        "r",
        &format!(
            "{HOST}, trafficPolicy: {{tls: {{mode: DISABLE}}}}, subsets: [{{name: s, labels: {{app: api}}}}]"
        ),
    );
    assert_eq!(
        leaves(&of_release(30, &text), "payments/api", 80, Some("s")),
        ("plaintext", true)
    );
    assert_eq!(
        leaves(&of_release(31, &text), "payments/api", 80, Some("s")),
        ("plaintext", false)
    );
}

#[test]
fn names_are_those_of_all_endpoints_and_annotations_in_every_trust_domain() {
    let objects = mesh_config("trustDomain: corp, trustDomainAliases: [old]").replace("corp, ", "corp\n\n  ")
        + "
apiVersion: apps/v1
kind: Deployment
metadata: {name: second, namespace: payments}
spec: {template: {metadata: {labels: {app: api}}, spec: {serviceAccountName: second, containers: []}}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: payments, annotations: {alpha.istio.io/kubernetes-serviceaccounts: 'extra'}}
spec: {selector: {app: api}, ports: [{name: http, port: 80}]}
";
    let topology = topology(&objects);
    let accounts = ["api", "extra", "second"];
    let expected: Vec<String> = ["corp", "old"]
        .iter()
        .flat_map(|domain| accounts.map(|account| format!("spiffe://{domain}/ns/payments/sa/{account}")))
        .collect();
    assert_eq!(
        topology.services[&("payments".to_owned(), "api".to_owned())].identities,
        expected
    );
    assert_eq!(topology.trust_domains(), ["corp", "old"]);
    assert_eq!(
        topology.identity(&workload("payments/api")).as_deref(),
        Some("spiffe://corp/ns/payments/sa/api")
    );
}
