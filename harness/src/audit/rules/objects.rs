//! Objects that Istio ignores, refuses, or that do not say what they seem to say.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Findings, Rule};
use crate::audit::view::View;
use crate::istio::{Flaw, host};
use crate::snapshot::api::WorkloadSelector;
use crate::snapshot::{Object, Stored};

const COMPOSE: &str = "pilot/pkg/security/authn/policy_applier.go@1.30.3 (ComposePeerAuthentication)";
const VALIDATION: &str = "pkg/config/validation/validation.go@1.30.3";

/// The rules of this file, in the order of the report.
pub(super) const RULES: &[Rule] = &[
    UNKNOWN_FIELD,
    INVALID,
    DUPLICATE,
    PORT_LEVEL_WITHOUT_SELECTOR,
    PORT_LEVEL_ON_SERVICE_PORT,
    SELECTOR_IN_ROOT_NAMESPACE,
    SHADOWED,
    MESH_CONFIG,
    DANGLING,
];

/// A field or value that the CRD does not know.
const UNKNOWN_FIELD: Rule = Rule {
    code: "policy.unknown-field",
    category: Category::Policy,
    severity: Severity::High,
    title: "every field of an Istio object exists",
    explanation: "The API server refuses a field it does not know, or drops it in silence, and with it what its author meant.",
    remedy: "Correct the name, or remove the field.",
    source: "manifests/charts/base/files/crd-all.gen.yaml@1.30.3",
    check: Check::Mesh(|view, found| {
        for it in &view.mixed.mistakes {
            let message = format!("{}: {}", it.mistake.path, it.mistake.message);
            found
                .about(&it.object.to_string(), &it.source, message)
                .detail(&it.mistake.path);
        }
    }),
};

/// What validation refuses.
const INVALID: Rule = Rule {
    code: "policy.invalid",
    category: Category::Policy,
    severity: Severity::High,
    title: "istiod's validation accepts every policy",
    explanation: "The API server would refuse the object, or istiod ignores it.",
    remedy: "Correct the object.",
    source: VALIDATION,
    check: Check::Mesh(|view, found| flaws(view, found, Flaw::Invalid)),
};

/// Two policies of one scope.
const DUPLICATE: Rule = Rule {
    code: "policy.duplicate",
    category: Category::Policy,
    severity: Severity::Medium,
    title: "no two PeerAuthentications have the same scope",
    explanation: "Of several policies for a namespace or for the mesh the oldest wins, and the others are ignored as a whole.",
    remedy: "Delete all but one of them.",
    source: COMPOSE,
    check: Check::Mesh(|view, found| flaws(view, found, Flaw::Duplicate)),
};

/// `portLevelMtls` without selector.
const PORT_LEVEL_WITHOUT_SELECTOR: Rule = Rule {
    code: "policy.port-level-without-selector",
    category: Category::Policy,
    severity: Severity::Medium,
    title: "portLevelMtls is beside a selector",
    explanation: "Port modes count only in a policy that selects workloads; elsewhere they are refused or ignored.",
    remedy: "Add a selector, or remove portLevelMtls.",
    source: VALIDATION,
    check: Check::Mesh(|view, found| flaws(view, found, Flaw::PortLevelWithoutSelector)),
};

/// `portLevelMtls` of a port that no pod has.
const PORT_LEVEL_ON_SERVICE_PORT: Rule = Rule {
    code: "policy.port-level-on-service-port",
    category: Category::Policy,
    severity: Severity::Medium,
    title: "portLevelMtls names pod ports",
    explanation: "The keys of portLevelMtls are ports of the pod, not of the Service. A Service's port that is another in the \
                  pod sets the mode of a port nobody uses.",
    remedy: "Name the port the container listens on (the Service's targetPort).",
    source: COMPOSE,
    check: Check::Mesh(port_level_on_service_port),
};

/// A selector where only mesh-wide policies live.
const SELECTOR_IN_ROOT_NAMESPACE: Rule = Rule {
    code: "policy.selector-in-root-namespace",
    category: Category::Policy,
    severity: Severity::Medium,
    title: "no PeerAuthentication of the root namespace has a selector",
    explanation: "A policy with a selector has no effect in the root namespace, not even on workloads in it.",
    remedy: "Put the policy into the namespace of its workloads.",
    source: COMPOSE,
    check: Check::Mesh(|view, found| flaws(view, found, Flaw::SelectorInRootNamespace)),
};

/// A rule of which another of the same host takes the place.
const SHADOWED: Rule = Rule {
    code: "policy.shadowed-rule",
    category: Category::Policy,
    severity: Severity::Medium,
    title: "no DestinationRule's policy is hidden by an older one of the same host",
    explanation: "DestinationRules of one host in one namespace are merged: subsets are added, but the trafficPolicy of the \
                  oldest counts alone.",
    remedy: "Write one DestinationRule for the host.",
    source: "pilot/pkg/model/destination_rule.go@1.30.3 (mergeDestinationRule)",
    check: Check::Mesh(shadowed),
};

