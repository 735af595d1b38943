//! A cluster is read as its manifests are: page by page, with the rights that the manifest grants and no others, and
//! nothing of it is held that nobody needs to know.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;

use kubernetes_double::{Double, ISTIO, Setup};
use meshproof::audit::{Baseline, Input, Report, audit};
use meshproof::kubernetes::Context;
use meshproof::report::audit as forms;
use meshproof::snapshot::{Mixed, Scope, Snapshot};
use semver::Version;
use serde_json::Value;

const CLEAN: &str = include_str!("data/audit/clean.yaml");
const CONTROL_PLANE: &str = "---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'trustDomain: corp'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: shop}
data: {password: hunter2}
---
apiVersion: v1
kind: Secret
metadata: {name: cacerts, namespace: istio-system}
stringData: {ca-key.pem: hunter2}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: plain, namespace: shop}
spec: {host: server, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
";
const RBAC: &str = include_str!("../../manifests/rbac/preflight.yaml");
const SECRETS: &str = include_str!("../../manifests/rbac/preflight-secrets.yaml");
const USER: &str = "system:serviceaccount:meshproof:preflight";

fn cluster() -> Double {
    let double = Double::start(Setup::default());
    double.serve(ISTIO);
    double.apply(CLEAN);
    double.apply(CONTROL_PLANE);
    double
}

async fn open(double: &Double) -> Context {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, double.kubeconfig("staging", "token")).unwrap();
    Context::open("staging", Some(&path)).await.unwrap()
}

async fn read(double: &Double, scope: &Scope) -> (Snapshot, Mixed) {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    let mut found = Mixed::default();
    let context = open(double).await;
    snapshot.load_cluster(&context, scope, &mut found).await.unwrap();
    (snapshot, found)
}

fn names(snapshot: &Snapshot) -> BTreeSet<String> {
    snapshot.objects().map(|(name, _)| name.to_string()).collect()
}

fn gaps(found: &Mixed) -> String {
    found.unread.iter().map(|it| format!("{it}\n")).collect()
}

fn audited(snapshot: Snapshot, mixed: Mixed) -> Report {
    let mut input = Input {
        snapshot,
        mixed,
        current: Some(Version::new(1, 30, 3)),
        target: Version::new(1, 31, 1),
        kubernetes: None,
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        horizon: std::time::Duration::from_hours(24),
        baseline: Baseline::default(),
    };
    audit(&mut input).unwrap()
}

/// `verb resource.group namespace name` of everything that a manifest grants.
fn granted(manifest: &str) -> BTreeSet<String> {
    let documents = manifest.split("\n---\n").map(|it| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rbac.yaml");
        std::fs::write(&path, it).unwrap();
        let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
        snapshot.load_files(&[path]).unwrap();
        let (_, stored) = snapshot.objects().next().unwrap();
        stored.object.to_manifest().unwrap()
    });
    let mut granted = BTreeSet::new();
    for role in documents.filter(|it| matches!(it["kind"].as_str(), Some("ClusterRole" | "Role"))) {
        let namespace = role["metadata"]["namespace"].as_str().unwrap_or("*");
        for rule in role["rules"].as_array().unwrap() {
            let texts = |field: &str| -> Vec<&str> {
                let texts = rule[field].as_array().into_iter().flatten();
                texts.map(|it| it.as_str().unwrap()).collect()
            };
            let names = texts("resourceNames");
            let names = if names.is_empty() { vec!["*"] } else { names };
            for (verb, group) in texts("verbs")
                .into_iter()
                .flat_map(|verb| texts("apiGroups").into_iter().map(move |group| (verb, group)))
            {
                for resource in texts("resources") {
                    for name in &names {
                        granted.insert(format!("{verb} {resource}.{group} {namespace} {name}"));
                    }
                }
            }
        }
    }
    granted
}

fn asked(double: &Double) -> BTreeSet<String> {
    let seen = double.seen().into_iter();
    seen.map(|it| {
        let (namespace, name) = (
            it.namespace.as_deref().unwrap_or("*"),
            it.name.as_deref().unwrap_or("*"),
        );
        format!("{} {}.{} {namespace} {name}", it.verb, it.resource, it.group)
    })
    .collect()
}

