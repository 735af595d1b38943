//! Which kinds are served.

use serde_json::Value;

/// A kind that is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kind {
    /// API group; empty for the core.
    pub group: String,
    /// Versions served, the preferred one first.
    pub versions: Vec<String>,
    /// As in paths: `pods`.
    pub plural: String,
    /// As in objects: `Pod`.
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub is_namespaced: bool,
}

/// A kind as it is written here: group, versions, plural, kind, whether namespaced.
pub type Row = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    bool,
);

/// What every API server has.
const BUILT_IN: &[Row] = &[
    ("", &["v1"], "configmaps", "ConfigMap", true),
    ("", &["v1"], "endpoints", "Endpoints", true),
    ("", &["v1"], "events", "Event", true),
    ("", &["v1"], "namespaces", "Namespace", false),
    ("", &["v1"], "nodes", "Node", false),
    ("", &["v1"], "pods", "Pod", true),
    ("", &["v1"], "secrets", "Secret", true),
    ("", &["v1"], "serviceaccounts", "ServiceAccount", true),
    ("", &["v1"], "services", "Service", true),
    (
        "admissionregistration.k8s.io",
        &["v1"],
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        false,
    ),
    (
        "admissionregistration.k8s.io",
        &["v1"],
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        false,
    ),
    (
        "apiextensions.k8s.io",
        &["v1"],
        "customresourcedefinitions",
        "CustomResourceDefinition",
        false,
    ),
    ("apps", &["v1"], "daemonsets", "DaemonSet", true),
    ("apps", &["v1"], "deployments", "Deployment", true),
    ("apps", &["v1"], "replicasets", "ReplicaSet", true),
    ("apps", &["v1"], "statefulsets", "StatefulSet", true),
    ("batch", &["v1"], "jobs", "Job", true),
    ("coordination.k8s.io", &["v1"], "leases", "Lease", true),
    (
        "discovery.k8s.io",
        &["v1"],
        "endpointslices",
        "EndpointSlice",
        true,
    ),
    (
        "networking.k8s.io",
        &["v1"],
        "networkpolicies",
        "NetworkPolicy",
        true,
    ),
    (
        "policy",
        &["v1"],
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        true,
    ),
    (
        "rbac.authorization.k8s.io",
        &["v1"],
        "clusterrolebindings",
        "ClusterRoleBinding",
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        &["v1"],
        "clusterroles",
        "ClusterRole",
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        &["v1"],
        "rolebindings",
        "RoleBinding",
        true,
    ),
    ("rbac.authorization.k8s.io", &["v1"], "roles", "Role", true),
];

const NETWORKING: &[&str] = &["v1", "v1beta1", "v1alpha3"];

/// What the CRDs of Istio 1.30.3 add (manifests/charts/base/files/crd-all.gen.yaml@1.30.3).
pub const ISTIO: &[Row] = &[
    (
        "extensions.istio.io",
        &["v1alpha1"],
        "trafficextensions",
        "TrafficExtension",
        true,
    ),
    (
        "extensions.istio.io",
        &["v1alpha1"],
        "wasmplugins",
        "WasmPlugin",
        true,
    ),
    (
        "networking.istio.io",
        NETWORKING,
        "destinationrules",
        "DestinationRule",
        true,
    ),
    (
        "networking.istio.io",
        &["v1alpha3"],
        "envoyfilters",
        "EnvoyFilter",
        true,
    ),
    ("networking.istio.io", NETWORKING, "gateways", "Gateway", true),
    (
        "networking.istio.io",
        &["v1beta1"],
        "proxyconfigs",
        "ProxyConfig",
        true,
    ),
    (
        "networking.istio.io",
        NETWORKING,
        "serviceentries",
        "ServiceEntry",
        true,
    ),
    ("networking.istio.io", NETWORKING, "sidecars", "Sidecar", true),
    (
        "networking.istio.io",
        NETWORKING,
        "virtualservices",
        "VirtualService",
        true,
    ),
    (
        "networking.istio.io",
        NETWORKING,
        "workloadentries",
        "WorkloadEntry",
        true,
    ),
    (
        "networking.istio.io",
        NETWORKING,
        "workloadgroups",
        "WorkloadGroup",
        true,
    ),
    (
        "security.istio.io",
        &["v1", "v1beta1"],
        "authorizationpolicies",
        "AuthorizationPolicy",
        true,
    ),
    (
        "security.istio.io",
        &["v1", "v1beta1"],
        "peerauthentications",
        "PeerAuthentication",
        true,
    ),
    (
        "security.istio.io",
        &["v1", "v1beta1"],
        "requestauthentications",
        "RequestAuthentication",
        true,
    ),
    (
        "telemetry.istio.io",
        &["v1", "v1alpha1"],
        "telemetries",
        "Telemetry",
        true,
    ),
];

impl Kind {
    /// What every API server has.
    pub(crate) fn built_in() -> Vec<Self> {
        BUILT_IN.iter().map(Self::from).collect()
    }

    /// The kind that a CustomResourceDefinition defines.
    pub(crate) fn of_definition(definition: &Value) -> Option<Self> {
        let spec = definition.get("spec")?;
        let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let versions = spec.get("versions")?.as_array()?.iter();
        let served = versions.filter(|it| it["served"] != Value::Bool(false));
        Some(Self {
            group: text("/group")?,
            versions: served
                .filter_map(|it| it["name"].as_str().map(str::to_owned))
                .collect(),
            plural: text("/names/plural")?,
            kind: text("/names/kind")?,
            is_namespaced: text("/scope").as_deref() != Some("Cluster"),
        })
    }

    /// `v1`, or `apps/v1`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// `pods`, or `deployments.apps`, as messages name it.
    pub(crate) fn qualified(&self) -> String {
        match self.group.as_str() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }
}

impl From<&Row> for Kind {
    fn from((group, versions, plural, kind, is_namespaced): &Row) -> Self {
        Self {
            group: (*group).to_owned(),
            versions: versions.iter().map(|it| (*it).to_owned()).collect(),
            plural: (*plural).to_owned(),
            kind: (*kind).to_owned(),
            is_namespaced: *is_namespaced,
        }
    }
}
