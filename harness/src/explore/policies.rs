//! Policies: PeerAuthentications of every class, DestinationRules of every place, host and shape.

use proptest::collection::{btree_map, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::case::Service;
use super::world::{ROOT_NAMESPACE, World};
use std::collections::BTreeMap;

/// A PeerAuthentication.
#[derive(Clone, Debug)]
pub(super) struct PeerAuthentication {
    scope: Scope,
    mode: Option<&'static str>,
    /// By pod port.
    ports: BTreeMap<u16, &'static str>,
}

#[derive(Clone, Copy, Debug)]
enum Scope {
    Mesh,
    Namespace(usize),
    Workload(usize),
    /// Every workload of a namespace, by selector.
    Group(usize),
    /// A selector in the root namespace, which Istio ignores.
    RootSelector(usize),
}

/// A DestinationRule.
#[derive(Clone, Debug)]
pub(super) struct DestinationRule {
    place: Place,
    host: Host,
    policy: Policy,
    /// By value of the label `version`.
    subsets: BTreeMap<&'static str, Option<Policy>>,
    export_to: ExportTo,
    /// The client workload it selects.
    client: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    OfService,
    Namespace(usize),
    Root,
}

#[derive(Clone, Copy, Debug)]
enum Host {
    Full(usize),
    Short(usize),
    NamespaceWildcard(usize),
    Everything,
}

#[derive(Clone, Copy, Debug)]
enum ExportTo {
    Default,
    Private,
    All,
    Namespace(usize),
}

#[derive(Clone, Debug)]
struct Policy {
    tls: Option<Tls>,
    /// A service port of the service the rule is about, and what its entry says of TLS.
    port: Option<(usize, Option<Tls>)>,
    passthrough: bool,
}

#[derive(Clone, Copy, Debug)]
enum Tls {
    Disable,
    IstioMutual(Sans),
    Simple { verified: bool },
}

#[derive(Clone, Copy, Debug)]
enum Sans {
    OfService,
    Workload(usize),
    Wrong,
}

pub(super) fn peer_authentications() -> impl Strategy<Value = Vec<PeerAuthentication>> {
    let scope = prop_oneof![
        2 => Just(Scope::Mesh),
        4 => (0..3_usize).prop_map(Scope::Namespace),
        4 => (0..4_usize).prop_map(Scope::Workload),
        1 => (0..3_usize).prop_map(Scope::Group),
        1 => (0..4_usize).prop_map(Scope::RootSelector),
    ];
    let port = prop_oneof![Just(8080_u16), Just(9090), Just(7777)];
    let ports = prop_oneof![2 => Just(BTreeMap::new()), 1 => btree_map(port, mode(), 1..=2)];
    let one = (scope, weighted(0.85, mode()), ports);
    vec(
        one.prop_map(|(scope, mode, ports)| PeerAuthentication { scope, mode, ports }),
        0..=4,
    )
}

fn mode() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("PERMISSIVE"), 6 => Just("STRICT"), 3 => Just("DISABLE"), 1 => Just("UNSET")]
}

pub(super) fn destination_rules() -> impl Strategy<Value = Vec<DestinationRule>> {
    let place = prop_oneof![
        3 => Just(Place::OfService),
        2 => (0..3_usize).prop_map(Place::Namespace),
        1 => Just(Place::Root),
    ];
    let host = prop_oneof![
        6 => (0..3_usize).prop_map(Host::Full),
        2 => (0..3_usize).prop_map(Host::Short),
        1 => (0..3_usize).prop_map(Host::NamespaceWildcard),
        1 => Just(Host::Everything),
    ];
    let export_to = prop_oneof![
        5 => Just(ExportTo::Default),
        1 => Just(ExportTo::Private),
        1 => Just(ExportTo::All),
        1 => (0..3_usize).prop_map(ExportTo::Namespace),
    ];
    let version = prop_oneof![Just("v1"), Just("v2")];
    let subsets = prop_oneof![
        2 => Just(BTreeMap::new()),
        1 => btree_map(version, weighted(0.6, policy()), 1..=2),
    ];
    let one = (
        place,
        host,
        policy(),
        subsets,
        export_to,
        weighted(0.15, 0..4_usize),
    );
    let one = one.prop_map(
        |(place, host, policy, subsets, export_to, client)| DestinationRule {
            place,
            host,
            policy,
            subsets,
            export_to,
            client,
        },
    );
    vec(one, 0..=3)
}

fn policy() -> impl Strategy<Value = Policy> {
    let port = weighted(0.2, (0..4_usize, weighted(0.7, tls())));
    let passthrough = prop_oneof![12 => Just(false), 1 => Just(true)];
    (weighted(0.8, tls()), port, passthrough).prop_map(|(tls, port, passthrough)| Policy {
        tls,
        port,
        passthrough,
    })
}

fn tls() -> impl Strategy<Value = Tls> {
    let sans = prop_oneof![
        4 => Just(Sans::OfService),
        1 => (0..4_usize).prop_map(Sans::Workload),
        1 => Just(Sans::Wrong),
    ];
    prop_oneof![
        2 => Just(Tls::Disable),
        6 => sans.prop_map(Tls::IstioMutual),
        1 => Just(Tls::Simple { verified: true }),
        1 => Just(Tls::Simple { verified: false }),
    ]
}

