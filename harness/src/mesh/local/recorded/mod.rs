//! What our control plane sends, as real Envoy shows it, held against what istiod 1.30.3 was recorded to send.
//!
//! One mesh is led through every recorded state. Both sides are put into one shape ([`istiod`], [`ours`]), the
//! deliberate [`departures`] are taken away, and what is left must be equal. A difference that no departure names
//! fails, and so does a departure that no state needs.
//!
//! Not covered: recordings about access logs, interception modes, `tlsDefaults` and compliance policies, which this
//! tier does not have; `recordings_policy` holds policy resolution alone against the same data.

mod alpn;
mod departures;
mod difference;
mod istiod;
mod ours;
mod states;

use std::collections::BTreeSet;

use serde_json::Value;

use super::LocalMesh;
use crate::call::WorkloadName;
use crate::envoy::config::{certificate_secret, validation_secret};
use crate::mesh::{Desired, Mesh as _, Settings};
use departures::Side;
use states::STATES;

/// Every file of a rule that the states name, as a workload's agent would answer for it.
const FILE_CERTIFICATE: &str = "file-cert:/etc/certs/client.pem~/etc/certs/client.key";
const FILE_ROOTS: [&str; 2] = ["file-root:/etc/certs/ca.pem", "file-root:system"];

/// The undeclared port through which the catch-all chains show.
const UNDECLARED: u16 = 12345;

#[tokio::test]
async fn envoy_is_told_what_istiod_tells_it() {
    let mut mesh = LocalMesh::new(Settings::default()).unwrap();
    let mut unlisted = Vec::new();
    let mut used = BTreeSet::new();
    for state in STATES {
        let desired = state.desired();
        // An agent answers for files as soon as it is asked; the first state asks for none.
        push_files(&mut mesh, &desired);
        mesh.apply(desired).await.unwrap();
        let mut theirs = state.recorded();
        let mut shown = ours::document(
            &dump(&mut mesh, "shop", "frontend").await,
            &dump(&mut mesh, "payments", "api-v1").await,
            &theirs,
        );
        used.extend(departures::apply(state.name, Side::Istiod, &mut theirs));
        used.extend(departures::apply(state.name, Side::Ours, &mut shown));
        let differences = difference::between(&theirs, &shown);
        unlisted.extend(differences.into_iter().map(|it| format!("{} {it}", state.name)));
    }
    mesh.down().await;
    assert!(
        unlisted.is_empty(),
        "{} differences that no departure names:\n{}",
        unlisted.len(),
        unlisted.join("\n")
    );
    let unused = departures::unused(&used);
    assert!(
        unused.is_empty(),
        "departures that no state needs:\n{}",
        unused.join("\n")
    );
}

async fn dump(mesh: &mut LocalMesh, namespace: &str, workload: &str) -> Value {
    let pod = WorkloadName::new(namespace, workload).pod(0);
    let sidecar = mesh.pods.sidecar(&pod).unwrap();
    sidecar.admin.config_dump().await.unwrap()
}

/// Answers for the files that rules name, as agents do.
fn push_files(mesh: &mut LocalMesh, desired: &Desired) {
    for workload in desired.topology.workloads.keys() {
        let (Some(sidecar), Some(authority)) = (mesh.pods.sidecar(&workload.pod(0)), mesh.authority.as_mut())
        else {
            continue;
        };
        let issued = authority
            .issue(&desired.conditions.credentials, workload)
            .unwrap();
        let chain = &issued.certificate_chain;
        let certificate = certificate_secret(FILE_CERTIFICATE, chain, issued.private_key.pem());
        mesh.control.push_secret(&sidecar.node, certificate);
        for name in FILE_ROOTS {
            let roots = validation_secret(name, &issued.trust_bundle, "");
            mesh.control.push_secret(&sidecar.node, roots);
        }
    }
}
