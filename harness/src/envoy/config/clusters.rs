//! Clusters: the socket, the discovery type and the metadata that decide a handshake.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy, TransportSocketMatch,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, circuit_breakers};
use envoy_types::pb::envoy::config::core::v3::{
    AggregatedConfigSource, ApiVersion, BindConfig, ConfigSource, Http1ProtocolOptions, Http2ProtocolOptions,
    HttpProtocolOptions, Metadata, UpstreamHttpProtocolOptions, config_source::ConfigSourceSpecifier,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions as UpstreamOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
    explicit_http_config::ProtocolConfig,
};
use envoy_types::pb::google::protobuf::{Any, Struct, UInt32Value};
use envoy_types::util::pack_any;

use super::Instruments;
use super::proto::{list, milliseconds, nested, object, seconds, socket, text};
use super::tls;
use crate::call::Connections;
use crate::istio::policy::{
    ClientCertificate, ClientTls, Discovery, Inbound, InboundGroup, ListenerClass, Outbound, TlsOrigination,
};

const PASSTHROUGH: &str = "PassthroughCluster";
const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";
const BLACK_HOLE: &str = "BlackHoleCluster";
/// istiod's connect timeout where no rule sets one.
const CONNECT_TIMEOUT_SECONDS: i64 = 10;

/// The metadata key under which clusters say which endpoints take TLS.
pub(super) const TLS_MODE: &str = "tlsMode";

/// The cluster of one (service, port, subset).
pub(crate) fn outbound(outbound: &Outbound, instruments: &Instruments) -> Cluster {
    let name = outbound.cluster_name();
    let mut cluster = base(&name, &format!("{name};"), protocol(outbound, instruments));
    if let Some(millis) = outbound.connect_timeout_ms {
        cluster.connect_timeout = milliseconds(millis);
    }
    match &outbound.tls {
        ClientTls::Plaintext => {}
        ClientTls::Fixed(origination) => {
            cluster.transport_socket = Some(tls::upstream(origination, instruments));
        }
        ClientTls::Auto(origination) => {
            cluster.transport_socket_matches = socket_matches(origination, instruments);
        }
    }
    match outbound.discovery {
        Discovery::Eds => {
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
            cluster.lb_policy = LbPolicy::LeastRequest.into();
            cluster.eds_cluster_config = Some(EdsClusterConfig {
                service_name: name,
                eds_config: Some(ads()),
            });
        }
        Discovery::OriginalDst => original_destination(&mut cluster),
    }
    cluster.metadata = Some(outbound_metadata(outbound));
    cluster
}

/// The cluster of one inbound port. Its connections come from `source`, by which capture leaves them alone.
pub(crate) fn inbound(inbound: &Inbound, source: Option<Ipv4Addr>, instruments: &Instruments) -> Cluster {
    let name = format!("inbound|{}||", inbound.port);
    let options = match inbound.class {
        ListenerClass::Http => explicit_http1(instruments),
        ListenerClass::Tcp => None,
        ListenerClass::Auto => Some(use_downstream(instruments)),
    };
    let mut cluster = base(&name, &format!("{name};"), options);
    original_destination(&mut cluster);
    cluster.upstream_bind_config = source.map(bind);
    if let InboundGroup::Declared {
        service,
        namespace,
        name,
    } = &inbound.group
    {
        cluster.metadata = Some(istio_metadata(vec![services(service, namespace, name)]));
    }
    cluster
}

/// Where bytes go that no service of the registry claims.
pub(crate) fn passthrough(instruments: &Instruments) -> Cluster {
    let mut cluster = base(
        PASSTHROUGH,
        &format!("{PASSTHROUGH};"),
        Some(use_downstream(instruments)),
    );
    original_destination(&mut cluster);
    cluster
}

/// Where bytes for an undeclared port of the pod go.
pub(crate) fn inbound_passthrough(source: Option<Ipv4Addr>, instruments: &Instruments) -> Cluster {
    let mut cluster = base(
        INBOUND_PASSTHROUGH,
        // Recorded so: both passthrough clusters share a statistics name.
        &format!("{PASSTHROUGH};"),
        Some(use_downstream(instruments)),
    );
    original_destination(&mut cluster);
    cluster.upstream_bind_config = source.map(bind);
    cluster
}

fn bind(source: Ipv4Addr) -> BindConfig {
    BindConfig {
        source_address: Some(socket((source, 0).into())),
        ..BindConfig::default()
    }
}

/// Where bytes go that must go nowhere.
pub(crate) fn blackhole() -> Cluster {
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        circuit_breakers: None,
        ..base(BLACK_HOLE, &format!("{BLACK_HOLE};"), None)
    }
}

/// ADS as a configuration source that is waited for without limit.
pub(super) fn ads() -> ConfigSource {
    ConfigSource {
        initial_fetch_timeout: seconds(0),
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    }
}

