//! What these tiers cannot show, said before anything is created.

use crate::call::{Call, CallKind, Connections, Destination};
use crate::mesh::reached::target;
use crate::mesh::{Desired, Tier};
use crate::pki::{Revocation, Supply};
use crate::snapshot::{MeshConfig, Object};

use super::kinds;

/// Namespaces that belong to the cluster.
const OF_THE_CLUSTER: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

/// Why a tier cannot show a state and its calls; `None`: it can.
pub(crate) fn beyond(tier: Tier, desired: &Desired) -> Option<String> {
    of_objects(tier, desired)
        .or_else(|| of_conditions(tier, desired))
        .or_else(|| desired.calls.iter().find_map(|call| of_call(desired, call)))
        .or_else(|| {
            (desired.connections == Connections::Reuse)
                .then(|| "connections that are kept open: what is logged of them comes too late".to_owned())
        })
}

/// Why it cannot hold load on calls.
pub(crate) const LOAD: &str =
    "requests under load: credentials reach a pod by making it anew, which would be counted";

fn of_objects(tier: Tier, desired: &Desired) -> Option<String> {
    let snapshot = &desired.snapshot;
    if snapshot.mesh != MeshConfig::default() {
        return Some("mesh configuration: it is that of the cluster's istiod".to_owned());
    }
    snapshot.objects().find_map(|(name, stored)| {
        let namespace = name.namespace.as_deref().unwrap_or(&name.name);
        if OF_THE_CLUSTER.contains(&namespace) {
            return Some(format!("{name}: the namespace belongs to the cluster"));
        }
        if namespace == snapshot.mesh.root_namespace {
            // That there is a root namespace is so in any mesh.
            if matches!(stored.object, Object::Namespace(_)) {
                return None;
            }
            if tier == Tier::Cluster {
                return Some(format!(
                    "{name}: the root namespace of an existing cluster is out of bounds"
                ));
            }
            let is_policy = kinds::POLICIES.iter().any(|it| it.kind == stored.object.kind());
            return (!is_policy).then(|| format!("{name}: only policy is created in the root namespace"));
        }
        kinds::created(stored.object.kind())
            .is_none()
            .then(|| format!("{name}: a run creates no objects of this kind"))
    })
}

fn of_conditions(tier: Tier, desired: &Desired) -> Option<String> {
    let conditions = &desired.conditions;
    let because = if conditions.webhook_removed && tier == Tier::Cluster {
        "a removed injection webhook: it is that of all who use the cluster"
    } else if !conditions.tls_limits.is_empty() {
        "limits of a proxy's TLS: istiod sets them for the whole mesh"
    } else if !conditions.obstacles.is_empty() {
        "faults of the network in front of a pod"
    } else if conditions.credentials.workloads.values().any(|it| it.short_lived) {
        "a leaf that expires while it is in use: it would be over before its pod is ready"
    } else if conditions
        .credentials
        .workloads
        .values()
        .any(|it| it.revocation != Revocation::Unchecked)
    {
        "revocation lists: agents take them from istiod"
    } else if conditions
        .credentials
        .workloads
        .values()
        .any(|it| it.supply != Supply::FULL)
    {
        "a secret that is missing: the agent then asks istiod for one"
    } else {
        return None;
    };
    Some(because.to_owned())
}

fn of_call(desired: &Desired, call: &Call) -> Option<String> {
    let server = target(&desired.topology, call);
    if call.kind.is_of_application() && server.is_some_and(|(pod, _)| pod == call.from.pod(0)) {
        return Some(format!(
            "{call}: a pod that calls itself, whose sidecar's log does not tell its ends apart"
        ));
    }
    match (&call.to, call.kind) {
        (Destination::Host { .. }, _) => Some(format!("{call}: the host is outside of the cluster")),
        (_, CallKind::Mirrored) => Some(format!(
            "{call}: statistics do not tell the copies of one call from those of another"
        )),
        _ => None,
    }
}
