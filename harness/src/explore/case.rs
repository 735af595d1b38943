//! What is done to a world: Services, policies, mesh configuration, certificate faults, and the calls.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

use super::calls::{DrawnCall, call};
use super::faults::{DrawnFault, faults};
use super::policies::{DestinationRule, PeerAuthentication, destination_rules, peer_authentications};
use super::world::{ROOT_NAMESPACE, World};
use crate::call::Call;
use crate::fault::Fault;
use crate::istio::Topology;

/// A trust domain that some cases accept beside their own.
pub(super) const ALIAS: &str = "former.example";

/// A state of a world and the calls made in it. Fields come in the order in which they are shrunk.
#[derive(Clone, Debug)]
pub(super) struct Case {
    calls: Vec<DrawnCall>,
    faults: Vec<DrawnFault>,
    destination_rules: Vec<DestinationRule>,
    peer_authentications: Vec<PeerAuthentication>,
    pub(super) services: Vec<Service>,
    mesh: MeshSettings,
}

/// A Service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    selector: Selector,
    headless: bool,
    /// Into [`PORTS`].
    ports: Vec<usize>,
}

/// Numbers are of workloads; `Namespace` and `Version` select in the namespace of theirs.
#[derive(Clone, Copy, Debug)]
enum Selector {
    Workload(usize),
    Namespace(usize),
    Version(usize, &'static str),
    Nobody(usize),
}

#[derive(Clone, Copy, Debug)]
struct MeshSettings {
    registry_only: bool,
    auto_mtls: bool,
    alias: bool,
}

/// Service ports: name, number, `appProtocol`, `targetPort`. Every class, declared in every way; targets that differ
/// from the number, by name, and where no container may listen.
const PORTS: [(&str, u16, Option<&str>, Target); 11] = [
    ("http", 80, None, Target::Number(8080)),
    ("http-web", 8080, None, Target::Number(8080)),
    ("tcp", 9000, None, Target::Number(9090)),
    ("tcp-data", 9090, None, Target::Number(9090)),
    ("plain", 7000, None, Target::Number(8080)),
    ("other", 7001, None, Target::Number(7777)),
    ("https", 443, None, Target::Number(9090)),
    ("db", 3306, None, Target::Number(9090)),
    ("named", 81, Some("http"), Target::Name("web")),
    ("tcp-named", 82, None, Target::Name("data")),
    ("opaque", 83, Some("tcp"), Target::Number(8080)),
];

#[derive(Clone, Copy)]
enum Target {
    Number(u16),
    Name(&'static str),
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    (
        vec(call(), 4..=10),
        faults(),
        destination_rules(),
        peer_authentications(),
        vec(service(), 1..=3),
        mesh(),
    )
        .prop_map(
            |(calls, faults, destination_rules, peer_authentications, services, mesh)| Case {
                calls,
                faults,
                destination_rules,
                peer_authentications,
                services,
                mesh,
            },
        )
}

fn mesh() -> impl Strategy<Value = MeshSettings> {
    let rarely = |weight: u32| prop_oneof![weight => Just(false), 1 => Just(true)];
    (rarely(5), rarely(11), rarely(4)).prop_map(|(registry_only, no_auto_mtls, alias)| MeshSettings {
        registry_only,
        auto_mtls: !no_auto_mtls,
        alias,
    })
}

fn service() -> impl Strategy<Value = Service> {
    let version = prop_oneof![Just("v1"), Just("v2")];
    let selector = prop_oneof![
        10 => (0..4_usize).prop_map(Selector::Workload),
        4 => (0..4_usize).prop_map(Selector::Namespace),
        2 => (0..4_usize, version).prop_map(|(workload, version)| Selector::Version(workload, version)),
        1 => (0..3_usize).prop_map(Selector::Nobody),
    ];
    let headless = prop_oneof![5 => Just(false), 1 => Just(true)];
    let ports = subsequence((0..PORTS.len()).collect::<Vec<_>>(), 1..=3);
    (selector, headless, ports).prop_map(|(selector, headless, ports)| Service {
        selector,
        headless,
        ports,
    })
}

impl Case {
    /// What exists before any policy does: mesh configuration and Services.
    pub(super) fn services(&self, world: &World) -> Vec<Value> {
        let services = self.services.iter().enumerate();
        std::iter::once(self.mesh.object(world))
            .chain(services.map(|(number, service)| service.object(number, world)))
            .collect()
    }

