//! Tables of the cases that Istio's own tests assert, and of what this project adds.

mod auto_mtls;
mod destination_rule;
mod faults;
mod inbound;
mod injection;
mod peer_authentication;
mod prediction;

use semver::Version;

use super::Topology;
use crate::call::WorkloadName;
use crate::snapshot::Snapshot;

/// Two injected namespaces with a client each, a server with one port of each class, a headless Service for it, and a
/// namespace without sidecars.
const MESH: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: payments, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: legacy}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web, tier: front}}, spec: {containers: [{name: app}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: payments}
spec: {template: {metadata: {labels: {app: api, version: v1}}, spec: {serviceAccountName: api, containers: [{name: app}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: payments}
spec:
  selector: {app: api}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: tcp, port: 90, targetPort: 9000}
  - {name: auto, port: 70, targetPort: 7000}
---
apiVersion: v1
kind: Service
metadata: {name: api-headless, namespace: payments}
spec: {clusterIP: None, selector: {app: api}, ports: [{name: tcp, port: 9100}, {name: http, port: 8100}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: old, namespace: legacy}
spec: {template: {metadata: {labels: {app: old}}, spec: {containers: [{name: app}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: legacy}
spec: {selector: {app: old}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
";

fn snapshot(objects: &str) -> Snapshot {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    snapshot.add_yaml(MESH, "mesh.yaml").unwrap();
    snapshot.add_yaml(objects, "policies.yaml").unwrap();
    snapshot
}

fn topology(objects: &str) -> Topology {
    Topology::new(&snapshot(objects), None)
}

fn of_release(minor: u64, objects: &str) -> Topology {
    let mut snapshot = snapshot(objects);
    snapshot.release = Version::new(1, minor, 0);
    Topology::new(&snapshot, None)
}

fn peer_authentication(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn destination_rule(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn mesh_config(text: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata: {{mesh: '{text}'}}\n---\n"
    )
}

fn workload(name: &str) -> WorkloadName {
    let (namespace, name) = name.split_once('/').unwrap();
    WorkloadName::new(namespace, name)
}
