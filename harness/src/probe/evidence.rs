//! What both ends of a call showed. The only input of the classifier.
//!
//! Every piece says by its type where it comes from; [`Evidence::instruments`] names those that a real mesh does not
//! show by default. Logs and statistics are those of this call alone: the mesh makes one call at a time per proxy
//! and takes the difference.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::kernel::KernelConnection;
use super::wire::WireConnection;
use crate::call::{CallKind, Payload};

/// Everything gathered about one call.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// Who originated the bytes; decides how the other pieces are read.
    pub kind: CallKind,
    /// What was spoken inside.
    pub payload: Payload,
    /// The pod port that was called; absent where the call is about no pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether the application is not ours: it answers what it likes to a path it does not know, and shows nothing of what it
    /// saw.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub foreign_application: bool,
    /// What the caller itself saw.
    pub caller: Caller,
    /// The caller's sidecar; absent where it has none or a raw call bypassed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_proxy: Option<ProxyEvidence>,
    /// The called pod's sidecar; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_proxy: Option<ProxyEvidence>,
    /// What the called application saw; absent where nothing reached it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<Application>,
    /// What the kernel saw of the connections that the harness and its proxies made for it, in the order in which they
    /// ended; empty where nobody watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernel: Vec<KernelConnection>,
    /// What was on the wire to the called pod; empty where nobody listened in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wire: Vec<WireConnection>,
    /// Pieces that are our own instruments and that a real mesh does not show by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instruments: Vec<String>,
    /// Set when evidence was still missing when waiting for it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// What the caller itself saw.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Caller {
    /// How far TCP came.
    pub connect: Connect,
    /// How the connection ended before a complete answer; absent when the answer was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The HTTP answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpAnswer>,
    /// The line answered over TCP, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// On raw TLS calls: what the handshake showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<RawTls>,
}

/// How far the caller's TCP connection came.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connect {
    /// Established.
    #[default]
    Connected,
    /// Refused by a reset.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The name or address leads nowhere.
    Unreachable,
}

/// How a connection ended without a complete answer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The peer closed in order.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// Nothing came in time.
    TimedOut,
}

/// An HTTP answer as the caller saw it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body (the first 2 KiB). Never decides an outcome by itself.
    pub body: String,
    /// Whether the answer is from the called application (it carries the call's nonce) and not made up by a proxy.
    pub from_application: bool,
}

/// What a raw TLS caller (rustls) saw.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RawTls {
    /// Whether the caller's side of the handshake completed. In TLS 1.3 a refused client sees this too.
    pub handshake_completed: bool,
    /// Negotiated version, as Envoy spells it (`TLSv1.3`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Negotiated ALPN protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// URI SANs of the server's leaf, captured before any judgement.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer_uris: Vec<String>,
    /// How many certificates the server sent.
    pub peer_chain_len: usize,
    /// The alert the server sent, by its RFC 8446 name in snake case (`certificate_expired`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_received: Option<String>,
    /// What rustls reported, where it was no alert (for example `received corrupt message of type InvalidContentType`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What one sidecar showed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyEvidence {
    /// The Envoy version, as the binary reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envoy: Option<Version>,
    /// Whether its access log has no fields for TLS versions and peers, as Istio's own formats have none: that an entry has
    /// none then tells nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_unlogged: bool,
    /// Access log of HTTP requests and TCP connections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_log: Vec<AccessLogEntry>,
    /// Unfiltered listener access log (inbound): the only log in which failed handshakes appear. Our instrument.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listener_log: Vec<AccessLogEntry>,
    /// Statistics that moved, by their full Envoy name, as differences.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stats: BTreeMap<String, i64>,
    /// Lines of Envoy's connection debug log that speak of TLS or of failure, message text only. Our instrument.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub debug_log: Vec<String>,
    /// Secrets the proxy still waits for; empty when it has all it asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_secrets: Vec<String>,
    /// The certificate in use: serial and expiry as Envoy's `/certs` shows them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateInUse>,
    /// Trust domains whose clients the inbound listener accepts, from the SAN prefixes in its active configuration.
    /// Empty: not looked up; the trust domain of its own certificate then stands in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_trust_domains: Vec<String>,
}

/// A certificate a proxy has loaded.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateInUse {
    /// `leaf` or `ca`.
    pub role: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// URI subject alternative names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<String>,
    /// `notBefore`, RFC 3339.
    pub valid_from: String,
    /// `notAfter`, RFC 3339.
    pub expires: String,
}

/// One line of an access log of our own format. Fields Envoy prints as `-` are absent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct AccessLogEntry {
    /// `%RESPONSE_CODE%`; 0 for TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// `%RESPONSE_CODE_DETAILS%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// `%RESPONSE_FLAGS%`, for example `URX,UF`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<String>,
    /// `%UPSTREAM_REQUEST_ATTEMPT_COUNT%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// `%CONNECTION_TERMINATION_DETAILS%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination: Option<String>,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_fail: Option<String>,
    /// `%DOWNSTREAM_TRANSPORT_FAILURE_REASON%`. Since Envoy 1.38 also set on successful plaintext connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_fail: Option<String>,
    /// `%UPSTREAM_CLUSTER_RAW%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_cluster: Option<String>,
    /// `%ROUTE_NAME%`; `block_all` is istiod's REGISTRY_ONLY answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// `%UPSTREAM_HOST%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_host: Option<String>,
    /// `%UPSTREAM_TLS_VERSION%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_tls: Option<String>,
    /// `%UPSTREAM_PEER_URI_SAN%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_peer_uri: Option<String>,
    /// `%DOWNSTREAM_TLS_VERSION%`. Set for refused peers too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// `%DOWNSTREAM_PEER_URI_SAN%`. Set for refused peers too: never proof of authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_uri: Option<String>,
    /// `%REQUESTED_SERVER_NAME%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// `%FILTER_CHAIN_NAME%`. Shared by TLS and plaintext chains in a real mesh: never decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// `%DOWNSTREAM_REMOTE_ADDRESS%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// What the called application saw of the call.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Application {
    /// The pod port on which they arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What the bytes were.
    pub saw: Bytes,
    /// How many requests or connections with this call's nonce arrived, 0 when the bytes were not understood.
    pub requests: u32,
    /// `X-Forwarded-Client-Cert`, set by the server's sidecar on terminated mTLS over HTTP only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_client_cert: Option<String>,
}

/// What an application's first bytes were.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bytes {
    /// An HTTP request.
    #[default]
    Http,
    /// A line of text.
    Line,
    /// A TLS ClientHello that nobody terminated.
    ClientHello,
    /// Something else.
    Other,
}
