//! The answers of policy resolution: what istiod would configure at each end of a call.
//!
//! The Envoy configuration is rendered from these types and nothing else, and the prediction reads the same ones.

use semver::Version;
use serde::Serialize;

use super::rule_id::RuleId;
use crate::call::PodName;
use crate::fault::CipherSuite;

/// One step of a decision: the rule applied and the object that made it apply.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct Because {
    /// `Kind/namespace/name`; absent when a default decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The rule, for example `peer-authentication.namespace`.
    pub rule: RuleId,
}

/// The mTLS mode of a server port.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MtlsMode {
    /// Plaintext only.
    Disable,
    /// Both.
    Permissive,
    /// Mesh mTLS only.
    Strict,
}

/// How a listener treats a port (pilot/pkg/networking/networking.go: `ListenerProtocol`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerClass {
    /// http, http2, grpc, grpc-web.
    Http,
    /// tcp, https, tls, mongo, redis, mysql.
    Tcp,
    /// Nothing declared: detected from the first bytes.
    Auto,
}

/// Why a pod port has the chains it has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InboundGroup {
    /// A Service selecting the pod declares it; its FQDN.
    Declared {
        /// FQDN of the Service.
        service: String,
        /// Namespace of the Service.
        namespace: String,
        /// Name of the Service.
        name: String,
    },
    /// No Service declares it, a `portLevelMtls` entry does.
    PortLevel,
    /// Neither: the catch-all chains.
    CatchAll,
}

/// TLS 1.2 cipher suites of istiod's inbound contexts, in the server's order (recorded from istiod 1.30.3).
pub const INBOUND_CIPHER_SUITES: [CipherSuite; 6] = [
    CipherSuite::EcdheEcdsaAes256Gcm,
    CipherSuite::EcdheRsaAes256Gcm,
    CipherSuite::EcdheEcdsaAes128Gcm,
    CipherSuite::EcdheRsaAes128Gcm,
    CipherSuite::Aes256Gcm,
    CipherSuite::Aes128Gcm,
];

/// What a server's sidecar does on one pod port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inbound {
    /// The pod port.
    pub port: u16,
    /// Effective mode.
    pub mode: MtlsMode,
    /// How the port is treated.
    pub class: ListenerClass,
    /// Which group of chains answers for it.
    pub group: InboundGroup,
    /// The chains, in istiod's order. Envoy takes the most specific transport protocol, then ALPN, without backtracking.
    pub chains: Vec<InboundChain>,
    /// Whether the TLS inspector looks at connections to this port.
    pub tls_inspector: bool,
    /// Whether the HTTP inspector does.
    pub http_inspector: bool,
    /// What decided the mode.
    pub because: Vec<Because>,
}

impl Inbound {
    /// Whether a Service declares the port, so that it has a cluster of its own.
    #[must_use]
    pub const fn is_declared(&self) -> bool {
        matches!(self.group, InboundGroup::Declared { .. })
    }
}

/// One inbound filter chain.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct InboundChain {
    /// `transport_protocol` to match.
    pub transport: InboundTransport,
    /// ALPN protocols to match; empty: any.
    pub alpn: &'static [&'static str],
    /// Whether the chain terminates mesh mTLS (and demands a client certificate); otherwise bytes pass as they are.
    pub terminates_mtls: bool,
    /// Whether an HTTP connection manager or a TCP proxy handles the bytes.
    pub http: bool,
}

/// The transport a chain matches.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum InboundTransport {
    /// `tls`.
    Tls,
    /// `raw_buffer`.
    RawBuffer,
}

/// How a cluster finds its endpoints.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Discovery {
    /// EDS, per-endpoint TLS possible.
    Eds,
    /// The address the application dialled (headless, PASSTHROUGH): one TLS decision for the whole cluster.
    OriginalDst,
}

/// What a client's sidecar does for one (service, port, subset).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outbound {
    /// FQDN of the service.
    pub host: String,
    /// Namespace of the service.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Service port.
    pub port: u16,
    /// Subset, if the call or a route names one.
    pub subset: Option<String>,
    /// How the client's listener treats the port.
    pub class: ListenerClass,
    /// Whether the port is declared HTTP/2 (http2, grpc, grpc-web).
    pub http2: bool,
    /// Whether the service has no cluster IP, so that its pods may be called by name.
    pub headless: bool,
    /// How endpoints are found.
    pub discovery: Discovery,
    /// TLS settings of the cluster.
    pub tls: ClientTls,
    /// The endpoints, in a stable order.
    pub endpoints: Vec<Endpoint>,
    /// `trafficPolicy.connectionPool.tcp.connectTimeout` of the rule in force, in milliseconds.
    pub connect_timeout_ms: Option<u64>,
    /// The DestinationRule in force, `namespace/name`.
    pub destination_rule: Option<String>,
    /// What decided, in order.
    pub because: Vec<Because>,
}

