//! Who a workload is, and which identities each end accepts.

use std::collections::BTreeSet;

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

/// Identities repeated for every trust domain alias, sorted (pkg/spiffe/spiffe.go@1.30.3: `ExpandWithTrustDomains`).
pub(super) fn in_every_trust_domain(
    identities: impl Iterator<Item = String>,
    mesh: &MeshConfig,
) -> Vec<String> {
    let mut all = BTreeSet::new();
    for identity in identities {
        if let Some(path) = identity
            .strip_prefix("spiffe://")
            .and_then(|it| it.split_once('/'))
            .map(|it| it.1)
        {
            all.extend(
                mesh.trust_domain_aliases
                    .iter()
                    .map(|alias| format!("spiffe://{alias}/{path}")),
            );
        }
        all.insert(identity);
    }
    all.into_iter().collect()
}
