//! The server end: the chains of pod ports.
//!
//! istiod puts the chains of all ports into one listener, `virtualInbound`, and matches on the original destination
//! port. Without interception every port is a listener of its own behind a front, with the same chains less that match.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::listener_filter_chain_match_predicate::{MatchSet, Rule};
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
    ListenerFilterChainMatchPredicate as Predicate,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, MaxStreamDuration};
use envoy_types::pb::envoy::config::route::v3::{
    RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_match,
};
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::r#type::v3::Int32Range;
use envoy_types::pb::google::protobuf::UInt32Value;

use super::access_log::{self, Source};
use super::proto::{boolean, listener_filter, seconds, socket_address};
use super::{Acceptance, Front, INBOUND_PORT, Instruments, http, tls};
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
    let filters = [
        inbound.tls_inspector.then(tls_inspector),
        inbound.http_inspector.then(http_inspector),
    ];
    let chain = |chain: &InboundChain| {
        let chain = filter_chain(inbound, *chain, acceptance, instruments);
        FilterChain {
            filters: [vec![http::original_dst(front)], chain.filters].concat(),
            ..chain
        }
    };
    Listener {
        name: name(inbound.port),
        address: Some(socket_address(front.address)),
        listener_filters: filters.into_iter().flatten().collect(),
        filter_chains: inbound.chains.iter().map(chain).collect(),
        ..common(instruments)
    }
}

/// The listener of all ports of a pod, behind interception. `any` is what a port gets that is not among `ports`.
pub(crate) fn virtual_inbound(
    ports: &[Inbound],
    any: &Inbound,
    acceptance: &Acceptance,
    instruments: &Instruments,
) -> Listener {
    let mut chains = vec![FilterChain {
        name: "virtualInbound-blackhole".to_owned(),
        filter_chain_match: Some(of_port(INBOUND_PORT, FilterChainMatch::default())),
        filters: vec![http::tcp_proxy("BlackHoleCluster", Source::Inbound, instruments)],
        ..FilterChain::default()
    }];
    let render =
        |inbound: &Inbound, chain: &InboundChain| filter_chain(inbound, *chain, acceptance, instruments);
    chains.extend(any.chains.iter().map(|chain| render(any, chain)));
    for inbound in ports {
        chains.extend(inbound.chains.iter().map(|chain| {
            let chain = render(inbound, chain);
            FilterChain {
                filter_chain_match: chain.filter_chain_match.map(|it| of_port(inbound.port, it)),
                ..chain
            }
        }));
    }
    let original_dst = listener_filter("envoy.filters.listener.original_dst", OriginalDst::default());
    let inspected = |inspects: fn(&Inbound) -> bool, filter: ListenerFilter| {
        inspector(
            inspects(any),
            ports.iter().map(|it| (it.port, inspects(it))).collect(),
            filter,
        )
    };
    let filters = [
        Some(original_dst),
        inspected(|it| it.tls_inspector, tls_inspector()),
        inspected(|it| it.http_inspector, http_inspector()),
    ];
    Listener {
        name: "virtualInbound".to_owned(),
        address: Some(socket_address((Ipv4Addr::UNSPECIFIED, INBOUND_PORT).into())),
        listener_filters: filters.into_iter().flatten().collect(),
        filter_chains: chains,
        ..common(instruments)
    }
}

fn of_port(port: u16, chain: FilterChainMatch) -> FilterChainMatch {
    FilterChainMatch {
        destination_port: Some(UInt32Value { value: port.into() }),
        ..chain
    }
}

/// An inspector that looks at connections to the ports that need it: at all but some, or at some alone, by what ports
/// get that are not listed (core/listener_inbound.go@1.30.3, `populateListenerFilters`).
fn inspector(
    by_default: bool,
    mut ports: BTreeMap<u16, bool>,
    filter: ListenerFilter,
) -> Option<ListenerFilter> {
    ports.insert(INBOUND_PORT, false);
    let is_needed = by_default || ports.values().any(|needed| *needed);
    let exceptions = ports.into_iter().filter(|(_, needed)| *needed != by_default);
    let mut rules: Vec<Predicate> = exceptions.map(|(port, _)| destination_port(port)).collect();
    let listed = match rules.len() {
        1 => rules.remove(0),
        _ => predicate(Rule::OrMatch(MatchSet { rules })),
    };
    let disabled = if by_default {
        listed
    } else {
        predicate(Rule::NotMatch(Box::new(listed)))
    };
    is_needed.then_some(ListenerFilter {
        filter_disabled: Some(disabled),
        ..filter
    })
}

fn destination_port(port: u16) -> Predicate {
    predicate(Rule::DestinationPortRange(Int32Range {
        start: port.into(),
        end: i32::from(port) + 1,
    }))
}

fn predicate(rule: Rule) -> Predicate {
    Predicate { rule: Some(rule) }
}

fn common(instruments: &Instruments) -> Listener {
    Listener {
        stat_prefix: STAT_PREFIX.to_owned(),
        traffic_direction: TrafficDirection::Inbound.into(),
        // As recorded: no limit, so a silent client hangs for ever.
        listener_filters_timeout: seconds(0),
        continue_on_listener_filters_timeout: true,
        max_connections_to_accept_per_socket_event: Some(UInt32Value { value: 1 }),
        access_log: access_log::file(Source::Listener, instruments),
        ..Listener::default()
    }
}

fn tls_inspector() -> ListenerFilter {
    let inspector = TlsInspector {
        initial_read_buffer_size: Some(UInt32Value { value: 512 }),
        ..TlsInspector::default()
    };
    listener_filter("envoy.filters.listener.tls_inspector", inspector)
}

fn http_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.http_inspector", HttpInspector::default())
}

/// The name of the front of a pod port.
pub(crate) fn name(port: u16) -> String {
    format!("virtualInbound_{port}")
}

fn filter_chain(
    inbound: &Inbound,
    chain: InboundChain,
    acceptance: &Acceptance,
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
        filters: vec![application_filter(inbound, chain, instruments)],
        transport_socket: chain
            .terminates_mtls
            .then(|| tls::downstream(acceptance, instruments)),
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
