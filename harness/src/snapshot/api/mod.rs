//! Istio's API objects, as far as they decide about mTLS. The parts that do are typed strictly: a misspelt field
//! is an error here, as it is for the API server.
//!
//! Source: the CRDs of istio/istio@1.30.3, manifests/charts/base/files/crd-all.gen.yaml.

mod destination_rule;
mod peer_authentication;
mod selector;
mod virtual_service;

pub use destination_rule::{
    ClientTlsSettings, ConnectionPool, DestinationRule, DestinationRuleSpec, LoadBalancer, PortSelector,
    PortTrafficPolicy, Subset, TcpSettings, TlsMode, TrafficPolicy,
};
pub use peer_authentication::{Mtls, PeerAuthentication, PeerAuthenticationSpec, PeerMode};
pub use selector::WorkloadSelector;
pub use virtual_service::{
    HttpMirrorPolicy, HttpRoute, Percent, RouteDestination, TcpRoute, VirtualService, VirtualServiceSpec,
    WeightedDestination,
};
