//! Pods that should have a sidecar and do not, and labels that contradict each other.

use std::collections::BTreeMap;

use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Findings, Rule};
use crate::audit::view::View;
use crate::istio::injection;
use crate::istio::policy::Sidecar;

const SELECTORS: &str =
    "manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml@1.30.3";

/// The rules of this file, in the order of the report.
pub(super) const RULES: &[Rule] = &[CONFLICTING_LABELS, MISSING_SIDECAR, HOST_NETWORK];

/// Labels of which one is ignored.
const CONFLICTING_LABELS: Rule = Rule {
    code: "injection.conflicting-labels",
    category: Category::Injection,
    severity: Severity::Medium,
    title: "no namespace asks for injection in two ways",
    explanation: "istio-injection goes before istio.io/rev: a namespace with both is injected by the default revision, \
                  whatever revision it names. A namespace of ambient mode is not injected besides.",
    remedy: "Remove one of the labels.",
    source: SELECTORS,
    check: Check::Mesh(conflicting_labels),
};

/// Pods that would get a sidecar if they were created now.
const MISSING_SIDECAR: Rule = Rule {
    code: "injection.missing-sidecar",
    category: Category::Injection,
    severity: Severity::Medium,
    title: "every running pod that should have a sidecar has one",
    explanation: "Injection happens when a pod is created. Pods that are older than the label, or that were created while \
                  the webhook was away, run without: clients send them plaintext, and STRICT servers refuse their calls.",
    remedy: "kubectl rollout restart the workload.",
    source: "pkg/kube/inject/inject.go@1.30.3 (injectRequired)",
    check: Check::Mesh(missing_sidecar),
};

/// Pods on the host's network.
const HOST_NETWORK: Rule = Rule {
    code: "injection.host-network",
    category: Category::Injection,
    severity: Severity::Info,
    title: "no pod of an injected namespace is on the host's network",
    explanation: "Pods with hostNetwork never get a sidecar: their calls to STRICT servers are refused.",
    remedy: "Give the pod a network of its own, or let the servers it calls be PERMISSIVE.",
    source: "pkg/kube/inject/inject.go@1.30.3 (injectRequired)",
    check: Check::Mesh(host_network),
};

fn conflicting_labels(view: &View<'_>, found: &mut Findings<'_>) {
    for (name, stored) in &view.namespaces {
        let Some(labels) = stored.object.metadata().labels.as_ref() else {
            continue;
        };
        let label = |key: &str| labels.get(key).map(String::as_str);
        let (injection, revision) = (label("istio-injection"), label("istio.io/rev"));
        let object = stored.object.object_ref();
        // The tag `default` and the label mean the same webhook.
        if let (Some(injection), Some(revision)) = (injection, revision.filter(|it| *it != "default")) {
            let message = format!("istio-injection={injection} wins, istio.io/rev={revision} is ignored");
            found.at(&object, stored, message);
        }
        let asks = injection == Some("enabled") || revision.is_some();
        if label("istio.io/dataplane-mode") == Some("ambient") && asks && injection != Some("disabled") {
            let message =
                format!("{name} is labelled for ambient mode and for sidecars; new pods get sidecars");
            found.at(&object, stored, message).detail("ambient");
        }
    }
}

fn missing_sidecar(view: &View<'_>, found: &mut Findings<'_>) {
    // A workload's pods are one finding, whatever their number.
    let mut by_owner: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let none = BTreeMap::new();
    for it in &view.pods {
        let Some(spec) = &it.pod.spec else { continue };
        if injection::proxy_container(spec).is_some() || injection::is_gateway(&it.pod.metadata) {
            continue;
        }
        let namespace = it.object.namespace.as_deref().unwrap_or_default();
        let labels = view.labels(namespace).unwrap_or(&none);
        let now = injection::on_creation(&it.pod.metadata, spec, namespace, labels, view.current);
        if matches!(now, Sidecar::Injected { .. }) {
            let owner = it
                .pod
                .metadata
                .owner_references
                .as_ref()
                .and_then(|it| it.first());
            let owner = owner.map_or_else(|| it.object.name.clone(), |it| it.name.clone());
            by_owner
                .entry(format!("{namespace}/{owner}"))
                .or_default()
                .push(it);
        }
    }
    for (owner, pods) in by_owner {
        let first = pods[0];
        let message = match pods.len() {
            1 => "it runs without sidecar, and would get one if it were created now".to_owned(),
            many => format!("it and {} more pods of {owner} run without sidecar", many - 1),
        };
        found.at(first.object, first.stored, message);
    }
    if view.pods.is_empty() {
        found.needs("running pods (kubectl get pods -o yaml)");
    }
}

fn host_network(view: &View<'_>, found: &mut Findings<'_>) {
    for (name, stored, _, spec) in view.templates() {
        let namespace = name.namespace.as_deref().unwrap_or_default();
        let labels = view.labels(namespace);
        let is_injected = labels.is_some_and(|it| {
            it.get("istio-injection").map(String::as_str) == Some("enabled")
                || it.contains_key("istio.io/rev")
        });
        if spec.host_network == Some(true) && is_injected {
            found.at(name, stored, "hostNetwork: true, so it gets no sidecar");
        }
    }
}
