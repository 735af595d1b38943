//! The kinds of objects that a run may create.

use crate::kubernetes::Resource;

macro_rules! resource {
    ($name:ident, $group:literal, $versions:expr, $plural:literal, $kind:literal) => {
        pub(super) const $name: Resource = Resource {
            group: $group,
            versions: $versions,
            plural: $plural,
            kind: $kind,
        };
    };
}

resource!(NAMESPACES, "", &["v1"], "namespaces", "Namespace");
resource!(PODS, "", &["v1"], "pods", "Pod");
resource!(EVENTS, "", &["v1"], "events", "Event");
resource!(SECRETS, "", &["v1"], "secrets", "Secret");
resource!(CONFIG_MAPS, "", &["v1"], "configmaps", "ConfigMap");
resource!(SERVICES, "", &["v1"], "services", "Service");
resource!(SERVICE_ACCOUNTS, "", &["v1"], "serviceaccounts", "ServiceAccount");
resource!(DEPLOYMENTS, "apps", &["v1"], "deployments", "Deployment");
resource!(DAEMON_SETS, "apps", &["v1"], "daemonsets", "DaemonSet");
resource!(STATEFUL_SETS, "apps", &["v1"], "statefulsets", "StatefulSet");
resource!(JOBS, "batch", &["v1"], "jobs", "Job");
resource!(
    ENVOY_FILTERS,
    "networking.istio.io",
    &["v1alpha3"],
    "envoyfilters",
    "EnvoyFilter"
);
resource!(
    DESTINATION_RULES,
    "networking.istio.io",
    &["v1", "v1beta1"],
    "destinationrules",
    "DestinationRule"
);
resource!(
    VIRTUAL_SERVICES,
    "networking.istio.io",
    &["v1", "v1beta1"],
    "virtualservices",
    "VirtualService"
);
resource!(
    PEER_AUTHENTICATIONS,
    "security.istio.io",
    &["v1", "v1beta1"],
    "peerauthentications",
    "PeerAuthentication"
);
resource!(
    AUTHORIZATION_POLICIES,
    "security.istio.io",
    &["v1", "v1beta1"],
    "authorizationpolicies",
    "AuthorizationPolicy"
);
resource!(
    TELEMETRIES,
    "telemetry.istio.io",
    &["v1", "v1alpha1"],
    "telemetries",
    "Telemetry"
);
resource!(
    WEBHOOKS,
    "admissionregistration.k8s.io",
    &["v1"],
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration"
);

/// What a run may create in the root namespace of a kind cluster.
pub(super) const POLICIES: [&Resource; 5] = [
    &PEER_AUTHENTICATIONS,
    &AUTHORIZATION_POLICIES,
    &DESTINATION_RULES,
    &VIRTUAL_SERVICES,
    &TELEMETRIES,
];

/// What a run may create, in the order in which it does: what others refer to comes first, pods last.
pub(super) const CREATED: [&Resource; 15] = [
    &NAMESPACES,
    &SERVICE_ACCOUNTS,
    &SECRETS,
    &CONFIG_MAPS,
    &PEER_AUTHENTICATIONS,
    &AUTHORIZATION_POLICIES,
    &DESTINATION_RULES,
    &VIRTUAL_SERVICES,
    &TELEMETRIES,
    &SERVICES,
    &DEPLOYMENTS,
    &STATEFUL_SETS,
    &DAEMON_SETS,
    &JOBS,
    &PODS,
];

/// The resource of a kind that a run may create, and its place in the order.
pub(super) fn created(kind: &str) -> Option<(usize, &'static Resource)> {
    let mut all = CREATED.into_iter().enumerate();
    all.find(|(_, it)| it.kind == kind)
}