/// A mesh configuration that istiod cannot read.
const MESH_CONFIG: Rule = Rule {
    code: "policy.mesh-config",
    category: Category::Policy,
    severity: Severity::High,
    title: "the mesh configuration can be read",
    explanation: "istiod keeps the last mesh configuration it could read, and after a restart has none.",
    remedy: "Correct the ConfigMap.",
    source: "pkg/config/mesh/mesh.go@1.30.3",
    check: Check::Mesh(|view, found| flaws(view, found, Flaw::MeshConfig)),
};

/// References that lead nowhere.
const DANGLING: Rule = Rule {
    code: "policy.dangling",
    category: Category::Policy,
    severity: Severity::Info,
    title: "every selector, host and subset leads somewhere",
    explanation: "A policy selects no workload, or a host or subset is not there. It may be in another folder.",
    remedy: "Correct the reference, or give the folder with the other objects too.",
    source: "docs/rules.md",
    check: Check::Mesh(|view, found| flaws(view, found, Flaw::Dangling)),
};

fn flaws(view: &View<'_>, found: &mut Findings<'_>, flaw: Flaw) {
    for (index, it) in view
        .topology
        .findings()
        .iter()
        .filter(|it| it.flaw == flaw)
        .enumerate()
    {
        let finding = found.about(&it.object.to_string(), &it.source, it.message.clone());
        if index > 0 {
            finding.detail(&it.message);
        }
    }
}

fn port_level_on_service_port(view: &View<'_>, found: &mut Findings<'_>) {
    for (name, stored) in view.snapshot.objects() {
        let Object::PeerAuthentication(policy) = &stored.object else {
            continue;
        };
        let Some(selector) = policy.spec.selector.as_ref().filter(|it| !it.is_empty()) else {
            continue;
        };
        let ports = policy.spec.port_level_mtls.iter().flatten();
        for port in ports.filter_map(|(port, _)| u16::try_from(*port).ok()) {
            if let Some(target) = other_target(view, stored, selector, port) {
                let message = format!("port {port} is of the Service; the pods listen on {target}");
                found.at(name, stored, message).detail(port);
            }
        }
    }
}

/// The pod port behind a Service port of selected workloads, if that is another and no Service leads to a pod port of this
/// number, nor does a container declare it.
fn other_target(view: &View<'_>, stored: &Stored, selector: &WorkloadSelector, port: u16) -> Option<u16> {
    let namespace = stored.object.object_ref().namespace?;
    let selected: Vec<_> = view
        .topology
        .workloads
        .values()
        .filter(|it| it.name.namespace == namespace && selector.matches(&it.labels))
        .collect();
    let is_pod_port = selected.iter().any(|workload| {
        workload.container_ports.contains(&port)
            || view.topology.declared_class(&workload.name, port).is_some()
    });
    if is_pod_port {
        return None;
    }
    selected.iter().find_map(|workload| {
        let services = view
            .topology
            .services
            .values()
            .filter(|it| it.workloads.contains(&workload.name));
        services
            .filter_map(|it| it.port(port)?.pod_port(workload))
            .find(|target| *target != port)
    })
}

fn shadowed(view: &View<'_>, found: &mut Findings<'_>) {
    let mut by_host: BTreeMap<(Option<&str>, String), Vec<_>> = BTreeMap::new();
    for (name, stored) in view.snapshot.objects() {
        let Object::DestinationRule(rule) = &stored.object else {
            continue;
        };
        if rule.spec.traffic_policy.is_some() && rule.spec.workload_selector.is_none() {
            let namespace = name.namespace.as_deref().unwrap_or_default();
            let full = host::resolve(&rule.spec.host, namespace, &view.snapshot.mesh.cluster_domain);
            by_host
                .entry((name.namespace.as_deref(), full))
                .or_default()
                .push((name, stored, &rule.spec));
        }
    }
    for rules in by_host.values_mut() {
        rules.sort_by_key(|(name, stored, _)| (stored.age, &name.name));
        for index in 1..rules.len() {
            let (name, stored, spec) = rules[index];
            let exports: BTreeSet<&String> = spec.export_to.iter().collect();
            let hides = |older: &crate::snapshot::api::DestinationRuleSpec| {
                older.export_to.iter().collect::<BTreeSet<_>>() == exports
                    && older.traffic_policy != spec.traffic_policy
            };
            if let Some((older, ..)) = rules[..index].iter().find(|(.., it)| hides(it)) {
                found.at(
                    name,
                    stored,
                    format!("its trafficPolicy has no effect: {older} is older and has one"),
                );
            }
        }
    }
}
