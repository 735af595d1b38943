//! A large mesh in which nothing is wrong.

use std::fmt::Write as _;

/// How many workloads share a namespace.
const NAMESPACE_SIZE: usize = 50;
/// The pods of each workload.
const PODS: usize = 5;

/// Manifests of a mesh as a cluster has it, without anything an audit could find: running pods of Istio 1.30.3, five of
/// each workload, a Service for each workload, and policies, half of them PeerAuthentications of STRICT and half
/// DestinationRules.
#[must_use]
pub fn clean_mesh(workloads: usize, policies: usize) -> String {
    let mut text = String::new();
    for n in 0..workloads.div_ceil(NAMESPACE_SIZE) {
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: ns{n}, labels: {{istio-injection: enabled}}}}\n---\n"
        );
    }
    for n in 0..workloads {
        let (ns, port) = (n / NAMESPACE_SIZE, ["http", "tcp", "grpc"][n % 3]);
        let _ = write!(
            text,
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w{n}, namespace: ns{ns}}}\nspec: {{replicas: {PODS}, template: {{metadata: {{labels: {{app: w{n}}}}}, spec: {{serviceAccountName: w{n}, containers: [{{name: app, ports: [{{containerPort: 8080}}]}}]}}}}}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: w{n}, namespace: ns{ns}}}\nspec: {{selector: {{app: w{n}}}, ports: [{{name: {port}, port: 8080}}]}}\n---\n"
        );
        for pod in 0..PODS {
            let _ = write!(
                text,
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: w{n}-abc-{pod}, namespace: ns{ns}, uid: u{n}-{pod}, labels: {{app: w{n}, pod-template-hash: abc, security.istio.io/tlsMode: istio}}, \
                 ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: w{n}-abc, uid: r{n}, controller: true}}]}}\n\
                 spec: {{serviceAccountName: w{n}, containers: [{{name: app, ports: [{{containerPort: 8080}}]}}], initContainers: [{{name: istio-proxy, restartPolicy: Always, image: 'docker.io/istio/proxyv2:1.30.3'}}]}}\nstatus: {{phase: Running}}\n---\n"
            );
        }
    }
    for policy in 0..policies / 2 {
        // Spread over the mesh.
        let n = policy * workloads / (policies / 2).max(1);
        let ns = n / NAMESPACE_SIZE;
        let _ = write!(
            text,
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: p{policy}, namespace: ns{ns}}}\nspec: {{selector: {{matchLabels: {{app: w{n}}}}}, mtls: {{mode: STRICT}}}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d{policy}, namespace: ns{ns}}}\nspec: {{host: w{n}, trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: 100}}}}, tls: {{mode: ISTIO_MUTUAL}}}}}}\n---\n"
        );
    }
    text
}
