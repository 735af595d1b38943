//! The client end: listeners and routes of what a sidecar sends out.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::envoy::config::route::v3::retry_policy::{RetryHostPredicate, retry_host_predicate};
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, FilterConfig, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch,
    VirtualHost, route, route_match,
};
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::google::protobuf::{Any, UInt32Value};
use envoy_types::util::pack_any;

use super::access_log::Source;
use super::proto::{boolean, ephemeral, listener_filter, seconds};
use super::{Front, Instruments, http};
use crate::istio::policy::{ClientTls, ListenerClass, Outbound};

/// Where a front leads, which decides the listener istiod would have for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target<'a> {
    /// An HTTP port number: requests are routed by host (`0.0.0.0_8080`).
    Http {
        /// The port.
        port: u16,
        /// Whether bytes that are not HTTP may go where they were sent (ALLOW_ANY).
        allowed: bool,
        /// A subset to which every request goes, as by a VirtualService.
        subset: Option<&'a Outbound>,
    },
    /// A TCP or undeclared-protocol port of one service (`10.96.0.7_9000`).
    Service(&'a Outbound),
    /// Nothing in the registry: the catch-all of `virtualOutbound`.
    Unregistered {
        /// Whether bytes may go there anyway (ALLOW_ANY).
        allowed: bool,
    },
}

/// A front named `name` for `target`.
pub(crate) fn listener(name: &str, target: &Target<'_>, front: Front, instruments: &Instruments) -> Listener {
    let (chains, default, inspect) = match target {
        Target::Http {
            port,
            allowed,
            subset,
        } => {
            let route = subset.map_or_else(|| port.to_string(), route_name);
            let manager = http::outbound_manager(&format!("outbound_0.0.0.0_{port};"), &route, instruments);
            let passthrough = http::tcp_proxy(catch_all(*allowed), Source::Outbound, instruments);
            let mut default = chain(passthrough, front);
            "PassthroughFilterChain".clone_into(&mut default.name);
            (vec![http_chain(manager, front)], Some(default), true)
        }
        Target::Service(outbound) if outbound.class == ListenerClass::Auto => {
            let manager = http::outbound_manager(
                &format!("outbound_{}_{};", outbound.host, outbound.port),
                &route_name(outbound),
                instruments,
            );
            let tcp = http::tcp_proxy(&outbound.cluster_name(), Source::Outbound, instruments);
            (vec![http_chain(manager, front)], Some(chain(tcp, front)), true)
        }
        Target::Service(outbound) => {
            let tcp = http::tcp_proxy(&outbound.cluster_name(), Source::Outbound, instruments);
            (vec![chain(tcp, front)], None, false)
        }
        Target::Unregistered { allowed } => {
            let cluster = catch_all(*allowed);
            let mut chain = chain(http::tcp_proxy(cluster, Source::Outbound, instruments), front);
            "virtualOutbound-catchall-tcp".clone_into(&mut chain.name);
            (vec![chain], None, false)
        }
    };
    Listener {
        name: name.to_owned(),
        address: Some(ephemeral()),
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

/// Where bytes go that no service claims (core/listener.go@1.30.3: `buildOutboundCatchAllNetworkFiltersOnly`).
const fn catch_all(allowed: bool) -> &'static str {
    if allowed {
        "PassthroughCluster"
    } else {
        "BlackHoleCluster"
    }
}

/// The route tables of a client: one per HTTP port number, one per undeclared-protocol port.
pub(crate) fn routes<'a>(
    outbounds: impl IntoIterator<Item = &'a Outbound>,
    client_namespace: &str,
    allow_any: bool,
) -> Vec<RouteConfiguration> {
    let mut by_port: HashMap<String, Vec<VirtualHost>> = HashMap::new();
    for outbound in outbounds {
        match outbound.class {
            ListenerClass::Http if outbound.subset.is_none() => by_port
                .entry(outbound.port.to_string())
                .or_default()
                .push(virtual_host(outbound, domains(outbound, client_namespace))),
            ListenerClass::Http | ListenerClass::Auto => by_port
                .entry(route_name(outbound))
                .or_default()
                .push(virtual_host(outbound, vec!["*".to_owned()])),
            ListenerClass::Tcp => {}
        }
    }
    let mut tables: Vec<RouteConfiguration> = by_port
        .into_iter()
        .map(|(name, mut virtual_hosts)| {
            virtual_hosts.sort_by(|a, b| a.name.cmp(&b.name));
            if !name.contains(':') {
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
        })
        .collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables
}

/// The route table of a port whose protocol is detected, or of a subset.
fn route_name(outbound: &Outbound) -> String {
    let port = format!("{}:{}", outbound.host, outbound.port);
    match &outbound.subset {
        Some(subset) => format!("{port}:{subset}"),
        None => port,
    }
}

fn http_chain(manager: Filter, front: Front) -> FilterChain {
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            transport_protocol: "raw_buffer".to_owned(),
            application_protocols: vec!["http/1.1".to_owned(), "h2c".to_owned()],
            ..FilterChainMatch::default()
        }),
        ..chain(manager, front)
    }
}

fn chain(filter: Filter, front: Front) -> FilterChain {
    FilterChain {
        filters: vec![http::original_dst(front), filter],
        transport_socket_connect_timeout: seconds(15),
        ..FilterChain::default()
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
    domains
}

fn virtual_host(outbound: &Outbound, domains: Vec<String>) -> VirtualHost {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(outbound.cluster_name())),
        timeout: seconds(0),
        retry_policy: Some(retry_policy()),
        ..RouteAction::default()
    };
    VirtualHost {
        name: route_name(outbound),
        domains,
        include_request_attempt_count: true,
        routes: vec![Route {
            typed_per_filter_config: alpn_switch(outbound),
            ..to_everything("default", route::Action::Route(action))
        }],
        ..VirtualHost::default()
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
        domains: vec!["*".to_owned()],
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
