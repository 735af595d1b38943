//! The recorded states and the mesh that each is about.

use std::path::PathBuf;
use std::sync::Arc;

use semver::Version;
use serde_json::Value;

use super::{UNDECLARED, istiod};
use crate::call::{Call, Connections, Destination, WorkloadName};
use crate::fault::{Conditions, History};
use crate::istio::Topology;
use crate::mesh::Desired;
use crate::snapshot::{MeshConfig, Snapshot};

/// The listeners of the client that stand in for those of istiod.
const FRONTS: &[(&str, &str)] = &[
    ("payments/api:8080", "0.0.0.0_8080"),
    ("payments/ledger:8080", "0.0.0.0_8080"),
    ("legacy/old:8080", "0.0.0.0_8080"),
    ("payments/api:7070", "10.96.209.154_7070"),
    ("payments/api:9000", "10.96.209.154_9000"),
    ("example.com:443", "virtualOutbound"),
];

/// Those of calls that name a subset.
const SUBSET_FRONTS: &[(&str, &str)] = &[
    ("payments/api:8080~v1", "0.0.0.0_8080"),
    ("payments/api:7070~v1", "10.96.209.154_7070"),
    ("payments/api:9000~v1", "10.96.209.154_9000"),
];

/// One recorded state.
pub(super) struct State {
    /// Name of the recording.
    pub(super) name: &'static str,
    /// What its mesh configuration adds to the defaults.
    mesh: &'static str,
    /// Objects that the recording describes in words only.
    added: &'static str,
    /// Subsets that the client's calls name.
    subsets: &'static [&'static str],
}

const fn state(name: &'static str) -> State {
    State {
        name,
        mesh: "",
        added: "",
        subsets: &[],
    }
}

/// In the order in which the mesh is led through them.
pub(super) const STATES: &[State] = &[
    state("01-no-policy"),
    state("02-mesh-strict"),
    state("03-namespace-disable"),
    state("04a-workload-port-level"),
    state("04b-mesh-strict-port-disable-unset"),
    state("05a-dr-disable"),
    state("05b-dr-simple"),
    state("05b2-dr-simple-bare"),
    state("05c-dr-istio-mutual"),
    state("05d-dr-mutual-files"),
    state("05e-dr-mutual-credential"),
    state("05f-dr-portlevel"),
    state("05g-dr-wildcard-host"),
    state("06a-dr-subjectaltnames"),
    state("06c-dr-connection-pool"),
    state("08a-no-istio-filters"),
    State {
        mesh: "meshMTLS: {minProtocolVersion: TLSV1_3}",
        ..state("09c-mesh-mtls-tls13")
    },
    State {
        mesh: "trustDomainAliases: [old.example.internal]",
        ..state("09e-trust-domain-alias")
    },
    State {
        mesh: "{enableAutoMtls: false, outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
        ..state("09f-automtls-off-registry-only")
    },
    state("10a-headless-without-sidecar"),
    State {
        added: "
apiVersion: v1
kind: Pod
metadata: {name: ledger-plain, namespace: payments, labels: {app: ledger, sidecar.istio.io/inject: 'false'}}
spec: {serviceAccountName: ledger, containers: [{name: app}]}
",
        ..state("10b-headless-mixed")
    },
    // Last: a front that is gone drains for a while, and Envoy shows its route table as long.
    State {
        subsets: &["v1", "v2"],
        ..state("06b-dr-subset")
    },
];

impl State {
    /// What istiod sent.
    pub(super) fn recorded(&self) -> Value {
        let of_subsets = SUBSET_FRONTS.iter().filter(|_| !self.subsets.is_empty());
        let fronts: Vec<_> = FRONTS.iter().chain(of_subsets).copied().collect();
        istiod::document(&istiod::recording(self.name), &fronts)
    }

    /// The mesh, and the calls that make every front appear.
    pub(super) fn desired(&self) -> Desired {
        let snapshot = self.snapshot();
        let topology = Topology::new(&snapshot, None);
        let identities = topology
            .workloads
            .keys()
            .filter_map(|name| Some((name.clone(), topology.identity(name)?)))
            .collect();
        Desired {
            conditions: Conditions::of(&identities, &History::default()),
            snapshot: Arc::new(snapshot),
            topology: Arc::new(topology),
            calls: self.calls(),
            connections: Connections::Fresh,
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
        let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        snapshot
            .load_files(&[data.join("recorded-cluster.yaml")])
            .unwrap();
        let recording = istiod::recording(self.name);
        for manifests in [recording["manifests"].as_str().unwrap_or_default(), self.added] {
            snapshot.add_yaml(manifests, self.name).unwrap();
        }
        snapshot.mesh = MeshConfig::from_yaml(self.mesh, self.name).unwrap();
        snapshot
    }

    fn calls(&self) -> Vec<Call> {
        let client = || WorkloadName::new("shop", "frontend");
        let service = |namespace: &str, name: &str, port| Destination::Service {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port,
        };
        let api = [8080, 7070, 9000].map(|port| service("payments", "api", port));
        let subsets = self.subsets.iter().flat_map(|subset| {
            api.clone().map(|to| Call {
                subset: Some((*subset).to_owned()),
                ..Call::app(client(), to)
            })
        });
        let others = [
            service("payments", "ledger", 8080),
            service("legacy", "old", 8080),
            Destination::Host {
                host: "example.com".to_owned(),
                port: 443,
            },
            Destination::Pod {
                pod: WorkloadName::new("payments", "api-v1").pod(0),
                port: UNDECLARED,
            },
        ];
        let calls = api.iter().cloned().chain(others);
        calls.map(|to| Call::app(client(), to)).chain(subsets).collect()
    }
}
