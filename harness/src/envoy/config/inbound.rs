//! The server end: the chains of one pod port behind a front.
//!
//! istiod puts the chains of all ports into one listener, `virtualInbound`, and matches on the original destination
//! port. Without interception every port is a listener of its own, with the same chains less that match.

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, MaxStreamDuration};
use envoy_types::pb::envoy::config::route::v3::{
    RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_match,
};
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::google::protobuf::UInt32Value;

use super::access_log::{self, Source};
use super::proto::{boolean, listener_filter, seconds, socket_address};
use super::{Acceptance, Front, Instruments, http, tls};
use crate::istio::policy::{Inbound, InboundChain, InboundGroup, InboundTransport};

/// Statistics are counted as `listener.0.0.0.0_15006.*`, as in a real mesh.
const STAT_PREFIX: &str = "0.0.0.0_15006";

/// The listener of one pod port.
pub(crate) fn listener(
    inbound: &Inbound,
    acceptance: &Acceptance,
    front: Front,
    instruments: &Instruments,
) -> Listener {
    let mut listener_filters = Vec::new();
    if inbound.tls_inspector {
        let inspector = TlsInspector {
            initial_read_buffer_size: Some(UInt32Value { value: 512 }),
            ..TlsInspector::default()
        };
        listener_filters.push(listener_filter("envoy.filters.listener.tls_inspector", inspector));
    }
    if inbound.http_inspector {
        listener_filters.push(listener_filter(
            "envoy.filters.listener.http_inspector",
            HttpInspector::default(),
        ));
    }
    Listener {
        name: name(inbound.port),
        address: Some(socket_address(front.address)),
        stat_prefix: STAT_PREFIX.to_owned(),
        traffic_direction: TrafficDirection::Inbound.into(),
        listener_filters,
        // As recorded: no limit, so a silent client hangs for ever.
        listener_filters_timeout: seconds(0),
        continue_on_listener_filters_timeout: true,
        max_connections_to_accept_per_socket_event: Some(UInt32Value { value: 1 }),
        access_log: access_log::file(Source::Listener, instruments),
        filter_chains: inbound
            .chains
            .iter()
            .map(|chain| filter_chain(inbound, *chain, acceptance, front, instruments))
            .collect(),
        ..Listener::default()
    }
}

/// The name of the front of a pod port.
pub(crate) fn name(port: u16) -> String {
    format!("virtualInbound_{port}")
}

fn filter_chain(
    inbound: &Inbound,
    chain: InboundChain,
    acceptance: &Acceptance,
    front: Front,
    instruments: &Instruments,
) -> FilterChain {
    let transport = match chain.transport {
        InboundTransport::Tls => "tls",
        InboundTransport::RawBuffer => "raw_buffer",
    };
    FilterChain {
        name: chain_name(inbound, chain),
        filter_chain_match: Some(FilterChainMatch {
            transport_protocol: transport.to_owned(),
            application_protocols: chain.alpn.iter().map(|&protocol| protocol.to_owned()).collect(),
            ..FilterChainMatch::default()
        }),
        filters: vec![
            http::original_dst(front),
            application_filter(inbound, chain, instruments),
        ],
        transport_socket: chain.terminates_mtls.then(|| tls::downstream(acceptance)),
        ..FilterChain::default()
    }
}

/// All chains of a declared port share one name, so it cannot tell TLS from plaintext.
fn chain_name(inbound: &Inbound, chain: InboundChain) -> String {
    match (&inbound.group, chain.http) {
        (InboundGroup::CatchAll, true) => "virtualInbound-catchall-http".to_owned(),
        (InboundGroup::CatchAll, false) => "virtualInbound".to_owned(),
        (InboundGroup::Declared { .. } | InboundGroup::PortLevel, _) => format!("0.0.0.0_{}", inbound.port),
    }
}

/// The cluster that reaches the application.
fn cluster_name(inbound: &Inbound) -> String {
    match inbound.group {
        InboundGroup::Declared { .. } => format!("inbound|{}||", inbound.port),
        InboundGroup::PortLevel | InboundGroup::CatchAll => "InboundPassthroughCluster".to_owned(),
    }
}

fn application_filter(inbound: &Inbound, chain: InboundChain, instruments: &Instruments) -> Filter {
    let cluster = cluster_name(inbound);
    if !chain.http {
        return http::tcp_proxy(&cluster, Source::Inbound, instruments);
    }
    let (stat_prefix, port) = match inbound.group {
        InboundGroup::Declared { .. } => (format!("inbound_0.0.0.0_{};", inbound.port), inbound.port),
        InboundGroup::PortLevel | InboundGroup::CatchAll => (format!("{cluster};"), 0),
    };
    http::inbound_manager(&stat_prefix, routes(&cluster, port), instruments)
}

fn routes(cluster: &str, port: u16) -> RouteConfiguration {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        timeout: seconds(0),
        max_stream_duration: Some(MaxStreamDuration {
            max_stream_duration: seconds(0),
            grpc_timeout_header_max: seconds(0),
            ..MaxStreamDuration::default()
        }),
        retry_policy: Some(RetryPolicy {
            retry_on: "reset-before-request".to_owned(),
            num_retries: Some(UInt32Value { value: 2 }),
            ..RetryPolicy::default()
        }),
        ..RouteAction::default()
    };
    RouteConfiguration {
        name: cluster.to_owned(),
        validate_clusters: boolean(false),
        virtual_hosts: vec![VirtualHost {
            name: format!("inbound|http|{port}"),
            domains: vec!["*".to_owned()],
            routes: vec![Route {
                name: "default".to_owned(),
                r#match: Some(RouteMatch {
                    path_specifier: Some(route_match::PathSpecifier::Prefix("/".to_owned())),
                    ..RouteMatch::default()
                }),
                action: Some(route::Action::Route(action)),
                ..Route::default()
            }],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    }
}
