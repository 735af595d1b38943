//! What a proxy logs of requests and connections: our own access log, and, where asked for, what Istio would have it log.
//!
//! Ours has one JSON format for requests, connections and listeners, read back by [`crate::envoy::logs`]. The unfiltered
//! listener log is an instrument: istiod installs one only with an `NR` filter, so a failed handshake writes no line at
//! all in a real mesh.

use std::sync::LazyLock;

use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, access_log, access_log_filter,
};
use envoy_types::pb::envoy::config::core::v3::{SubstitutionFormatString, substitution_format_string};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use envoy_types::util::pack_any;
use prost::Message;

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
pub(crate) const FIELDS: [(&str, &str); 19] = [
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

/// What is logged of `source`, the same to the byte each time: what was pushed is told by it from what is new.
///
/// Istio's lines come first and go to the same file: once ours is there, so are they.
pub(super) fn file(source: Source, instruments: &Instruments) -> Vec<AccessLog> {
    let istio = instruments.istio_logs.iter().flat_map(|logs| logs.of(source));
    let is_written = !instruments.istio_logs.as_ref().is_some_and(|logs| logs.is_alone);
    let ours = is_written.then(|| Logger {
        encoded: source.format().to_vec(),
        filter: None,
    });
    istio
        .chain(&ours)
        .map(|logger| logger.writing_to(&instruments.access_log.to_string_lossy()))
        .collect()
}

/// A format, encoded once, because a map comes out in another order each time; and which lines are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Logger {
    pub(super) encoded: Vec<u8>,
    pub(super) filter: Option<access_log_filter::FilterSpecifier>,
}

impl Logger {
    pub(super) fn new(
        format: substitution_format_string::Format,
        filter: Option<access_log_filter::FilterSpecifier>,
    ) -> Self {
        Self {
            encoded: encode(format),
            filter,
        }
    }

    fn writing_to(&self, path: &str) -> AccessLog {
        let path = FileAccessLog {
            path: path.to_owned(),
            access_log_format: None,
        };
        let mut packed = pack_any(path);
        // A message's fields may be encoded apart; one after the other they are the whole message.
        packed.value.extend(&self.encoded);
        AccessLog {
            name: "envoy.access_loggers.file".to_owned(),
            filter: self.filter.clone().map(|it| AccessLogFilter {
                filter_specifier: Some(it),
            }),
            config_type: Some(access_log::ConfigType::TypedConfig(packed)),
        }
    }
}

fn encode(format: substitution_format_string::Format) -> Vec<u8> {
    let format = SubstitutionFormatString {
        format: Some(format),
        ..SubstitutionFormatString::default()
    };
    let log = FileAccessLog {
        path: String::new(),
        access_log_format: Some(file_access_log::AccessLogFormat::LogFormat(format)),
    };
    log.encode_to_vec()
}
impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::Listener => "listener",
        }
    }

    /// The encoded format of its lines. Encoded once, because a map comes out in another order each time.
    fn format(self) -> &'static [u8] {
        static ENCODED: LazyLock<[Vec<u8>; 3]> =
            LazyLock::new(|| [Source::Outbound, Source::Inbound, Source::Listener].map(Source::encode));
        let [outbound, inbound, listener] = &*ENCODED;
        match self {
            Self::Outbound => outbound,
            Self::Inbound => inbound,
            Self::Listener => listener,
        }
    }

    fn encode(self) -> Vec<u8> {
        let fields = FIELDS
            .into_iter()
            .chain([("log", self.name())])
            .map(|(field, operator)| (field, text(operator)));
        encode(substitution_format_string::Format::JsonFormat(object(fields)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Connections;

    #[test]
    fn a_log_encoded_in_two_parts_is_one_message() {
        let instruments = Instruments {
            limits: crate::fault::TlsLimits::default(),
            access_log: "/run/access.log".into(),
            connections: Connections::Fresh,
            istio_logs: None,
            key_log: None,
        };
        let [log] = <[AccessLog; 1]>::try_from(file(Source::Listener, &instruments)).unwrap();
        let Some(access_log::ConfigType::TypedConfig(packed)) = log.config_type else {
            panic!("{:?}", log.config_type);
        };
        let log = FileAccessLog::decode(packed.value.as_slice()).unwrap();
        assert_eq!(log.path, "/run/access.log");
        let Some(file_access_log::AccessLogFormat::LogFormat(format)) = log.access_log_format else {
            panic!("no format");
        };
        let Some(substitution_format_string::Format::JsonFormat(fields)) = format.format else {
            panic!("no JSON format");
        };
        assert_eq!(fields.fields["log"], text("listener"));
        assert_eq!(fields.fields.len(), FIELDS.len() + 1);
    }
}
