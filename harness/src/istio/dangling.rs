//! References that lead nowhere.

use super::finding::{Finding, Flaw};
use super::host;
use super::peer_authentication::finding;
use super::topology::Topology;
use crate::snapshot::api::{DestinationRuleSpec, WorkloadSelector};
use crate::snapshot::{Object, ObjectRef, Snapshot, Stored};

/// Reports selectors that select nothing, hosts and subsets that do not exist, and a mesh configuration that could not
/// be read.
pub(super) fn report(snapshot: &Snapshot, topology: &Topology, findings: &mut Vec<Finding>) {
    for (name, stored) in snapshot.objects() {
        let message = match &stored.object {
            Object::Service(_) => service(topology, name),
            Object::PeerAuthentication(it) => selector(topology, name, it.spec.selector.as_ref()),
            Object::DestinationRule(it) => {
                findings.extend(empty_subsets(topology, name, stored, &it.spec));
                rule_host(topology, name, &it.spec)
            }
            _ => None,
        };
        findings.extend(message.map(|message| finding(name, stored, Flaw::Dangling, message)));
    }
    for (name, target) in topology.virtual_services.targets() {
        let known = topology.service_of_host(&target.host).is_some()
            || topology.unmodelled.declares(&target.host).is_some();
        if let Some(stored) = snapshot.get(name).filter(|_| !known) {
            findings.push(finding(
                name,
                stored,
                Flaw::Dangling,
                format!("its destination {} is no Service", target.host),
            ));
        }
    }
    if let Some((name, problem)) = snapshot.mesh_problem()
        && let Some(stored) = snapshot.get(name)
    {
        let message =
            format!("the mesh configuration cannot be read, the last good one stays in force: {problem}");
        findings.push(finding(name, stored, Flaw::MeshConfig, message));
    }
}

fn service(topology: &Topology, name: &ObjectRef) -> Option<String> {
    let service = topology
        .services
        .get(&(name.namespace.clone()?, name.name.clone()))?;
    if service.external {
        return None;
    }
    match &service.selector {
        None => Some("it has no selector; endpoints written by hand are not read".to_owned()),
        Some(_) if service.workloads.is_empty() => Some("its selector selects no workload".to_owned()),
        Some(_) => None,
    }
}

fn selector(topology: &Topology, name: &ObjectRef, selector: Option<&WorkloadSelector>) -> Option<String> {
    let selector = selector.filter(|selector| !selector.is_empty())?;
    let namespace = name.namespace.as_deref()?;
    let mut workloads = topology
        .workloads
        .values()
        .filter(|workload| workload.name.namespace == namespace);
    let selects = workloads.any(|workload| selector.matches(&workload.labels));
    (!selects && namespace != topology.mesh.root_namespace)
        .then(|| "its selector selects no workload".to_owned())
}

fn rule_host(topology: &Topology, name: &ObjectRef, spec: &DestinationRuleSpec) -> Option<String> {
    let full = host::resolve(
        &spec.host,
        name.namespace.as_deref()?,
        &topology.mesh.cluster_domain,
    );
    let in_cluster = full.ends_with(&format!(".svc.{}", topology.mesh.cluster_domain));
    let known = full.starts_with('*') || topology.service_of_host(&full).is_some();
    (in_cluster && !known).then(|| format!("its host {full} is no Service"))
}

fn empty_subsets(
    topology: &Topology,
    name: &ObjectRef,
    stored: &Stored,
    spec: &DestinationRuleSpec,
) -> Vec<Finding> {
    let full = host::resolve(
        &spec.host,
        name.namespace.as_deref().unwrap_or_default(),
        &topology.mesh.cluster_domain,
    );
    let Some(service) = topology.service_of_host(&full) else {
        return Vec::new();
    };
    let workloads = || {
        service
            .workloads
            .iter()
            .filter_map(|it| topology.workloads.get(it))
    };
    let is_empty = |labels: &std::collections::BTreeMap<String, String>| {
        !workloads().any(|it| {
            labels
                .iter()
                .all(|(key, value)| it.labels.get(key) == Some(value))
        })
    };
    let empty = spec.subsets.iter().filter(|subset| is_empty(&subset.labels));
    empty
        .map(|subset| {
            finding(
                name,
                stored,
                Flaw::Dangling,
                format!("its subset {} selects no workload", subset.name),
            )
        })
        .collect()
}
