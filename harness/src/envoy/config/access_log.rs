//! Our own access log: one JSON format for requests, connections and listeners, read back by [`crate::envoy::logs`].
//!
//! The unfiltered listener log is an instrument: istiod installs one only with an `NR` filter, so a failed handshake
//! writes no line at all in a real mesh.

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::config::core::v3::{SubstitutionFormatString, substitution_format_string};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use envoy_types::util::pack_any;

use super::Instruments;
use super::proto::{object, text};

/// Which log a line belongs to.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// Requests and connections the sidecar sends out.
    Outbound,
    /// Requests and connections the sidecar takes in.
    Inbound,
    /// Every inbound connection, whatever became of it.
    Listener,
}

/// Field names are those of [`crate::probe::evidence::AccessLogEntry`]. Every operator is known to Envoy 1.36.
const FIELDS: [(&str, &str); 19] = [
    ("attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
    ("chain", "%FILTER_CHAIN_NAME%"),
    ("code", "%RESPONSE_CODE%"),
    ("connection", "%CONNECTION_ID%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("down_fail", "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("peer", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("peer_uri", "%DOWNSTREAM_PEER_URI_SAN%"),
    ("route", "%ROUTE_NAME%"),
    ("sni", "%REQUESTED_SERVER_NAME%"),
    ("termination", "%CONNECTION_TERMINATION_DETAILS%"),
    ("tls", "%DOWNSTREAM_TLS_VERSION%"),
    ("up_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("up_fail", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("up_host", "%UPSTREAM_HOST%"),
    ("up_local", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("up_peer_uri", "%UPSTREAM_PEER_URI_SAN%"),
    ("up_tls", "%UPSTREAM_TLS_VERSION%"),
];

pub(super) fn file(source: Source, instruments: &Instruments) -> Vec<AccessLog> {
    let name = match source {
        Source::Outbound => "outbound",
        Source::Inbound => "inbound",
        Source::Listener => "listener",
    };
    let fields = FIELDS
        .into_iter()
        .chain([("log", name)])
        .map(|(field, operator)| (field, text(operator)));
    let format = SubstitutionFormatString {
        format: Some(substitution_format_string::Format::JsonFormat(object(fields))),
        ..SubstitutionFormatString::default()
    };
    vec![AccessLog {
        name: "envoy.access_loggers.file".to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(pack_any(FileAccessLog {
            path: instruments.access_log.to_string_lossy().into_owned(),
            access_log_format: Some(file_access_log::AccessLogFormat::LogFormat(format)),
        }))),
        ..AccessLog::default()
    }]
}
