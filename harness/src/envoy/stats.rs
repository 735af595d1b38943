//! The statistics a proxy keeps here, and no others: a stock Envoy counts thousands of things, and each costs time
//! when it is made and again whenever counters are read.

/// What tells of a call, as a regular expression that must match the whole name. A classification that needs another
/// statistic adds it here.
pub(crate) const OF_CALLS: &str = concat!(
    r"(cluster\.(in|out)bound.*|listener\.0\.0\.0\.0_15006)\.",
    r"(ssl\.(handshake|connection_error|fail_verify_|no_certificate|was_key_usage_invalid|versions|curves|ciphers).*",
    r"|no_filter_chain_match|downstream_cx_(total|active)|(down|up)stream_context_secrets_not_ready",
    r"|upstream_cx_(total|active|connect_fail|connect_timeout|none_healthy)|upstream_rq_(retry|5xx))",
    r"|tls_inspector\..*|.*(codec_error|protocol_error|rbac).*",
    r"|listener\..*\.downstream_listener_filter_remote_close",
);

/// What tells whether a configuration is in force: clusters and listeners that still warm.
pub(crate) const OF_WARMING: [&str; 2] = [
    "cluster_manager.warming_clusters",
    "listener_manager.total_listeners_warming",
];
