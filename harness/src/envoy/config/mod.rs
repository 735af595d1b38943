//! What a sidecar is told: typed Envoy resources in the shapes that istiod 1.30 sends.
//!
//! Everything is rendered from the answers of policy resolution ([`crate::istio::policy`]); nothing is decided here.
//! Where this tier cannot have what a cluster has (interception, pod addresses), a [`Front`] stands in for it: a
//! listener on a port of its own that carries the address the application would have dialled.

pub(crate) mod access_log;
pub(crate) mod bootstrap;
mod clusters;
mod endpoints;
mod http;
mod inbound;
mod istio_logs;
mod outbound;
mod proto;
mod tls;

pub(crate) use clusters::{blackhole, inbound_passthrough, passthrough};
pub(crate) use clusters::{inbound as inbound_cluster, outbound as outbound_cluster};
pub(crate) use endpoints::assignment;
pub(crate) use inbound::{listener as inbound_listener, name as inbound_name, virtual_inbound};
pub(crate) use istio_logs::IstioLogs;
pub(crate) use outbound::{Routed, Target, listener as outbound_listener, routes, virtual_outbound};
pub(crate) use proto::socket_address;
pub(crate) use tls::{
    ROOT_SECRET, SYSTEM_ROOTS_SECRET, WORKLOAD_SECRET, certificate_secret, validation_secret,
};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;

use crate::call::Connections;
use crate::fault::TlsLimits;

/// Everything one proxy is sent over ADS.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Resources {
    /// CDS.
    pub(crate) clusters: Vec<Cluster>,
    /// EDS.
    pub(crate) endpoints: Vec<ClusterLoadAssignment>,
    /// LDS.
    pub(crate) listeners: Vec<Listener>,
    /// RDS.
    pub(crate) routes: Vec<RouteConfiguration>,
}

/// Deliberate departures from istiod's output that make a probe see faults, all documented in the design.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instruments {
    /// Where our own access log goes.
    pub(crate) access_log: PathBuf,
    /// Deliberate limits of the proxy's TLS as it calls.
    pub(crate) limits: TlsLimits,
    /// What requests share. In a real mesh they share connections; unless they do here, each makes one of its own.
    pub(crate) connections: Connections,
    /// What Istio would have it log, where that is wanted beside our own access log.
    pub(crate) istio_logs: Option<Arc<IstioLogs>>,
    /// Where it tells the secrets of its TLS connections, where the wire is listened in on.
    pub(crate) key_log: Option<PathBuf>,
}

/// What a server demands of mesh mTLS beyond a certificate of a trusted root.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Acceptance {
    /// The trust domains of which clients may be.
    pub(crate) trust_domains: Vec<String>,
    /// `meshMTLS.minProtocolVersion: TLSV1_3`.
    pub(crate) only_tls_1_3: bool,
    /// Deliberate limits of the proxy's TLS as it is called.
    pub(crate) limits: TlsLimits,
}

/// The port to which interception leads what a pod sends.
pub(crate) const OUTBOUND_PORT: u16 = 15001;
/// The port to which interception leads what a pod is sent.
pub(crate) const INBOUND_PORT: u16 = 15006;

/// How bytes come to an outbound listener.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Entry {
    /// They are sent to it.
    Front(Front),
    /// They were sent to this address, captured, and `virtualOutbound` hands them on. `0.0.0.0` is any address.
    Captured(SocketAddr),
}

/// A listener that stands in for interception on one destination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Front {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What `SO_ORIGINAL_DST` would have answered.
    pub(crate) original_dst: SocketAddr,
}
