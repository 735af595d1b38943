//! The bootstrap: who the proxy is, where its control plane listens, and its admin socket. Everything else is dynamic.

use std::path::Path;

use serde_json::{Value, json};

use super::tls::SDS_CLUSTER;
use crate::envoy::stats;

const ADS_CLUSTER: &str = "xds-grpc";

/// `SO_MARK` of Linux, the only system that has it: asm-generic/socket.h.
const SO_MARK: u32 = 36;
const SOL_SOCKET: u32 = 1;

/// The bootstrap of the proxy with node id `node`. What it sends carries `mark`, by which capture leaves it alone; a real
/// sidecar is told by its user id, which a namespace with a single user does not have.
pub(crate) fn bootstrap(node: &str, control_plane: &Path, admin: &Path, mark: Option<u32>) -> Value {
    let mut bootstrap = json!({
        "node": {"id": node, "cluster": "meshproof"},
        "admin": admin_socket(admin),
        "stats_config": {
            "use_all_default_tags": false,
            "stats_tags": tags(),
            "stats_matcher": {"inclusion_list": {"patterns": kept_statistics()}},
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": ADS_CLUSTER, "retry_policy": quick_retries()}}],
            },
            "cds_config": ads(),
            "lds_config": ads(),
        },
        "static_resources": {
            // SDS first: a stream opened before its cluster is known waits for a retry.
            "clusters": [grpc_cluster(SDS_CLUSTER, control_plane), grpc_cluster(ADS_CLUSTER, control_plane)],
        },
    });
    if let Some(mark) = mark {
        let option =
            json!({"level": SOL_SOCKET, "name": SO_MARK, "int_value": mark, "state": "STATE_PREBIND"});
        bootstrap["cluster_manager"] = json!({"upstream_bind_config": {"socket_options": [option]}});
    }
    bootstrap
}

/// The least a proxy can be started with: an admin socket, and nothing to do.
pub(crate) fn bare(node: &str, admin: &Path) -> Value {
    json!({"node": {"id": node, "cluster": "meshproof"}, "admin": admin_socket(admin)})
}

fn admin_socket(path: &Path) -> Value {
    json!({"address": {"pipe": {"path": path, "mode": 0o600}}})
}

/// What Istio makes labels of, so that Prometheus sees the names it sees in a real mesh (envoy_bootstrap.json@1.30.3,
/// tools/packaging/common); Envoy's own rule takes a cluster's name to end at its first dot.
fn tags() -> Value {
    json!([
        {"tag_name": "cluster_name", "regex": r"^cluster(\.(.+);)"},
        {"tag_name": "listener_address", "regex": r"^listener(\.([0-9a-fA-F_.:\[\]]+))\."},
    ])
}

fn kept_statistics() -> Vec<Value> {
    let of_calls = json!({"safe_regex": {"regex": stats::OF_CALLS}});
    let of_warming = stats::OF_WARMING.map(|name| json!({"exact": name}));
    [of_calls].into_iter().chain(of_warming).collect()
}

fn ads() -> Value {
    json!({"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"})
}

/// Envoy's own retry back-off starts at 0.5 s, ten times what a whole start takes.
fn quick_retries() -> Value {
    json!({"retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"}})
}

fn grpc_cluster(name: &str, socket: &Path) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": socket}}}}]}],
        },
    })
}