impl PeerAuthentication {
    pub(super) fn object(&self, number: usize, world: &World) -> Value {
        let by_app = |it: usize| Some(json!({"matchLabels": {"app": world.workload(it).name}}));
        let (namespace, selector) = match self.scope {
            Scope::Mesh => (ROOT_NAMESPACE, None),
            Scope::Namespace(it) => (world.namespace(it), None),
            Scope::Workload(it) => (world.workload(it).namespace, by_app(it)),
            Scope::Group(it) => (
                world.namespace(it),
                Some(json!({"matchLabels": {"group": "all"}})),
            ),
            Scope::RootSelector(it) => (ROOT_NAMESPACE, by_app(it)),
        };
        let mut spec = Map::new();
        if let Some(mode) = self.mode {
            spec.insert("mtls".to_owned(), json!({ "mode": mode }));
        }
        if let Some(selector) = selector {
            spec.insert("selector".to_owned(), selector);
            if !self.ports.is_empty() {
                let ports: Map<String, Value> = self
                    .ports
                    .iter()
                    .map(|(port, mode)| (port.to_string(), json!({ "mode": mode })))
                    .collect();
                spec.insert("portLevelMtls".to_owned(), json!(ports));
            }
        }
        json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"name": format!("peers-{number}"), "namespace": namespace},
            "spec": spec,
        })
    }
}

impl DestinationRule {
    /// The rule as an object; `services` are those of the case, at least one.
    pub(super) fn object(&self, number: usize, world: &World, services: &[Service]) -> Value {
        let about = match self.host {
            Host::Full(it) | Host::Short(it) | Host::NamespaceWildcard(it) => it % services.len(),
            Host::Everything => 0,
        };
        let of_service = services[about].namespace(world);
        let host = match self.host {
            Host::Full(_) => format!("{}.{of_service}.svc.cluster.local", Service::name(about)),
            Host::Short(_) => Service::name(about),
            Host::NamespaceWildcard(_) => format!("*.{of_service}.svc.cluster.local"),
            Host::Everything => "*.local".to_owned(),
        };
        let client = self.client.map(|it| world.workload(it));
        let namespace = match (client, self.place) {
            // Elsewhere a selector selects nobody.
            (Some(client), _) => client.namespace,
            (None, Place::OfService) => of_service,
            (None, Place::Namespace(it)) => world.namespace(it),
            (None, Place::Root) => ROOT_NAMESPACE,
        };
        let mut spec = Map::new();
        spec.insert("host".to_owned(), json!(host));
        if let Some(policy) = self.policy.written(world, &services[about]) {
            spec.insert("trafficPolicy".to_owned(), policy);
        }
        if !self.subsets.is_empty() {
            let subsets: Vec<Value> = self
                .subsets
                .iter()
                .map(|(version, policy)| {
                    let mut subset = json!({"name": version, "labels": {"version": version}});
                    let policy = policy.as_ref().and_then(|it| it.written(world, &services[about]));
                    if let Some(policy) = policy {
                        subset["trafficPolicy"] = policy;
                    }
                    subset
                })
                .collect();
            spec.insert("subsets".to_owned(), json!(subsets));
        }
        if let Some(client) = client {
            spec.insert(
                "workloadSelector".to_owned(),
                json!({"matchLabels": {"app": client.name}}),
            );
        } else if let Some(export_to) = self.export_to.written(world) {
            spec.insert("exportTo".to_owned(), json!([export_to]));
        }
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": format!("rule-{number}"), "namespace": namespace},
            "spec": spec,
        })
    }
}

impl ExportTo {
    fn written(self, world: &World) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Private => Some("."),
            Self::All => Some("*"),
            Self::Namespace(it) => Some(world.namespace(it)),
        }
    }
}

impl Policy {
    fn written(&self, world: &World, service: &Service) -> Option<Value> {
        let mut policy = Map::new();
        if let Some(tls) = self.tls {
            policy.insert("tls".to_owned(), tls.written(world));
        }
        if self.passthrough {
            policy.insert("loadBalancer".to_owned(), json!({"simple": "PASSTHROUGH"}));
        }
        if let Some((port, tls)) = self.port {
            let number = service.port_number(port);
            // An entry must say something; this says nothing about TLS.
            let mut entry = json!({"port": {"number": number}, "loadBalancer": {"simple": "ROUND_ROBIN"}});
            if let Some(tls) = tls {
                entry["tls"] = tls.written(world);
            }
            policy.insert("portLevelSettings".to_owned(), json!([entry]));
        }
        (!policy.is_empty()).then_some(Value::Object(policy))
    }
}

impl Tls {
    fn written(self, world: &World) -> Value {
        match self {
            Self::Disable => json!({"mode": "DISABLE"}),
            Self::Simple { verified: true } => json!({"mode": "SIMPLE"}),
            Self::Simple { verified: false } => json!({"mode": "SIMPLE", "insecureSkipVerify": true}),
            Self::IstioMutual(Sans::OfService) => json!({"mode": "ISTIO_MUTUAL"}),
            Self::IstioMutual(sans) => {
                let san = match sans {
                    Sans::Workload(it) => world.workload(it).identity(world.trust_domain),
                    Sans::OfService | Sans::Wrong => {
                        format!("spiffe://{}/ns/alpha/sa/nobody", world.trust_domain)
                    }
                };
                json!({"mode": "ISTIO_MUTUAL", "subjectAltNames": [san]})
            }
        }
    }
}
