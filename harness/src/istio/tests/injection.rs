//! Who gets a sidecar, from manifests and from pods as an API server recorded them.

use semver::Version;

use super::workload;
use crate::istio::policy::{NoSidecar, Sidecar};
use crate::istio::{Topology, WorkloadKind};
use crate::snapshot::Snapshot;

fn topology(text: &str) -> Topology {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    snapshot.add_yaml(text, "objects").unwrap();
    Topology::new(&snapshot, None)
}

fn fixture(name: &str) -> String {
    let path = format!(
        "{}/tests/data/kube-fixtures/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).unwrap() + "\n---\n"
}

/// `Ok(release)`, or why there is no sidecar.
fn sidecar(topology: &Topology, name: &str) -> Result<String, NoSidecar> {
    match &topology.workloads[&workload(name)].sidecar {
        Sidecar::Injected { release } => Ok(release.to_string()),
        Sidecar::Absent { reason } => Err(*reason),
    }
}

#[test]
fn injection_follows_the_webhook_selectors_and_the_pod() {
    use NoSidecar::{HostNetwork, NamespaceDisabled, NotRequested, PodDisabled, SystemNamespace};
    const YES: Result<&str, NoSidecar> = Ok("1.30.3");
    // Namespace, its labels, the pod's labels, more of its metadata.
    let cases: [(&str, &str, &str, &str, _); 16] = [
        ("a", "", "", "", Err(NotRequested)),
        ("a", "istio-injection: enabled", "", "", YES),
        ("a", "istio.io/rev: canary", "", "", YES),
        (
            "a",
            "istio-injection: disabled",
            "sidecar.istio.io/inject: 'true'",
            "",
            Err(NamespaceDisabled),
        ),
        (
            "a",
            "istio-injection: disabled, istio.io/rev: canary",
            "",
            "",
            Err(NamespaceDisabled),
        ),
        (
            "a",
            "istio-injection: enabled",
            "sidecar.istio.io/inject: 'false'",
            "",
            Err(PodDisabled),
        ),
        (
            "a",
            "istio-injection: enabled",
            "sidecar.istio.io/inject: 'perhaps'",
            "",
            YES,
        ),
        ("a", "", "sidecar.istio.io/inject: 'true'", "", YES),
        ("a", "", "istio.io/rev: canary", "", YES),
        (
            "a",
            "istio-injection: enabled",
            "",
            "annotations: {sidecar.istio.io/inject: 'false'}",
            Err(PodDisabled),
        ),
        (
            "a",
            "istio-injection: enabled",
            "sidecar.istio.io/inject: 'true'",
            "annotations: {sidecar.istio.io/inject: 'false'}",
            YES,
        ),
        (
            "a",
            "",
            "",
            "annotations: {sidecar.istio.io/inject: 'true'}",
            Err(NotRequested),
        ),
        (
            "a",
            "istio-injection: enabled",
            "",
            "annotations: {sidecar.istio.io/proxyImage: 'hub/proxyv2:1.24.0-distroless@sha256:00'}",
            Ok("1.24.0"),
        ),
        (
            "a",
            "istio-injection: enabled",
            "",
            "annotations: {sidecar.istio.io/proxyImage: 'localhost:5000/proxyv2'}",
            YES,
        ),
        (
            "a",
            "istio-injection: enabled",
            "hostNetwork",
            "",
            Err(HostNetwork),
        ),
        (
            "kube-system",
            "istio-injection: enabled",
            "",
            "",
            Err(SystemNamespace),
        ),
    ];
    for (namespace, namespace_labels, labels, metadata, expected) in cases {
        let host_network = labels == "hostNetwork";
        let labels = if host_network { "" } else { labels };
        let topology = topology(&format!(
            "
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}, labels: {{{namespace_labels}}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: w, namespace: {namespace}}}
spec: {{template: {{metadata: {{labels: {{{labels}}}, {metadata}}}, spec: {{hostNetwork: {host_network}, containers: [{{name: app}}]}}}}}}
"
        ));
        let ours = sidecar(&topology, &format!("{namespace}/w"));
        assert_eq!(
            ours.as_deref().map_err(|reason| *reason),
            expected,
            "{namespace_labels} | {labels} | {metadata}"
        );
    }
}