#[tokio::test]
async fn what_is_asked_for_is_exactly_what_the_manifests_grant() {
    // Every kind is there, so that every request is made once.
    for (secrets, manifests) in [(false, RBAC.to_owned()), (true, format!("{RBAC}---\n{SECRETS}"))] {
        let double = cluster();
        double.serve(&[
            (
                "gateway.networking.k8s.io",
                &["v1"],
                "backendtlspolicies",
                "BackendTLSPolicy",
                true,
            ),
            ("gateway.networking.k8s.io", &["v1"], "gateways", "Gateway", true),
            (
                "helm.toolkit.fluxcd.io",
                &["v2"],
                "helmreleases",
                "HelmRelease",
                true,
            ),
            (
                "install.istio.io",
                &["v1alpha1"],
                "istiooperators",
                "IstioOperator",
                true,
            ),
        ]);
        double.apply(&manifests);
        double.user("token", USER);
        let scope = Scope {
            secrets,
            ..Scope::default()
        };
        let (_, found) = read(&double, &scope).await;
        assert_eq!(gaps(&found), "");
        assert_eq!(asked(&double), granted(&manifests));
        let (_, found) = read(
            &double,
            &Scope {
                namespaces: vec!["shop".to_owned()],
                ..scope
            },
        )
        .await;
        assert_eq!(gaps(&found), "", "a namespace alone needs no other right");
    }
}

#[tokio::test]
async fn a_cluster_is_audited_as_its_manifests_are() {
    let double = cluster();
    let (snapshot, found) = read(&double, &Scope::default()).await;
    assert_eq!(snapshot.mesh.trust_domain, "corp");
    let held = format!("{snapshot:?}");
    assert!(!held.contains("hunter2"), "{held}");
    let live = audited(snapshot, found);
    let mut written = Snapshot::new(Version::new(1, 30, 3));
    let mut mixed = Mixed::default();
    written.add_mixed(&format!("{CLEAN}{CONTROL_PLANE}"), "mesh.yaml", &mut mixed);
    let written = audited(written, mixed);
    let codes = |report: &Report| -> Vec<String> { report.findings.iter().map(|it| it.id.clone()).collect() };
    assert!(
        codes(&live)
            .iter()
            .any(|it| it.starts_with("policy.disable-to-strict"))
    );
    assert_eq!(codes(&live), codes(&written));
}

#[tokio::test]
async fn missing_rights_and_missing_crds_are_listed_and_the_rest_is_read() {
    let double = cluster();
    let rbac = RBAC.replace("namespaces, nodes, pods, services", "namespaces, pods, services");
    assert_ne!(rbac, RBAC);
    double.apply(&rbac);
    double.user("token", USER);
    double.withdraw("security.istio.io");
    let (snapshot, found) = read(&double, &Scope::default()).await;
    insta::assert_snapshot!(gaps(&found));
    assert!(names(&snapshot).contains("Service/shop/server"));
    let report = audited(snapshot, found);
    let json: Value = forms::json(&report).unwrap();
    assert_eq!(json["complete"], false);
}

#[tokio::test]
async fn a_namespace_is_read_with_what_counts_for_the_whole_mesh() {
    let double = cluster();
    double.apply("apiVersion: v1\nkind: Service\nmetadata: {name: far, namespace: elsewhere}\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: mesh, namespace: istio-system}");
    let scope = Scope {
        namespaces: vec!["shop".to_owned()],
        ..Scope::default()
    };
    let (snapshot, found) = read(&double, &scope).await;
    let names = names(&snapshot);
    assert!(names.contains("PeerAuthentication/istio-system/mesh") && names.contains("Service/shop/server"));
    assert!(!names.contains("Service/elsewhere/far"));
    assert!(found.notes[0].starts_with("only of shop"), "{:?}", found.notes);
    assert!(
        double.seen().iter().all(|it| it.verb == "list"),
        "nothing is written"
    );
}
