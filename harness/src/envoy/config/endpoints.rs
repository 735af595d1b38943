//! Endpoints and the `tlsMode` mark that decides their socket.

use std::collections::HashMap;
use std::net::SocketAddr;

use envoy_types::pb::envoy::config::core::v3::{HealthStatus, Metadata};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as EnvoyEndpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::google::protobuf::UInt32Value;

use super::clusters::TLS_MODE;
use super::proto::{object, socket_address, text};
use crate::istio::policy::{Endpoint, Outbound};

/// The endpoints of a cluster. `place` says where a pod's port is reached; endpoints that are nowhere yet are left out.
pub(crate) fn assignment(
    outbound: &Outbound,
    place: impl Fn(&Endpoint) -> Option<SocketAddr>,
) -> ClusterLoadAssignment {
    let endpoints: Vec<LbEndpoint> = outbound
        .endpoints
        .iter()
        .filter_map(|endpoint| Some(lb_endpoint(endpoint, place(endpoint)?)))
        .collect();
    ClusterLoadAssignment {
        cluster_name: outbound.cluster_name(),
        endpoints: vec![LocalityLbEndpoints {
            load_balancing_weight: u32::try_from(endpoints.len())
                .ok()
                .filter(|count| *count > 0)
                .map(|value| UInt32Value { value }),
            lb_endpoints: endpoints,
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}

fn lb_endpoint(endpoint: &Endpoint, address: SocketAddr) -> LbEndpoint {
    let workload = &endpoint.pod.workload;
    let mut metadata = HashMap::from([(
        "istio".to_owned(),
        object([(
            "workload",
            text(&format!("{};{};;;Kubernetes", workload.name, workload.namespace)),
        )]),
    )]);
    if endpoint.tls_mode {
        metadata.insert(
            "envoy.transport_socket_match".to_owned(),
            object([(TLS_MODE, text("istio"))]),
        );
    }
    LbEndpoint {
        health_status: HealthStatus::Healthy.into(),
        load_balancing_weight: Some(UInt32Value { value: 1 }),
        metadata: Some(Metadata {
            filter_metadata: metadata,
            ..Metadata::default()
        }),
        host_identifier: Some(HostIdentifier::Endpoint(EnvoyEndpoint {
            address: Some(socket_address(address)),
            ..EnvoyEndpoint::default()
        })),
    }
}