#[test]
fn pods_that_run_are_what_they_are() {
    let pods = [
        "pod-injected-container",
        "pod-injected-native-sidecar",
        "pod-proxyimage-annotation",
        "pod-inject-false-label",
        "pod-hostnetwork-not-injected",
        "pod-uninjected",
    ];
    let text = fixture("namespace-injected") + &pods.map(fixture).concat();
    let topology = topology(&text);
    let not_in_pod = Err(NoSidecar::NotInPod);
    assert_eq!(
        sidecar(&topology, "payments/api-v1-74699b4bcd-h4qcn"),
        Ok("1.30.3".to_owned())
    );
    assert_eq!(sidecar(&topology, "payments/native"), Ok("1.30.3".to_owned()));
    assert_eq!(sidecar(&topology, "payments/pinned"), Ok("1.29.5".to_owned()));
    assert_eq!(sidecar(&topology, "payments/optout"), not_in_pod);
    assert_eq!(sidecar(&topology, "payments/hostnet"), not_in_pod);
    assert_eq!(sidecar(&topology, "legacy/old-58dd9dbdfc-hmvxw"), not_in_pod);
    let native = &topology.workloads[&workload("payments/native")];
    assert_eq!(
        native.container_ports,
        [8080],
        "the proxy's own ports are not the application's"
    );
    let container = &topology.workloads[&workload("payments/api-v1-74699b4bcd-h4qcn")];
    assert_eq!(
        (container.service_account.as_str(), container.tls_mode),
        ("api", true)
    );
}

#[test]
fn pods_take_the_place_of_their_deployment() {
    let text = fixture("deployment") + &fixture("pod-injected-container");
    let both = topology(&text);
    let names: Vec<String> = both.workloads.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["payments/api-v1"]);
    let api = &both.workloads[&workload("payments/api-v1")];
    assert_eq!(
        (api.kind, api.replicas, api.has_sidecar()),
        (WorkloadKind::Deployment, 1, true),
        "although the namespace is not labelled here"
    );
}

#[test]
fn a_pod_that_lost_its_label_still_enforces_but_gets_plaintext() {
    let text =
        fixture("pod-injected-native-sidecar").replace("\"security.istio.io/tlsMode\": \"istio\",", "");
    let topology = topology(&text);
    let native = &topology.workloads[&workload("payments/native")];
    assert!(native.has_sidecar() && !native.tls_mode);
    assert!(topology.inbound(&native.name, 8080).is_some());
}

#[test]
fn running_pods_keep_their_injection_until_their_template_changes() {
    let namespace = |labels: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, labels: {{{labels}}}}}\n")
    };
    let deployment = |annotations: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w, namespace: a}}\nspec: {{template: {{metadata: {{annotations: {{{annotations}}}}}, spec: {{containers: []}}}}}}\n"
        )
    };
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    snapshot
        .add_yaml(&(namespace("") + "---\n" + &deployment("")), "first")
        .unwrap();
    let before = Topology::new(&snapshot, None);
    snapshot
        .add_yaml(&namespace("istio-injection: enabled"), "label")
        .unwrap();
    let labelled = Topology::new(&snapshot, Some(&before));
    assert_eq!(sidecar(&labelled, "a/w"), Err(NoSidecar::NotRequested));
    snapshot
        .add_yaml(&deployment("kubectl.kubernetes.io/restartedAt: now"), "restart")
        .unwrap();
    let restarted = Topology::new(&snapshot, Some(&labelled));
    assert_eq!(sidecar(&restarted, "a/w"), Ok("1.30.3".to_owned()));
}
