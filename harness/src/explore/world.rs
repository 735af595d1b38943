//! The population of a block of cases: namespaces, and workloads with every way of having a sidecar or none.

use proptest::collection::vec;
use proptest::prelude::*;
use semver::Version;
use serde_json::{Value, json};

/// Releases that differ in the Envoy they bring (1.36, 1.38, 1.39) or in a rule (subset fallback from 1.31).
const RELEASES: [Version; 3] = [
    Version::new(1, 28, 0),
    Version::new(1, 30, 3),
    Version::new(1, 31, 0),
];
pub(super) const ROOT_NAMESPACE: &str = "istio-system";
const NAMESPACES: [&str; 3] = ["alpha", "beta", "gamma"];
const WORKLOADS: [&str; 4] = ["one", "two", "three", "four"];

/// Namespaces and workloads.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) release: Version,
    pub(super) trust_domain: &'static str,
    pub(super) namespaces: Vec<Namespace>,
    pub(super) workloads: Vec<Workload>,
}

/// A namespace and how it asks for injection.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub(super) name: &'static str,
    label: Option<(&'static str, &'static str)>,
}

/// A Deployment.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) account: &'static str,
    /// Declared container ports, by name.
    pub(super) ports: &'static [(&'static str, u16)],
    replicas: u32,
    wish: Wish,
    /// `security.istio.io/tlsMode`, set by hand.
    tls_mode: Option<&'static str>,
    proxy: Option<Version>,
}

/// What a pod says about its injection.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Nothing,
    Label(&'static str),
    Annotation(&'static str),
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let release = prop_oneof![4 => Just(1_usize), 2 => Just(2), 1 => Just(0)];
    let trust_domain = prop_oneof![4 => Just("cluster.local"), 1 => Just("mesh.example")];
    let namespaces = vec(
        prop_oneof![
            8 => Just(Some(("istio-injection", "enabled"))),
            1 => Just(Some(("istio.io/rev", "default"))),
            2 => Just(None),
            1 => Just(Some(("istio-injection", "disabled"))),
        ],
        1..=NAMESPACES.len(),
    );
    let workloads = vec(workload(), 2..=WORKLOADS.len());
    (release, trust_domain, namespaces, workloads).prop_map(|(release, trust_domain, labels, drawn)| {
        let namespaces: Vec<Namespace> = NAMESPACES
            .into_iter()
            .zip(labels)
            .map(|(name, label)| Namespace { name, label })
            .collect();
        let workloads = WORKLOADS
            .into_iter()
            .zip(drawn)
            .map(|(name, (place, workload))| Workload {
                name,
                namespace: namespaces[place % namespaces.len()].name,
                account: if workload.account.is_empty() {
                    name
                } else {
                    workload.account
                },
                ..workload
            })
            .collect();
        World {
            release: RELEASES[release].clone(),
            trust_domain,
            namespaces,
            workloads,
        }
    })
}

/// A workload still without name, and a number that picks its namespace.
fn workload() -> impl Strategy<Value = (usize, Workload)> {
    let wish = prop_oneof![
        6 => Just(Wish::Nothing),
        5 => Just(Wish::Label("true")),
        1 => Just(Wish::Label("false")),
        1 => Just(Wish::Annotation("false")),
    ];
    let account = prop_oneof![3 => Just(""), 1 => Just("default"), 2 => Just("shared")];
    let ports = prop_oneof![
        6 => Just([("web", 8080), ("data", 9090)].as_slice()),
        1 => Just([("web", 8080)].as_slice()),
        2 => Just([].as_slice()),
    ];
    let tls_mode = prop_oneof![18 => Just(None), 1 => Just(Some("disabled")), 1 => Just(Some("istio"))];
    let proxy = prop_oneof![3 => Just(None), 1 => (0..RELEASES.len()).prop_map(Some)];
    let version = prop_oneof![Just("v1"), Just("v2")];
    let replicas = prop_oneof![6 => Just(1_u32), 1 => Just(2)];
    (
        0..NAMESPACES.len(),
        wish,
        account,
        ports,
        tls_mode,
        proxy,
        version,
        replicas,
    )
        .prop_map(
            |(place, wish, account, ports, tls_mode, proxy, version, replicas)| {
                let workload = Workload {
                    namespace: "",
                    name: "",
                    version,
                    account,
                    ports,
                    replicas,
                    wish,
                    tls_mode,
                    proxy: proxy.map(|index| RELEASES[index].clone()),
                };
                (place, workload)
            },
        )
}

impl World {
    /// The workload that a drawn number means.
    pub(super) fn workload(&self, number: usize) -> &Workload {
        &self.workloads[number % self.workloads.len()]
    }

    /// The namespace that a drawn number means.
    pub(super) fn namespace(&self, number: usize) -> &'static str {
        self.namespaces[number % self.namespaces.len()].name
    }

    /// Its objects, less the workloads in `without`, and less namespaces of which nothing is left.
    pub(super) fn objects(&self, without: &[&'static str]) -> Vec<Value> {
        let present = || self.workloads.iter().filter(|it| !without.contains(&it.name));
        let namespaces = self
            .namespaces
            .iter()
            .filter(|namespace| present().any(|it| it.namespace == namespace.name));
        namespaces
            .map(Namespace::object)
            .chain(present().map(Workload::object))
            .collect()
    }
}

impl Namespace {
    fn object(&self) -> Value {
        let labels: serde_json::Map<String, Value> = self
            .label
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}})
    }
}

impl Workload {
    /// Its SPIFFE id.
    pub(super) fn identity(&self, trust_domain: &str) -> String {
        format!(
            "spiffe://{trust_domain}/ns/{}/sa/{}",
            self.namespace, self.account
        )
    }

    /// `namespace/name`.
    pub(super) fn reference(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn object(&self) -> Value {
        let mut labels = json!({"app": self.name, "group": "all", "version": self.version});
        let mut annotations = json!({});
        match self.wish {
            Wish::Nothing => {}
            Wish::Label(wish) => labels["sidecar.istio.io/inject"] = json!(wish),
            Wish::Annotation(wish) => annotations["sidecar.istio.io/inject"] = json!(wish),
        }
        if let Some(mode) = self.tls_mode {
            labels["security.istio.io/tlsMode"] = json!(mode);
        }
        if let Some(release) = &self.proxy {
            let image = format!("docker.io/istio/proxyv2:{release}");
            annotations["sidecar.istio.io/proxyImage"] = json!(image);
        }
        let ports: Vec<Value> = self
            .ports
            .iter()
            .map(|(name, port)| json!({"name": name, "containerPort": port}))
            .collect();
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": {"app": self.name}},
                "template": {
                    "metadata": {"labels": labels, "annotations": annotations},
                    "spec": {
                        "serviceAccountName": self.account,
                        "containers": [{"name": "app", "image": "app:1", "ports": ports}],
                    },
                },
            },
        })
    }
}