    /// The policies, oldest first.
    pub(super) fn policies(&self, world: &World) -> Vec<Value> {
        let peers = self.peer_authentications.iter().enumerate();
        let rules = self.destination_rules.iter().enumerate();
        peers
            .map(|(number, policy)| policy.object(number, world))
            .chain(rules.map(|(number, rule)| rule.object(number, world, &self.services)))
            .collect()
    }

    /// The faults, less those of workloads in `without`.
    pub(super) fn faults(&self, world: &World, without: &[&'static str]) -> Vec<Fault> {
        let faults = self.faults.iter().enumerate();
        faults
            .filter(|(_, fault)| !without.contains(&world.workload(fault.workload).name))
            .map(|(number, fault)| fault.fault(number, world))
            .collect()
    }

    /// The calls, each once. What has no meaning is left out: a sidecar's call of itself, a subset that is not there.
    pub(super) fn calls(&self, world: &World, topology: &Topology) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for drawn in &self.calls {
            let call = drawn.call(world, self, topology);
            if let Some(call) = call.filter(|call| !calls.contains(call)) {
                calls.push(call);
            }
        }
        calls
    }
}

impl Service {
    pub(super) fn name(number: usize) -> String {
        format!("service-{number}")
    }

    pub(super) fn namespace(&self, world: &World) -> &'static str {
        match self.selector {
            Selector::Workload(it) | Selector::Namespace(it) | Selector::Version(it, _) => {
                world.workload(it).namespace
            }
            Selector::Nobody(it) => world.namespace(it),
        }
    }

    /// The number of the port that a drawn number means.
    pub(super) fn port_number(&self, number: usize) -> u16 {
        PORTS[self.ports[number % self.ports.len()]].1
    }

    fn object(&self, number: usize, world: &World) -> Value {
        let selector = match self.selector {
            Selector::Workload(it) => json!({"app": world.workload(it).name}),
            Selector::Namespace(_) => json!({"group": "all"}),
            Selector::Version(_, version) => json!({ "version": version }),
            Selector::Nobody(_) => json!({"app": "nobody"}),
        };
        let ports: Vec<Value> = self.ports.iter().map(|index| port(*index)).collect();
        let mut spec = json!({"selector": selector, "ports": ports});
        if self.headless {
            spec["clusterIP"] = json!("None");
        }
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": Self::name(number), "namespace": self.namespace(world)},
            "spec": spec,
        })
    }
}

fn port(index: usize) -> Value {
    let (name, number, app_protocol, target) = PORTS[index];
    let target = match target {
        Target::Number(number) => json!(number),
        Target::Name(name) => json!(name),
    };
    let mut port = json!({"name": name, "port": number, "targetPort": target});
    if let Some(protocol) = app_protocol {
        port["appProtocol"] = json!(protocol);
    }
    port
}

impl MeshSettings {
    fn object(self, world: &World) -> Value {
        let mut mesh = json!({"trustDomain": world.trust_domain, "enableAutoMtls": self.auto_mtls});
        if self.registry_only {
            mesh["outboundTrafficPolicy"] = json!({"mode": "REGISTRY_ONLY"});
        }
        if self.alias {
            mesh["trustDomainAliases"] = json!([ALIAS]);
        }
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": ROOT_NAMESPACE},
            "data": {"mesh": mesh.to_string()},
        })
    }
}
