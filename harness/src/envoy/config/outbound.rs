//! The client end: listeners and routes of what a sidecar sends out.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use envoy_types::pb::envoy::config::core::v3::{RuntimeFractionalPercent, TrafficDirection};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::envoy::config::route::v3::retry_policy::{RetryHostPredicate, retry_host_predicate};
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, RequestMirrorPolicy};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, FilterConfig, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch,
    VirtualHost, WeightedCluster, route, route_match,
};
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
use envoy_types::pb::google::protobuf::{Any, UInt32Value};
use envoy_types::util::pack_any;

use super::access_log::Source;
use super::proto::{boolean, listener_filter, seconds, socket_address};
use super::{Entry, Instruments, OUTBOUND_PORT, http};
use crate::istio::policy::{self as istio, ClientTls, ListenerClass, Outbound};

/// Where a front leads, which decides the listener istiod would have for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target<'a> {
    /// An HTTP port number: requests are routed by host (`0.0.0.0_8080`).
    Http {
        /// The port.
        port: u16,
        /// The subset that the call is about, which stands in for a VirtualService that routes to it.
        subset: Option<&'a Outbound>,
    },
    /// A TCP or undeclared-protocol port of one service (`10.96.0.7_9000`).
    Service(&'a Outbound),
    /// Nothing in the registry: the catch-all of `virtualOutbound`.
    Unregistered,
}

/// Where a VirtualService sends the requests for a service port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Routed {
    pub(crate) route: istio::Route,
    /// What the client does for the first destination, if it has a cluster for it.
    pub(crate) first: Option<Outbound>,
}

/// A listener named `name` for `target`. `allow_any` says whether bytes may go where nothing in the registry is.
pub(crate) fn listener(
    name: &str,
    target: &Target<'_>,
    allow_any: bool,
    entry: Entry,
    instruments: &Instruments,
) -> Listener {
    let chain = |filter: Filter| FilterChain {
        filters: match entry {
            Entry::Front(front) => vec![http::original_dst(front), filter],
            Entry::Captured(_) => vec![filter],
        },
        ..FilterChain::default()
    };
    let unregistered = |name: &str| FilterChain {
        name: name.to_owned(),
        ..chain(unregistered(allow_any, instruments))
    };
    let (chains, default, inspect) = match target {
        Target::Http { port, subset } => {
            let table = subset.map_or_else(|| port.to_string(), route_name);
            let manager = http::outbound_manager(&format!("outbound_0.0.0.0_{port};"), &table, instruments);
            let default = unregistered("PassthroughFilterChain");
            (vec![http_chain(chain(manager))], Some(default), true)
        }
        Target::Service(outbound) if outbound.class == ListenerClass::Auto => {
            let manager = http::outbound_manager(
                &format!("outbound_{}_{};", outbound.host, outbound.port),
                &route_name(outbound),
                instruments,
            );
            let tcp = http::tcp_proxy(&outbound.cluster_name(), Source::Outbound, instruments);
            (
                vec![http_chain(chain(manager))],
                Some(registered(chain(tcp))),
                true,
            )
        }
        Target::Service(outbound) => {
            let tcp = http::tcp_proxy(&outbound.cluster_name(), Source::Outbound, instruments);
            (vec![registered(chain(tcp))], None, false)
        }
        Target::Unregistered => (vec![unregistered("virtualOutbound-catchall-tcp")], None, false),
    };
    Listener {
        name: name.to_owned(),
        address: Some(socket_address(match entry {
            Entry::Front(front) => front.address,
            Entry::Captured(address) => address,
        })),
        bind_to_port: match entry {
            Entry::Front(_) => None,
            Entry::Captured(_) => boolean(false),
        },
        traffic_direction: TrafficDirection::Outbound.into(),
        listener_filters: inspect
            .then(|| listener_filter("envoy.filters.listener.http_inspector", HttpInspector::default()))
            .into_iter()
            .collect(),
        listener_filters_timeout: seconds(0),
        continue_on_listener_filters_timeout: true,
        filter_chains: chains,
        default_filter_chain: default,
        ..Listener::default()
    }
}

