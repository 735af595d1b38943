//! What a run adds to its own sidecars, and to no others: our access log, fresh handshakes, and the number of the state they
//! are in. One EnvoyFilter for each namespace of the run.

use semver::Version;
use serde_json::{Map, Value, json};

use crate::call::Connections;
use crate::envoy::config::access_log;

/// The EnvoyFilter of a namespace.
pub(super) const NAME: &str = "meshproof-instruments";
/// Where in metadata the number of the state is.
pub(super) const MARK: &str = "meshproof.dev/state";

const HTTP: &str = "envoy.filters.network.http_connection_manager";
const HTTP_TYPE: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP: &str = "envoy.filters.network.tcp_proxy";
const TCP_TYPE: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// The EnvoyFilter that puts sidecars into state `number`.
pub(super) fn filter(namespace: &str, number: u64, connections: Connections, oldest: &Version) -> Value {
    let listener = |context: &str, value: Value| {
        json!({
            "applyTo": "LISTENER",
            "match": {"context": context, "listener": {"name": "virtualInbound"}},
            "patch": {"operation": "MERGE", "value": value},
        })
    };
    let filter_log = |context: &str, name: &str, kind: &str, log: &str| {
        json!({
            "applyTo": "NETWORK_FILTER",
            "match": {"context": context, "listener": {"filterChain": {"filter": {"name": name}}}},
            "patch": {"operation": "MERGE", "value": {
                "name": name,
                "typed_config": {"@type": format!("type.googleapis.com/{kind}"), "access_log": [access_log(log, oldest)]},
            }},
        })
    };
    // By the server's end: of clusters EnvoyFilters replace the options of the protocol as a whole.
    let one_request = json!({
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": {"name": HTTP}}}},
        "patch": {"operation": "MERGE", "value": {
            "name": HTTP,
            "typed_config": {
                "@type": format!("type.googleapis.com/{HTTP_TYPE}"),
                "common_http_protocol_options": {"max_requests_per_connection": 1},
            },
        }},
    });
    let mark = json!({"filter_metadata": {MARK: {"number": number.to_string()}}});
    let mut patches = vec![listener(
        "SIDECAR_INBOUND",
        json!({"metadata": mark, "access_log": [access_log("listener", oldest)]}),
    )];
    for (context, log) in [("SIDECAR_INBOUND", "inbound"), ("SIDECAR_OUTBOUND", "outbound")] {
        for (name, kind) in [(HTTP, HTTP_TYPE), (TCP, TCP_TYPE)] {
            patches.push(filter_log(context, name, kind, log));
        }
    }
    let cluster = |value: Value| {
        json!({
            "applyTo": "CLUSTER",
            "match": {"context": "SIDECAR_OUTBOUND"},
            "patch": {"operation": "MERGE", "value": value},
        })
    };
    patches.push(cluster(json!({"metadata": mark})));
    if connections != Connections::Reuse {
        patches.push(one_request);
    }
    if connections == Connections::Fresh {
        // By its name it is merged into the socket that auto mTLS chooses (mergeTransportSocketCluster of
        // pilot/pkg/networking/core/envoyfilter/cluster_patch.go), and into no cluster without TLS.
        patches.push(cluster(json!({
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "max_session_keys": 0,
            }},
        })));
    }
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"configPatches": patches},
    })
}

fn access_log(log: &str, oldest: &Version) -> Value {
    let mut format: Map<String, Value> = access_log::FIELDS
        .into_iter()
        .map(|(name, operator)| (name.to_owned(), known(operator, oldest).into()))
        .collect();
    format.insert("log".to_owned(), log.into());
    format.insert("request".to_owned(), "%REQ(X-REQUEST-ID)%".into());
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": {"json_format": format},
        },
    })
}

/// The operator, or what releases have that refuse it: istiod 1.23 was the first to use it (istio#52384).
fn known(operator: &'static str, oldest: &Version) -> &'static str {
    match operator {
        "%UPSTREAM_CLUSTER_RAW%" if *oldest < Version::new(1, 23, 0) => "%UPSTREAM_CLUSTER%",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_to_sidecars_of_a_run() {
        let filter = filter("mp01-payments", 7, Connections::Fresh, &Version::new(1, 30, 3));
        insta::assert_json_snapshot!(filter);
    }

    #[test]
    fn sharing_sessions_leaves_them_alone_and_old_proxies_are_asked_for_what_they_know() {
        let filter = filter("a", 1, Connections::Resume, &Version::new(1, 22, 1)).to_string();
        assert!(!filter.contains("max_session_keys"));
        assert!(filter.contains("max_requests_per_connection"));
        assert!(filter.contains("%UPSTREAM_CLUSTER%") && !filter.contains("UPSTREAM_CLUSTER_RAW"));
    }
}
