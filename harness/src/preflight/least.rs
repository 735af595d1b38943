//! The least mesh in which a call is predicted as it is in the whole.

use std::collections::BTreeSet;

use super::{Between, state_at};
use crate::audit::RiskyCall;
use crate::call::WorkloadName;
use crate::fault::Conditions;
use crate::istio::{Topology, predict};
use crate::snapshot::{Object, ObjectRef, Snapshot};

/// Caller, Service, and servers, and those policies without which the call would end otherwise.
pub(super) fn mesh(
    snapshot: &Snapshot,
    full: &Topology,
    risky: &RiskyCall,
    between: &Between<'_>,
) -> Snapshot {
    let needed = ends(full, risky);
    let namespaces: BTreeSet<&str> = needed
        .iter()
        .filter_map(|it| it.namespace.as_deref())
        .chain([full.mesh.root_namespace.as_str()])
        .collect();
    let is_near = |name: &ObjectRef| {
        name.namespace
            .as_deref()
            .is_some_and(|it| namespaces.contains(it))
    };
    let mut kept: BTreeSet<ObjectRef> = BTreeSet::new();
    let mut policies: Vec<ObjectRef> = Vec::new();
    for (name, stored) in snapshot.objects() {
        match &stored.object {
            Object::Namespace(_) if namespaces.contains(name.name.as_str()) => {
                kept.insert(name.clone());
            }
            object if object.is_policy() && is_near(name) => policies.push(name.clone()),
            _ if needed.contains(name) || is_pod_of(name, &needed) || is_mesh_config(name, stored) => {
                kept.insert(name.clone());
            }
            _ => {}
        }
    }
    let mut index = 0;
    while index < policies.len() {
        let candidate = snapshot.only(|name, _| {
            kept.contains(name)
                || policies
                    .iter()
                    .enumerate()
                    .any(|(at, it)| at != index && it == name)
        });
        if is_alike(&candidate, risky, between) {
            policies.remove(index);
        } else {
            index += 1;
        }
    }
    snapshot.only(|name, _| kept.contains(name) || policies.contains(name))
}

/// The objects of caller, Service and servers, and other Services of the servers, which may declare their ports.
fn ends(full: &Topology, risky: &RiskyCall) -> BTreeSet<ObjectRef> {
    let mut needed = BTreeSet::new();
    let workload = |name: &WorkloadName| full.workloads.get(name).map(|it| it.object.clone());
    needed.extend(workload(&risky.call.from));
    if let Some((namespace, name, _)) = risky.call.to.service()
        && let Some(service) = full.service(namespace, name)
    {
        needed.extend(service.workloads.iter().filter_map(workload));
        let declares =
            |it: &&crate::istio::Service| it.workloads.iter().any(|name| service.workloads.contains(name));
        needed.extend(
            full.services
                .values()
                .filter(declares)
                .map(crate::istio::Service::object),
        );
        needed.insert(service.object());
    }
    needed
}

/// Pods that run bear the name of their workload and more.
fn is_pod_of(name: &ObjectRef, needed: &BTreeSet<ObjectRef>) -> bool {
    name.kind == "Pod"
        && needed.iter().any(|it| {
            it.namespace == name.namespace
                && matches!(
                    it.kind.as_str(),
                    "Deployment" | "StatefulSet" | "DaemonSet" | "Job"
                )
                && name
                    .name
                    .strip_prefix(it.name.as_str())
                    .is_some_and(|it| it.starts_with('-'))
        })
}

fn is_mesh_config(name: &ObjectRef, stored: &crate::snapshot::Stored) -> bool {
    let is_map = matches!(&stored.object, Object::ConfigMap(it) if it.data.as_ref().is_some_and(|it| it.contains_key("mesh")));
    name.kind == "IstioOperator" || (is_map && name.name == "istio")
}

fn is_alike(candidate: &Snapshot, risky: &RiskyCall, between: &Between<'_>) -> bool {
    let conditions = Conditions::default();
    let outcome = |release| predict(&state_at(candidate, release).topology, &conditions, &risky.call).outcome;
    risky.now.agrees_with(&outcome(between.current)) && risky.then.agrees_with(&outcome(between.target))
}