fn base(name: &str, stat_name: &str, options: Option<UpstreamOptions>) -> Cluster {
    Cluster {
        name: name.to_owned(),
        alt_stat_name: stat_name.to_owned(),
        connect_timeout: seconds(CONNECT_TIMEOUT_SECONDS),
        circuit_breakers: Some(unlimited()),
        typed_extension_protocol_options: options.map(protocol_options).unwrap_or_default(),
        ..Cluster::default()
    }
}

fn original_destination(cluster: &mut Cluster) {
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into()));
    cluster.lb_policy = LbPolicy::ClusterProvided.into();
}

/// TLS for endpoints marked `tlsMode: istio`, plaintext for the others (core/cluster_tls.go@1.30.3).
fn socket_matches(origination: &TlsOrigination, instruments: &Instruments) -> Vec<TransportSocketMatch> {
    vec![
        TransportSocketMatch {
            name: "tlsMode-istio".to_owned(),
            r#match: Some(object([(TLS_MODE, text("istio"))])),
            transport_socket: Some(tls::upstream(origination, instruments)),
        },
        TransportSocketMatch {
            name: "tlsMode-disabled".to_owned(),
            r#match: Some(Struct::default()),
            transport_socket: Some(tls::raw_buffer()),
        },
    ]
}

fn protocol(outbound: &Outbound, instruments: &Instruments) -> Option<UpstreamOptions> {
    let mut options = match (outbound.class, outbound.http2) {
        (ListenerClass::Tcp, _) => return None,
        (ListenerClass::Auto, _) => use_downstream(instruments),
        (ListenerClass::Http, true) => explicit(
            ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()),
            instruments,
        ),
        (ListenerClass::Http, false) => explicit(
            ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()),
            instruments,
        ),
    };
    if let ClientTls::Fixed(tls) | ClientTls::Auto(tls) = &outbound.tls
        && (tls.auto_sni || tls.auto_san_validation)
    {
        options.upstream_http_protocol_options = Some(UpstreamHttpProtocolOptions {
            auto_sni: tls.auto_sni,
            auto_san_validation: tls.auto_san_validation,
            ..UpstreamHttpProtocolOptions::default()
        });
    }
    Some(options)
}

fn explicit_http1(instruments: &Instruments) -> Option<UpstreamOptions> {
    Some(explicit(
        ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()),
        instruments,
    ))
}

fn explicit(config: ProtocolConfig, instruments: &Instruments) -> UpstreamOptions {
    UpstreamOptions {
        common_http_protocol_options: one_request_per_connection(instruments),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })),
        ..UpstreamOptions::default()
    }
}

fn use_downstream(instruments: &Instruments) -> UpstreamOptions {
    UpstreamOptions {
        common_http_protocol_options: one_request_per_connection(instruments),
        upstream_protocol_options: Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            UseDownstreamHttpConfig {
                http_protocol_options: Some(Http1ProtocolOptions::default()),
                http2_protocol_options: Some(Http2ProtocolOptions::default()),
                ..UseDownstreamHttpConfig::default()
            },
        )),
        ..UpstreamOptions::default()
    }
}

fn one_request_per_connection(instruments: &Instruments) -> Option<HttpProtocolOptions> {
    (instruments.connections != Connections::Reuse).then(|| HttpProtocolOptions {
        max_requests_per_connection: Some(UInt32Value { value: 1 }),
        ..HttpProtocolOptions::default()
    })
}

fn protocol_options(options: UpstreamOptions) -> HashMap<String, Any> {
    HashMap::from([(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(),
        pack_any(options),
    )])
}

fn unlimited() -> CircuitBreakers {
    let most = Some(UInt32Value { value: u32::MAX });
    CircuitBreakers {
        thresholds: vec![circuit_breakers::Thresholds {
            max_connections: most,
            max_pending_requests: most,
            max_requests: most,
            max_retries: most,
            ..circuit_breakers::Thresholds::default()
        }],
        ..CircuitBreakers::default()
    }
}

fn outbound_metadata(outbound: &Outbound) -> Metadata {
    let mut fields = vec![services(&outbound.host, &outbound.namespace, &outbound.service)];
    if let Some(rule) = &outbound.destination_rule
        && let Some((namespace, name)) = rule.split_once('/')
    {
        let path = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/destination-rule/{name}");
        fields.push(("config", text(&path)));
    }
    if let ClientTls::Fixed(tls) | ClientTls::Auto(tls) = &outbound.tls
        && tls.certificate != ClientCertificate::Workload
    {
        fields.push(("alpn_override", text("false")));
    }
    if let Some(subset) = &outbound.subset {
        fields.push(("subset", text(subset)));
    }
    istio_metadata(fields)
}

fn services(
    host: &str,
    namespace: &str,
    name: &str,
) -> (&'static str, envoy_types::pb::google::protobuf::Value) {
    let service = object([
        ("host", text(host)),
        ("name", text(name)),
        ("namespace", text(namespace)),
    ]);
    ("services", list(vec![nested(service)]))
}

fn istio_metadata(fields: Vec<(&'static str, envoy_types::pb::google::protobuf::Value)>) -> Metadata {
    Metadata {
        filter_metadata: HashMap::from([("istio".to_owned(), object(fields))]),
        ..Metadata::default()
    }
}
