//! Who a workload is, and which identities each end accepts.

use super::workload::Workload;
use crate::snapshot::MeshConfig;

/// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` (pkg/spiffe/spiffe.go@1.30.3).
pub(super) fn spiffe_id(trust_domain: &str, workload: &Workload) -> String {
    format!(
        "spiffe://{trust_domain}/ns/{}/sa/{}",
        workload.name.namespace, workload.service_account
    )
}

/// The trust domains of which servers accept clients: the mesh's own, its aliases, and those of `caCertificates`
/// (pilot/pkg/security/trustdomain and pilot/pkg/networking/plugin/authn@1.30.3).
pub(super) fn accepted_trust_domains(mesh: &MeshConfig) -> Vec<String> {
    let mut accepted = vec![mesh.trust_domain.clone()];
    for domain in mesh
        .trust_domain_aliases
        .iter()
        .chain(&mesh.ca_certificate_trust_domains)
    {
        if !accepted.contains(domain) {
            accepted.push(domain.clone());
        }
    }
    accepted
}
