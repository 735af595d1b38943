//! Bundles that are read back, and those that cannot be.

use std::io::Write as _;
use std::path::PathBuf;

use flate2::write::GzEncoder;
use semver::Version;
use tempfile::TempDir;

use super::{BundleError, Names};
use crate::snapshot::{Mixed, Snapshot};

const MESH: &str = "
apiVersion: v1
kind: Pod
metadata: {name: checkout-5d8-x1, namespace: payments, uid: u, labels: {app: checkout, acme.example/team: payers, pod-template-hash: 5d8}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: checkout-5d8, uid: r, controller: true}]}
spec: {serviceAccountName: checkout, containers: [{name: app, image: 'registry.acme.example/checkout:2', env: [{name: A, value: hunter2}]}, {name: istio-proxy, image: 'docker.io/istio/proxyv2:1.30.3'}]}
status: {phase: Running}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout, namespace: payments}
spec: {template: {metadata: {labels: {app: checkout}}, spec: {containers: [{name: app, image: 'registry.acme.example/checkout:2'}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: checkout, namespace: payments}
spec: {selector: {app: checkout}, ports: [{name: http-checkout, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: partners, namespace: payments}
spec: {host: checkout.payments.svc.cluster.local, nonsense: 1, subsets: [{name: gold, labels: {tier: gold}}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'trustDomain: acme.example'}
---
a: [
---
global: {tag: 1.30.3, hub: docker.io/istio, db: {password: hunter2}}
";

fn written(names: Names) -> (TempDir, PathBuf, Snapshot, Mixed) {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    let mut found = Mixed {
        kubernetes: Some("v1.33.1".to_owned()),
        notes: vec!["only of payments".to_owned()],
        ..Mixed::default()
    };
    snapshot.add_mixed(MESH, "acme/mesh.yaml", &mut found);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.bundle");
    let out = std::fs::File::create(&path).unwrap();
    snapshot
        .write_bundle(&found, names, "2026-11-22T12:00:00Z".parse().unwrap(), out)
        .unwrap();
    (folder, path, snapshot, found)
}

fn read(path: &std::path::Path) -> Result<(Snapshot, Mixed), BundleError> {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    let mut found = Mixed::default();
    snapshot.load_bundle(path, &mut found).map(|()| (snapshot, found))
}

fn text_of(path: &std::path::Path) -> String {
    String::from_utf8(zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let (_folder, path, snapshot, found) = written(Names::Kept);
    let (again, found_again) = read(&path).unwrap();
    let names = |it: &Snapshot| -> Vec<String> {
        it.objects()
            .map(|(name, stored)| format!("{name} {:?}", stored.source))
            .collect()
    };
    assert_eq!(names(&again), names(&snapshot));
    assert_eq!(again.mesh, snapshot.mesh);
    assert_eq!(
        (&found_again.mistakes, found_again.plain.len()),
        (&found.mistakes, 1)
    );
    assert_eq!(
        (&found_again.kubernetes, &found_again.notes),
        (&found.kubernetes, &found.notes)
    );
    assert_eq!(found_again.unread[0].to_string(), found.unread[0].to_string());
    let text = text_of(&path);
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn no_name_that_people_gave_is_in_a_bundle_of_hashes() {
    let (_folder, path, ..) = written(Names::Hashed);
    let text = text_of(&path);
    for name in [
        "checkout-5d8",
        "\"checkout\"",
        "payments",
        "acme",
        "payers",
        "gold",
        "partners",
        "hunter2",
    ] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    for word in [
        "istio-system",
        "docker.io/istio/proxyv2:1.30.3",
        "http-checkout",
        "svc.cluster.local",
        "Running",
    ] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    let (snapshot, _) = read(&path).unwrap();
    let topology = crate::istio::Topology::new(&snapshot, None);
    let service = topology.services.values().next().unwrap();
    assert_eq!(service.workloads.len(), 1, "the selector leads to the pods");
    assert_eq!(topology.workloads.len(), 1, "the pod is one of the Deployment");
    let (_folder, other, ..) = written(Names::Hashed);
    assert_ne!(
        text.lines().nth(1),
        text_of(&other).lines().nth(1),
        "hashes are of one bundle"
    );
}

#[test]
fn what_is_no_whole_bundle_of_this_format_is_refused() {
    let (folder, path, ..) = written(Names::Kept);
    let whole = std::fs::read(&path).unwrap();
    let text = text_of(&path);
    let compressed = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let without_end = text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(3);
    let tar_of = |name: &str, text: &str| {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_cksum();
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        archive.into_inner().unwrap().finish().unwrap()
    };
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"no tar").unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("without its end", compressed(&without_end)),
        ("with a line missing", compressed(&(lines.join("\n") + "\n"))),
        (
            "newer",
            compressed(&text.replace("\"version\":1", "\"version\":7,\"more\":1")),
        ),
        ("other JSON", compressed("{\"a\": 1}\n")),
        ("YAML", b"apiVersion: v1\n".to_vec()),
        ("empty", Vec::new()),
        (
            "a strange object",
            compressed(&text.replacen("\"kind\":\"Pod\"", "\"kind\":7", 1)),
        ),
        ("gzip of something else", gzip.finish().unwrap()),
        ("an archive of something else", tar_of("a/b", "c")),
        (
            "half an archive",
            tar_of("bug-report/cluster/k8s-resources", MESH)[..40].to_vec(),
        ),
    ];
    let told: Vec<String> = cases
        .into_iter()
        .map(|(name, bytes)| {
            std::fs::write(&path, bytes).unwrap();
            format!("{name}: {}", read(&path).unwrap_err())
        })
        .collect();
    let told = told
        .join("\n")
        .replace(&folder.path().display().to_string(), "[DIR]");
    insta::assert_snapshot!(told);
}

#[test]
fn an_archive_of_bug_report_is_read_by_its_layout_and_says_what_is_missing() {
    let list = |items: &str| format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    let resources =
        list("- {apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {}}\n");
    let custom = list(
        "- {apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: strict, namespace: shop}, spec: {mtls: {mode: STRICT}}}\n",
    );
    let pack = |files: &[(&str, &str)]| {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bug-report.tar.gz");
        std::fs::write(&path, archive.into_inner().unwrap().finish().unwrap()).unwrap();
        let read = read(&path);
        (folder, read)
    };
    let table = "NAMESPACE   NAME   TYPE   DATA   AGE\nshop        a      Opaque 1      3d\n";
    let (_folder, whole) = pack(&[
        ("bug-report/versions", "CLI version: 1.30.3"),
        ("bug-report/cluster/k8s-resources", &resources),
        ("bug-report/cluster/crs", &custom),
        ("bug-report/cluster/secrets", table),
        ("bug-report/proxies/shop/a-1/istio-proxy.log", "hunter2"),
    ]);
    let (snapshot, found) = whole.unwrap();
    let names: Vec<String> = snapshot.objects().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["PeerAuthentication/shop/strict", "Service/shop/a"]);
    assert_eq!((found.unread.len(), found.notes.len()), (0, 1));
    let (_folder, half) = pack(&[
        ("bug-report/cluster/k8s-resources", &resources),
        (
            "bug-report/cluster/crs",
            "error: the server doesn't have a resource type \"x\"\n",
        ),
    ]);
    let (_, found) = half.unwrap();
    assert_eq!(found.unread.len(), 2, "{:?}", found.unread);
}