/// The listener to which interception leads all that a pod sends. It hands connections on to the listener of the address
/// they were sent to, and keeps those for which there is none.
pub(crate) fn virtual_outbound(allow_any: bool, instruments: &Instruments) -> Listener {
    let black_hole = FilterChain {
        name: "virtualOutbound-blackhole".to_owned(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: Some(UInt32Value {
                value: OUTBOUND_PORT.into(),
            }),
            ..FilterChainMatch::default()
        }),
        filters: vec![http::tcp_proxy("BlackHoleCluster", Source::Outbound, instruments)],
        ..FilterChain::default()
    };
    let any = FilterChain {
        name: "virtualOutbound-catchall-tcp".to_owned(),
        filters: vec![unregistered(allow_any, instruments)],
        ..FilterChain::default()
    };
    Listener {
        name: "virtualOutbound".to_owned(),
        address: Some(socket_address((Ipv4Addr::UNSPECIFIED, OUTBOUND_PORT).into())),
        use_original_dst: boolean(true),
        max_connections_to_accept_per_socket_event: Some(UInt32Value { value: 1 }),
        traffic_direction: TrafficDirection::Outbound.into(),
        filter_chains: vec![black_hole, any],
        ..Listener::default()
    }
}

/// Where bytes go for which the registry has nobody.
fn unregistered(allow_any: bool, instruments: &Instruments) -> Filter {
    let cluster = if allow_any {
        "PassthroughCluster"
    } else {
        "BlackHoleCluster"
    };
    http::tcp_proxy(cluster, Source::Outbound, instruments)
}

/// The route tables of a client: one per HTTP port number, one per undeclared-protocol port, one per subset.
pub(crate) fn routes<'a>(
    outbounds: impl IntoIterator<Item = (&'a Outbound, Option<Routed>)>,
    client_namespace: &str,
    allow_any: bool,
) -> Vec<RouteConfiguration> {
    let mut tables: BTreeMap<String, Vec<VirtualHost>> = BTreeMap::new();
    for (outbound, routed) in outbounds {
        let domains = match outbound.class {
            ListenerClass::Http => domains(outbound, client_namespace),
            ListenerClass::Auto => vec![ANY_HOST.to_owned()],
            ListenerClass::Tcp => continue,
        };
        let hosts = tables.entry(route_name(outbound)).or_default();
        hosts.push(virtual_host(outbound, domains, routed));
    }
    let finished = tables.into_iter().map(|(name, mut virtual_hosts)| {
        virtual_hosts.sort_by(|a, b| a.name.cmp(&b.name));
        if virtual_hosts.iter().all(|host| host.domains != [ANY_HOST]) {
            virtual_hosts.push(fallback(allow_any));
        }
        RouteConfiguration {
            name,
            virtual_hosts,
            validate_clusters: boolean(false),
            max_direct_response_body_size_bytes: Some(UInt32Value { value: 1_048_576 }),
            ignore_port_in_host_matching: true,
            ..RouteConfiguration::default()
        }
    });
    finished.collect()
}

const ANY_HOST: &str = "*";

/// The route table of an outbound port. HTTP ports of the same number share one.
fn route_name(outbound: &Outbound) -> String {
    match (&outbound.subset, outbound.class) {
        (Some(subset), _) => format!("{}~{subset}", host_name(outbound)),
        (None, ListenerClass::Http) => outbound.port.to_string(),
        (None, ListenerClass::Auto | ListenerClass::Tcp) => host_name(outbound),
    }
}

/// The virtual host of an outbound port.
fn host_name(outbound: &Outbound) -> String {
    format!("{}:{}", outbound.host, outbound.port)
}

fn http_chain(chain: FilterChain) -> FilterChain {
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            transport_protocol: "raw_buffer".to_owned(),
            application_protocols: vec!["http/1.1".to_owned(), "h2c".to_owned()],
            ..FilterChainMatch::default()
        }),
        ..registered(chain)
    }
}

/// The chain of something in the registry.
fn registered(chain: FilterChain) -> FilterChain {
    FilterChain {
        transport_socket_connect_timeout: seconds(15),
        ..chain
    }
}

/// The host names under which a client may call a service, as istiod lists them.
fn domains(outbound: &Outbound, client_namespace: &str) -> Vec<String> {
    let Outbound {
        host,
        namespace,
        service,
        ..
    } = outbound;
    let mut domains = vec![host.clone(), format!("{host}.")];
    if host.starts_with(&format!("{service}.{namespace}.svc.")) {
        if namespace == client_namespace {
            domains.push(service.clone());
        }
        domains.push(format!("{service}.{namespace}"));
        domains.push(format!("{service}.{namespace}.svc"));
    }
    if outbound.headless {
        // Pods by name: `payment-0.payment.payments`.
        let pods = domains.iter().map(|domain| format!("*.{domain}"));
        domains.extend(pods.collect::<Vec<_>>());
    }
    domains
}

