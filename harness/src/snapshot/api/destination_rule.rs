//! `networking.istio.io` DestinationRule.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::WorkloadSelector;

/// How clients call a host.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct DestinationRule {
    /// Name, namespace, age.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What it says.
    #[serde(default)]
    pub spec: DestinationRuleSpec,
}

/// `DestinationRule.spec`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationRuleSpec {
    /// Host, short name, or wildcard.
    #[serde(default)]
    pub host: String,
    /// For every call.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named groups of endpoints.
    #[serde(default)]
    pub subsets: Vec<Subset>,
    /// Namespaces whose clients see the rule; empty: the mesh's default.
    #[serde(default)]
    pub export_to: Vec<String>,
    /// Client pods it is about.
    pub workload_selector: Option<WorkloadSelector>,
}

/// `DestinationRule.spec.subsets[]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subset {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Labels of its endpoints.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What differs from the rule's policy.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// `TrafficPolicy`; what cannot move an mTLS outcome is kept untyped.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficPolicy {
    /// TLS of the client.
    pub tls: Option<ClientTlsSettings>,
    /// By service port; an entry replaces this policy as a whole.
    #[serde(default)]
    pub port_level_settings: Vec<PortTrafficPolicy>,
    /// Timeouts and limits.
    pub connection_pool: Option<ConnectionPool>,
    /// PASSTHROUGH changes how endpoints are found.
    pub load_balancer: Option<LoadBalancer>,
    /// Not read.
    pub outlier_detection: Option<Value>,
    /// Not read.
    pub tunnel: Option<Value>,
    /// Not read.
    pub proxy_protocol: Option<Value>,
    /// Not read.
    pub retry_budget: Option<Value>,
}

/// `TrafficPolicy.PortTrafficPolicy`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortTrafficPolicy {
    /// The service port.
    pub port: Option<PortSelector>,
    /// TLS of the client.
    pub tls: Option<ClientTlsSettings>,
    /// Timeouts and limits.
    pub connection_pool: Option<ConnectionPool>,
    /// PASSTHROUGH changes how endpoints are found.
    pub load_balancer: Option<LoadBalancer>,
    /// Not read.
    pub outlier_detection: Option<Value>,
}

/// `PortSelector`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PortSelector {
    /// The service port.
    #[serde(default)]
    pub number: u32,
}

/// `ClientTLSSettings`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientTlsSettings {
    /// Absent means DISABLE.
    #[serde(default)]
    pub mode: TlsMode,
    /// File of the client certificate (MUTUAL).
    pub client_certificate: Option<String>,
    /// File of its key (MUTUAL).
    pub private_key: Option<String>,
    /// File of the roots to verify the server with.
    pub ca_certificates: Option<String>,
    /// A Kubernetes secret instead of files; for gateways, and for rules with a workloadSelector.
    pub credential_name: Option<String>,
    /// SANs of which the server must show one.
    #[serde(default)]
    pub subject_alt_names: Vec<String>,
    /// Server name to ask for.
    pub sni: Option<String>,
    /// Whether the server is not verified.
    pub insecure_skip_verify: Option<bool>,
    /// File of a revocation list.
    pub ca_crl: Option<String>,
}

/// `ClientTLSSettings.TLSmode`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// Plaintext.
    #[default]
    Disable,
    /// mTLS with the workload's certificate.
    IstioMutual,
    /// TLS with the client certificate named.
    Mutual,
    /// TLS without client certificate.
    Simple,
}

/// `ConnectionPoolSettings`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionPool {
    /// TCP limits.
    pub tcp: Option<TcpSettings>,
    /// HTTP limits; `h2UpgradePolicy` is read.
    pub http: Option<Value>,
}

/// `ConnectionPoolSettings.TCPSettings`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpSettings {
    /// A duration such as `3s`.
    pub connect_timeout: Option<String>,
    /// Not read.
    pub max_connections: Option<Value>,
    /// Not read.
    pub tcp_keepalive: Option<Value>,
    /// Not read.
    pub max_connection_duration: Option<Value>,
    /// Not read.
    pub idle_timeout: Option<Value>,
}

/// `LoadBalancerSettings`; only `simple` is read.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// For example PASSTHROUGH.
    pub simple: Option<String>,
}

impl LoadBalancer {
    /// Whether the endpoint is whatever address the application dialled.
    #[must_use]
    pub fn is_passthrough(&self) -> bool {
        self.simple.as_deref() == Some("PASSTHROUGH")
    }
}
