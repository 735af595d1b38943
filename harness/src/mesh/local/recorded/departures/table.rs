//! The departures themselves.

use super::Says::{Anything, Only};
use super::{Departure, adds, differs, lacks};

const SUBSETS: &str = "06b-dr-subset";
const POOLS: &str = "06c-dr-connection-pool";

/// Every departure, in the order in which they are taken away.
pub(in super::super) const DEPARTURES: &[Departure] = &[
    // Instruments of the probe.
    adds(
        "** access_log",
        Anything,
        "instrument: one log format for requests, connections, and failed handshakes, which istiod never logs",
    ),
    adds(
        "** typed_config max_session_keys",
        Only("0"),
        "instrument: a resumed session hides a certificate that went bad since",
    ),
    adds(
        "server ports ** typed_config delayed_close_timeout",
        Only(r#""0.010s""#),
        "instrument: a connection that is held open after bytes that are no HTTP logs nothing until it ends",
    ),
    adds(
        "* clusters * typed_extension_protocol_options",
        Only(
            r#"{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"max_requests_per_connection": 1},
                "explicit_http_config": {"http_protocol_options": {}}}}"#,
        ),
        "instrument: a connection per request; HTTP/1.1, which no options mean too, has to be said beside it",
    ),
    adds(
        "* clusters * typed_extension_protocol_options * common_http_protocol_options max_requests_per_connection",
        Only("1"),
        "instrument: a connection per request",
    ),
    // Fronts in the place of interception.
    differs(
        "client listeners * name",
        Anything,
        Anything,
        "a front is named by the destination that a call dials",
    ),
    differs(
        "client listeners * address",
        Anything,
        Anything,
        "a front listens on a port of its own of the loopback interface",
    ),
    lacks(
        "client listeners * bind_to_port",
        Only("false"),
        "a front is connected to, it is handed nothing by virtualOutbound",
    ),
    lacks(
        "client listeners example.com:443 use_original_dst",
        Only("true"),
        "a front knows its destination",
    ),
    lacks(
        "client listeners example.com:443 filter_chains name=virtualOutbound-blackhole",
        Anything,
        "it keeps port 15001, which does not exist here, from calling itself",
    ),
    lacks(
        "client listeners example.com:443 max_connections_to_accept_per_socket_event",
        Only("1"),
        "spreads a burst of connections over workers; calls are made one at a time",
    ),
    adds(
        "client listeners example.com:443 listener_filters_timeout",
        Only(r#""0s""#),
        "all fronts have it; where there is no listener filter there is no wait",
    ),
    adds(
        "client listeners example.com:443 continue_on_listener_filters_timeout",
        Only("true"),
        "all fronts have it; where there is no listener filter there is no wait",
    ),
    differs(
        "server ports * name",
        Only(r#""virtualInbound""#),
        Anything,
        "without interception every port has a listener of its own",
    ),
    differs(
        "server ports * address",
        Only(r#"{"socket_address": {"address": "0.0.0.0", "port_value": 15006}}"#),
        Anything,
        "without interception every port has a listener of its own",
    ),
    adds(
        "server ports * stat_prefix",
        Only(r#""0.0.0.0_15006""#),
        "gives statistics the names that istiod's address gives them",
    ),
    lacks(
        "server ports * listener_filters name=envoy.filters.listener.original_dst",
        Anything,
        "a front knows its destination",
    ),
    adds(
        "** filters name=envoy.filters.network.set_filter_state",
        Anything,
        "tells ORIGINAL_DST clusters the address that interception would have",
    ),
    lacks(
        "server clusters * upstream_bind_config",
        Only(r#"{"source_address": {"address": "127.0.0.6", "port_value": 0}}"#),
        "keeps the pod's own calls from being intercepted again; macOS has no 127.0.0.6",
    ),
    // What upstream Envoy does not have.
    lacks(
        "** filters name^istio.",
        Anything,
        "upstream Envoy has no filter of Istio's; these two are telemetry",
    ),
    lacks(
        "** http_filters name^istio.",
        Anything,
        "upstream Envoy has no filter of Istio's; what istio.alpn does is compared as request_alpn",
    ),
    lacks(
        "** alpn_protocols ^istio-peer-exchange",
        Anything,
        "offered only with metadata exchange, which upstream Envoy lacks (08a is recorded without)",
    ),
    adds(
        "** http_filters name=envoy.filters.http.set_filter_state",
        Anything,
        "stands in for istio.alpn; what it does is compared as request_alpn",
    ),
    adds(
        "client routes * virtual_hosts * routes * typed_per_filter_config",
        Only(
            r#"{"envoy.filters.http.set_filter_state":
                {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true}}"#,
        ),
        "switches the stand-in for istio.alpn off; compared as request_alpn",
    ),
    differs(
        "client request_alpn",
        Anything,
        Anything,
        "recorded with istio.alpn switched off in istiod",
    )
    .in_state("08a-no-istio-filters"),
    // Telemetry, and HTTP that no call speaks.
    lacks(
        "** http_filters name=envoy.filters.http.grpc_stats",
        Anything,
        "statistics of gRPC methods",
    ),
    lacks(
        "** http_filters name=envoy.filters.http.fault",
        Anything,
        "without a VirtualService that injects faults it does nothing",
    ),
    lacks(
        "** http_filters name=envoy.filters.http.cors",
        Anything,
        "without a VirtualService with a CORS policy it does nothing",
    ),
    lacks("** typed_config tracing", Anything, "no tracing provider is configured"),
    lacks("** routes * decorator", Anything, "names the span of a trace"),
    lacks(
        "** typed_config request_id_extension",
        Anything,
        "says how traces are sampled",
    ),
    lacks(
        "** typed_config upgrade_configs",
        Only(r#"[{"upgrade_type": "websocket"}]"#),
        "no call asks for a websocket",
    ),
    lacks(
        "client routes * virtual_hosts * routes * route max_grpc_timeout",
        Only(r#""0s""#),
        "no call sends a grpc-timeout header",
    ),
    // What does not exist on this tier.
    lacks(
        "client cluster_names ^outbound|15",
        Anything,
        "istiod's own Service, which the manifests leave out",
    ),
    lacks(
        "client cluster_names ^outbound|443||",
        Anything,
        "Services of istiod and of the API server, which the manifests leave out",
    ),
    lacks(
        "client route_names ^150",
        Anything,
        "istiod's own Service, which the manifests leave out",
    ),
    lacks(
        "client routes * virtual_hosts * domains ^10.96.",
        Anything,
        "Services have no address here, and no call dials one",
    ),
    differs(
        "client listeners * filter_chains * filters * typed_config stat_prefix",
        Only(r#""outbound_10.96.209.154_7070;""#),
        Only(r#""outbound_api.payments.svc.cluster.local_7070;""#),
        "Services have no address here",
    ),
    differs(
        "client endpoints * endpoints * lb_endpoints * endpoint address",
        Anything,
        Anything,
        "pods have no address here: an endpoint is the port in front of it",
    ),
    differs(
        "client endpoints * endpoints * locality",
        Only(r#"{"region": "r1", "zone": "z1"}"#),
        Only("{}"),
        "there are no zones on one machine",
    ),
    differs(
        "client endpoints * endpoints * load_balancing_weight",
        Anything,
        Only("0"),
        "the weight of a locality; Envoy shows 0 where it does not balance by locality",
    ),
    // How Envoy shows what it was told.
    adds(
        "client endpoints * endpoints * lb_endpoints * endpoint health_check_config",
        Only("{}"),
        "Envoy shows this default",
    ),
    adds(
        "client endpoints * policy",
        Only(r#"{"overprovisioning_factor": 140}"#),
        "Envoy shows this default",
    ),
    lacks("* clusters * common_lb_config", Only("{}"), "an empty message"),
    lacks(
        "client listeners * default_filter_chain filter_chain_match",
        Only("{}"),
        "an empty message",
    ),
    // Upkeep of idle things, which no call lives to see.
    lacks(
        "* clusters * typed_extension_protocol_options * common_http_protocol_options idle_timeout",
        Only(r#""300s""#),
        "closes passthrough connections after five idle minutes",
    ),
    lacks(
        "server clusters * cleanup_interval",
        Only(r#""9223372035s""#),
        "how often unused ORIGINAL_DST hosts are forgotten",
    ),
    // Options of HTTP on clusters that only the TCP proxy uses.
    lacks(
        "client clusters outbound|9000||api.payments.svc.cluster.local typed_extension_protocol_options",
        Anything,
        "automatic SNI comes from a Host header, which TCP has not",
    )
    .in_state("05b2-dr-simple-bare"),
    lacks(
        "client clusters outbound|9000||api.payments.svc.cluster.local typed_extension_protocol_options",
        Anything,
        "HTTP/2 is for requests, which TCP has not",
    )
    .in_state(POOLS),
    lacks(
        "client clusters * metadata filter_metadata istio alpn_override",
        Only(r#""false""#),
        "the rule's TLS settings are ignored, and a cluster without TLS offers no ALPN",
    )
    .in_state("05e-dr-mutual-credential"),
    // Limits of connections and ejection of endpoints.
    lacks(
        "client clusters * typed_extension_protocol_options * common_http_protocol_options max_requests_per_connection",
        Only("1"),
        "the rule asks for what is our instrument",
    )
    .in_state(POOLS),
    differs(
        "client clusters $|api.payments.svc.cluster.local circuit_breakers thresholds * max_connections",
        Only("10"),
        Only("4294967295"),
        "limits are not modelled: calls are made one at a time",
    )
    .in_state(POOLS),
    differs(
        "client clusters $|api.payments.svc.cluster.local circuit_breakers thresholds * max_pending_requests",
        Only("5"),
        Only("4294967295"),
        "limits are not modelled: calls are made one at a time",
    )
    .in_state(POOLS),
    lacks(
        "client clusters * outlier_detection",
        Anything,
        "ejection is not modelled: it would hide an endpoint that fails from the next call",
    )
    .in_state(POOLS),
    lacks(
        "client clusters * common_lb_config",
        Only(r#"{"healthy_panic_threshold": {}}"#),
        "ejection is not modelled: it would hide an endpoint that fails from the next call",
    )
    .in_state(POOLS),
    lacks(
        "server ports 12345 listener_filters name=envoy.filters.listener.http_inspector",
        Anything,
        "istiod switches it off for port 0, which no connection has; no chain of a STRICT port asks what it found",
    )
    .in_state("04b-mesh-strict-port-disable-unset"),
    // Subsets: the call names one, where a VirtualService would choose by weight.
    adds(
        "client route_names ^api.payments.svc.cluster.local:8080~",
        Anything,
        "a table for calls that name a subset",
    )
    .in_state(SUBSETS),
    adds(
        "client route_names ^api.payments.svc.cluster.local:7070~",
        Anything,
        "a table for calls that name a subset",
    )
    .in_state(SUBSETS),
    differs(
        "client listeners $~v1 filter_chains * filters * typed_config rds route_config_name",
        Anything,
        Anything,
        "a table for calls that name a subset",
    )
    .in_state(SUBSETS),
    differs(
        "client listeners payments/api:7070~v1 default_filter_chain filters * typed_config",
        Only(
            r#"{"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "cluster": "outbound|7070||api.payments.svc.cluster.local",
                "stat_prefix": "outbound|7070||api.payments.svc.cluster.local"}"#,
        ),
        Only(
            r#"{"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "cluster": "outbound|7070|v1|api.payments.svc.cluster.local",
                "stat_prefix": "outbound|7070|v1|api.payments.svc.cluster.local"}"#,
        ),
        "the recorded VirtualService routes no TCP",
    )
    .in_state(SUBSETS),
    differs(
        "client listeners payments/api:9000~v1 filter_chains * filters * typed_config",
        Only(
            r#"{"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "cluster": "outbound|9000||api.payments.svc.cluster.local",
                "stat_prefix": "outbound|9000||api.payments.svc.cluster.local"}"#,
        ),
        Only(
            r#"{"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "cluster": "outbound|9000|v1|api.payments.svc.cluster.local",
                "stat_prefix": "outbound|9000|v1|api.payments.svc.cluster.local"}"#,
        ),
        "the recorded VirtualService routes no TCP",
    )
    .in_state(SUBSETS),
    lacks(
        "client routes * virtual_hosts ^api.payments routes * metadata",
        Only(
            r#"{"filter_metadata": {"istio":
                {"config": "/apis/networking.istio.io/v1/namespaces/payments/virtual-service/api"}}}"#,
        ),
        "names the VirtualService",
    )
    .in_state(SUBSETS),
    adds(
        "client routes * virtual_hosts ^api.payments routes * name",
        Only(r#""default""#),
        "istiod names no route of a VirtualService that does not",
    )
    .in_state(SUBSETS),
];
