//! The HTTP connection manager and the TCP proxy, at both ends.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::core::v3::{
    SubstitutionFormatString, data_source, substitution_format_string, DataSource,
};
use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::common::set_filter_state::v3::{FilterStateValue, filter_state_value};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::http::set_filter_state::v3::Config as HttpFilterState;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, SetCurrentClientCertDetails,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds,
};
use envoy_types::pb::envoy::extensions::filters::network::set_filter_state::v3::Config as NetworkFilterState;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};

use super::access_log::{self, Source};
use super::proto::{boolean, http_filter, milliseconds, network_filter, seconds};
use super::{Front, Instruments, clusters};

/// Name of the HTTP filter that imitates istio.alpn; routes switch it off by this name.
pub(super) const ALPN_FILTER: &str = "envoy.filters.http.set_filter_state";

/// What istio.alpn makes of the ALPN list of an HTTP request, whatever its version (recorded: istio-alpn-decoded).
const HTTP_ALPN: &str = "istio-http/1.1,istio,http/1.1";

/// An outbound connection manager with routes from RDS.
pub(super) fn outbound_manager(stat_prefix: &str, route: &str, instruments: &Instruments) -> Filter {
    let manager = HttpConnectionManager {
        http_filters: vec![alpn_filter(), router()],
        access_log: access_log::file(Source::Outbound, instruments),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(clusters::ads()),
            route_config_name: route.to_owned(),
        })),
        ..manager(stat_prefix)
    };
    network_filter(MANAGER, manager)
}

/// An inbound connection manager with its routes built in.
pub(super) fn inbound_manager(
    stat_prefix: &str,
    routes: RouteConfiguration,
    instruments: &Instruments,
) -> Filter {
    let manager = HttpConnectionManager {
        http_filters: vec![router()],
        access_log: access_log::file(Source::Inbound, instruments),
        server_name: "istio-envoy".to_owned(),
        delayed_close_timeout: milliseconds(DELAYED_CLOSE_MILLIS),
        forward_client_cert_details: ForwardClientCertDetails::AppendForward.into(),
        set_current_client_cert_details: Some(SetCurrentClientCertDetails {
            subject: boolean(true),
            dns: true,
            uri: true,
            ..SetCurrentClientCertDetails::default()
        }),
        route_specifier: Some(RouteSpecifier::RouteConfig(routes)),
        ..manager(stat_prefix)
    };
    network_filter(MANAGER, manager)
}

/// A TCP proxy to one cluster.
pub(super) fn tcp_proxy(cluster: &str, source: Source, instruments: &Instruments) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: cluster.to_owned(),
        access_log: access_log::file(source, instruments),
        cluster_specifier: Some(tcp_proxy::ClusterSpecifier::Cluster(cluster.to_owned())),
        ..TcpProxy::default()
    };
    network_filter("envoy.filters.network.tcp_proxy", proxy)
}

/// Tells ORIGINAL_DST clusters the address that interception would have.
pub(super) fn original_dst(front: Front) -> Filter {
    let value = filter_state(
        "envoy.network.transport_socket.original_dst_address",
        &address_text(front.original_dst),
    );
    let config = NetworkFilterState {
        on_new_connection: vec![value],
        ..NetworkFilterState::default()
    };
    network_filter("envoy.filters.network.set_filter_state", config)
}

/// After bytes that are no HTTP, Envoy holds the connection for a second (its default, which istiod leaves) in case the
/// peer has not read the answer, and notices nothing meanwhile; its log line, which is evidence, waits for that.
const DELAYED_CLOSE_MILLIS: u64 = 10;

const MANAGER: &str = "envoy.filters.network.http_connection_manager";

fn manager(stat_prefix: &str) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        normalize_path: boolean(true),
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::KeepUnchanged.into(),
        proxy_100_continue: true,
        stream_idle_timeout: seconds(0),
        use_remote_address: boolean(false),
        ..HttpConnectionManager::default()
    }
}

fn router() -> HttpFilter {
    http_filter("envoy.filters.http.router", Router::default())
}

fn alpn_filter() -> HttpFilter {
    let mut value = filter_state("envoy.network.application_protocols", HTTP_ALPN);
    value.shared_with_upstream = filter_state_value::SharedWithUpstream::Once.into();
    http_filter(
        ALPN_FILTER,
        HttpFilterState {
            on_request_headers: vec![value],
            ..HttpFilterState::default()
        },
    )
}

fn filter_state(key: &str, text: &str) -> FilterStateValue {
    FilterStateValue {
        key: Some(filter_state_value::Key::ObjectKey(key.to_owned())),
        value: Some(filter_state_value::Value::FormatString(
            SubstitutionFormatString {
                format: Some(substitution_format_string::Format::TextFormatSource(DataSource {
                    specifier: Some(data_source::Specifier::InlineString(text.to_owned())),
                    ..DataSource::default()
                })),
                ..SubstitutionFormatString::default()
            },
        )),
        ..FilterStateValue::default()
    }
}

fn address_text(address: SocketAddr) -> String {
    address.to_string()
}