fn virtual_host(outbound: &Outbound, domains: Vec<String>, routed: Option<Routed>) -> VirtualHost {
    let alpn = alpn_switch(
        routed
            .as_ref()
            .and_then(|it| it.first.as_ref())
            .unwrap_or(outbound),
    );
    let plainly = || ClusterSpecifier::Cluster(outbound.cluster_name());
    let route = routed.map(|it| it.route);
    let action = RouteAction {
        cluster_specifier: Some(route.as_ref().map_or_else(plainly, destinations)),
        request_mirror_policies: route
            .iter()
            .flat_map(|it| &it.mirrors)
            .map(mirror_policy)
            .collect(),
        timeout: seconds(0),
        retry_policy: Some(retry_policy()),
        ..RouteAction::default()
    };
    VirtualHost {
        name: host_name(outbound),
        domains,
        include_request_attempt_count: true,
        routes: vec![Route {
            typed_per_filter_config: alpn,
            ..to_everything("default", route::Action::Route(action))
        }],
        ..VirtualHost::default()
    }
}

/// One cluster, or several by weight.
fn destinations(route: &istio::Route) -> ClusterSpecifier {
    if let [(only, _)] = route.destinations.as_slice() {
        return ClusterSpecifier::Cluster(only.cluster_name());
    }
    let clusters = route.destinations.iter().map(|(to, weight)| ClusterWeight {
        name: to.cluster_name(),
        weight: Some(UInt32Value { value: *weight }),
        ..ClusterWeight::default()
    });
    ClusterSpecifier::WeightedClusters(WeightedCluster {
        clusters: clusters.collect(),
        ..WeightedCluster::default()
    })
}

fn mirror_policy(mirror: &istio::Mirror) -> RequestMirrorPolicy {
    RequestMirrorPolicy {
        cluster: mirror.to.cluster_name(),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(FractionalPercent {
                numerator: mirror.per_million,
                denominator: DenominatorType::Million.into(),
            }),
            ..RuntimeFractionalPercent::default()
        }),
        trace_sampled: boolean(false),
        ..RequestMirrorPolicy::default()
    }
}

/// istio.alpn leaves clusters alone that are not mesh mTLS (`alpn_override: "false"`).
fn alpn_switch(outbound: &Outbound) -> HashMap<String, Any> {
    let overrides = match &outbound.tls {
        ClientTls::Auto(tls) | ClientTls::Fixed(tls) => tls.alpn_override,
        ClientTls::Plaintext => false,
    };
    if overrides {
        return HashMap::new();
    }
    let disabled = FilterConfig {
        disabled: true,
        ..FilterConfig::default()
    };
    HashMap::from([(http::ALPN_FILTER.to_owned(), pack_any(disabled))])
}

/// What a host nobody declares gets: passthrough, or 502 under REGISTRY_ONLY.
fn fallback(allow_any: bool) -> VirtualHost {
    let (name, action) = if allow_any {
        let passthrough = RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster("PassthroughCluster".to_owned())),
            timeout: seconds(0),
            ..RouteAction::default()
        };
        ("allow_any", route::Action::Route(passthrough))
    } else {
        let blocked = DirectResponseAction {
            status: 502,
            ..DirectResponseAction::default()
        };
        ("block_all", route::Action::DirectResponse(blocked))
    };
    VirtualHost {
        name: name.to_owned(),
        domains: vec![ANY_HOST.to_owned()],
        include_request_attempt_count: true,
        routes: vec![to_everything(name, action)],
        ..VirtualHost::default()
    }
}

fn to_everything(name: &str, action: route::Action) -> Route {
    Route {
        name: name.to_owned(),
        r#match: Some(RouteMatch {
            path_specifier: Some(route_match::PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(action),
        ..Route::default()
    }
}

/// Istio's default retries, as recorded.
fn retry_policy() -> RetryPolicy {
    RetryPolicy {
        retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes".to_owned(),
        num_retries: Some(UInt32Value { value: 2 }),
        host_selection_retry_max_attempts: 5,
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(pack_any(
                PreviousHostsPredicate {},
            ))),
        }],
        ..RetryPolicy::default()
    }
}
