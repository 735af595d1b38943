//! Which group of chains answers for a port, and how it is treated.

use super::{peer_authentication as policy, topology, workload};
use crate::istio::policy::{InboundGroup, ListenerClass, MtlsMode};

fn group(objects: &str, port: u16) -> (String, ListenerClass, MtlsMode) {
    let inbound = topology(objects)
        .inbound(&workload("payments/api"), port)
        .unwrap();
    let group = match inbound.group {
        InboundGroup::Declared { service, .. } => service,
        InboundGroup::PortLevel => "port-level".to_owned(),
        InboundGroup::CatchAll => "catch-all".to_owned(),
    };
    (group, inbound.class, inbound.mode)
}

#[test]
fn a_port_belongs_to_the_service_that_declares_it_else_to_its_policy_else_to_the_catch_all() {
    let ports = policy(
        "payments",
        "a",
        "selector: {matchLabels: {app: api}}, mtls: {mode: STRICT}, portLevelMtls: {4242: {mode: DISABLE}, 8080: {mode: PERMISSIVE}}",
    );
    let api = "api.payments.svc.cluster.local".to_owned();
    assert_eq!(
        group(&ports, 8080),
        (api.clone(), ListenerClass::Http, MtlsMode::Permissive)
    );
    assert_eq!(
        group(&ports, 9000),
        (api.clone(), ListenerClass::Tcp, MtlsMode::Strict)
    );
    assert_eq!(group(&ports, 7000), (api, ListenerClass::Auto, MtlsMode::Strict));
    assert_eq!(
        group(&ports, 4242),
        ("port-level".to_owned(), ListenerClass::Auto, MtlsMode::Disable)
    );
    assert_eq!(
        group(&ports, 80),
        ("catch-all".to_owned(), ListenerClass::Auto, MtlsMode::Strict)
    );
}

#[test]
fn the_oldest_service_decides_how_a_pod_port_is_treated() {
    let younger = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: payments}\nspec: {selector: {app: api}, ports: [{name: tcp, port: 1, targetPort: 8080}]}\n";
    assert_eq!(group(younger, 8080).1, ListenerClass::Http);
    let older = younger.replace(
        "namespace: payments",
        "namespace: payments, creationTimestamp: '2026-01-01T00:00:00Z'",
    );
    assert_eq!(group(&older, 8080).1, ListenerClass::Tcp);
}

#[test]
fn a_named_target_port_is_the_containers() {
    let objects = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: payments}
spec: {template: {metadata: {labels: {app: api}}, spec: {containers: [{name: app, ports: [{name: web, containerPort: 8888}]}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: payments}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: web}, {name: gone, port: 81, targetPort: nowhere}]}
";
    let topology = topology(objects);
    let outbound = |port| {
        topology
            .outbound(&workload("shop/web"), "payments", "api", port, None)
            .unwrap()
    };
    assert_eq!(outbound(80).endpoints[0].port, 8888);
    assert_eq!(outbound(81).endpoints, []);
}