impl Outbound {
    /// istiod's cluster name: `outbound|8080|subset|host`.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        cluster_name(self.port, self.subset.as_deref(), &self.host)
    }
}

fn cluster_name(port: u16, subset: Option<&str>, host: &str) -> String {
    format!("outbound|{port}|{}|{host}", subset.unwrap_or_default())
}

/// Where a VirtualService sends the HTTP requests of one service port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Where they go, each with its weight; several share them by weight.
    pub destinations: Vec<(RouteTarget, u32)>,
    /// Where copies go whose answers are thrown away.
    pub mirrors: Vec<Mirror>,
}

/// A cluster that a route names. The client may not have it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteTarget {
    /// FQDN of the service.
    pub host: String,
    /// Service port.
    pub port: u16,
    /// Subset.
    pub subset: Option<String>,
}

impl RouteTarget {
    /// istiod's cluster name.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        cluster_name(self.port, self.subset.as_deref(), &self.host)
    }
}

/// Where copies of requests go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mirror {
    /// The cluster that gets them.
    pub to: RouteTarget,
    /// Of how many requests in a million.
    pub per_million: u32,
}

impl Mirror {
    /// Whether every request is copied.
    #[must_use]
    pub const fn is_of_all(&self) -> bool {
        self.per_million == 1_000_000
    }
}

/// One endpoint of a service port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// The pod.
    pub pod: PodName,
    /// The pod port.
    pub port: u16,
    /// Whether istiod marks it `tlsMode: istio` for this client's cluster.
    pub tls_mode: bool,
}

/// TLS of a client cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientTls {
    /// No TLS for any endpoint, and no transport socket on the cluster.
    Plaintext,
    /// `transport_socket_matches`: TLS for endpoints marked `tlsMode: istio`, plaintext for the others.
    Auto(TlsOrigination),
    /// The same TLS for every endpoint.
    Fixed(TlsOrigination),
}

/// How a client originates TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsOrigination {
    /// Which certificate is offered.
    pub certificate: ClientCertificate,
    /// Against which roots the server is verified.
    pub trust: Trust,
    /// Exact SANs of which the server must show one; empty: any.
    pub sans: Vec<String>,
    /// SNI; `None` with `auto_sni`.
    pub sni: Option<String>,
    /// ALPN of the TLS context.
    pub alpn: Vec<String>,
    /// Whether istio.alpn replaces the ALPN of HTTP requests by the istio-http/* forms (mesh mTLS only).
    pub alpn_override: bool,
    /// SNI from the Host header, for HTTP.
    pub auto_sni: bool,
    /// SAN checked against the automatic SNI.
    pub auto_san_validation: bool,
}

/// The certificate a client offers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientCertificate {
    /// None (SIMPLE).
    None,
    /// The workload's own (ISTIO_MUTUAL, auto mTLS).
    Workload,
    /// Files named by the rule (MUTUAL).
    Files {
        /// `clientCertificate`.
        certificate: String,
        /// `privateKey`.
        key: String,
    },
}

/// What a client verifies the server against.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trust {
    /// The mesh roots.
    Mesh,
    /// A CA file named by the rule.
    File(String),
    /// The system's roots.
    System,
    /// Nothing (insecureSkipVerify).
    Nobody,
}

/// What a pod is, as far as mTLS goes. Absence of a sidecar carries its reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sidecar {
    /// It has one, of this release.
    Injected {
        /// The proxy's Istio release: that of the control plane, or of `sidecar.istio.io/proxyImage`.
        release: Version,
    },
    /// It has none.
    Absent {
        /// Why not.
        reason: NoSidecar,
    },
}

/// Why a pod has no sidecar.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoSidecar {
    /// Neither the namespace nor the pod asks for injection.
    NotRequested,
    /// The namespace is labelled `istio-injection=disabled`.
    NamespaceDisabled,
    /// The pod label or annotation `sidecar.istio.io/inject` says no.
    PodDisabled,
    /// `hostNetwork: true` is never injected.
    HostNetwork,
    /// kube-system and kube-public are never injected.
    SystemNamespace,
    /// No injection webhook was registered when it was made.
    NoWebhook,
    /// A live pod without an istio-proxy container or without the `security.istio.io/tlsMode: istio` label.
    NotInPod,
}
