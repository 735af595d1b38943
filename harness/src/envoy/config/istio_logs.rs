//! The access logs that Istio has a proxy write: as installed, and with `manifests/visibility` applied.
//!
//! Formats and the `NR` filter of the inbound listener are those of istiod 1.30.3 with `meshConfig.accessLogFile` set,
//! as recorded (istiod-xds 09a, 09b). A Telemetry's filter applies to requests, to TCP connections, and to the listener's
//! log beside its own filter (pilot/pkg/networking/core/accesslog.go@1.30.3, `buildAccessLogFilter`).

use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLogFilter, AndFilter, ExtensionFilter, ResponseFlagFilter, extension_filter,
};
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source};
use envoy_types::pb::envoy::extensions::access_loggers::filters::cel::v3::ExpressionFilter;
use envoy_types::util::pack_any;

use crate::envoy::logs::{MARK_FIELD, Marked};
use crate::visibility::{AccessLogs, Visibility};

use super::access_log::{Logger, Source};
use super::proto::{object, text};

/// Istio's default format, but for its newline.
const TEXT: &str = r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%"#;

/// Istio's JSON format.
const JSON: [(&str, &str); 24] = [
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    (
        "connection_termination_details",
        "%CONNECTION_TERMINATION_DETAILS%",
    ),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// What Istio has one proxy log, by whose log it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct IstioLogs {
    requests: Vec<Logger>,
    listener: Vec<Logger>,
    /// Whether our own access log is left out.
    pub(super) is_alone: bool,
}

impl IstioLogs {
    /// What is to be written beside our own access log or in its place; nothing if that is written alone.
    pub(crate) fn of_settings(written: AccessLogs) -> Option<Self> {
        let alone = |logs: Self| Self {
            is_alone: true,
            ..logs
        };
        Some(match written {
            AccessLogs::Ours => return None,
            AccessLogs::OursAndIstio(visibility) => {
                let mut all = Self::as_installed(Marked::Text);
                for more in [Self::as_installed(Marked::Json), Self::visible(visibility)] {
                    all.requests.extend(more.requests);
                    all.listener.extend(more.listener);
                }
                all
            }
            AccessLogs::Off => alone(Self::default()),
            AccessLogs::AsInstalled => alone(Self::as_installed(Marked::Text)),
            AccessLogs::WithVisibility(visibility) => alone(Self::visible(visibility)),
        })
    }

    /// With `meshConfig.accessLogFile` set, in the encoding of the mark.
    fn as_installed(mark: Marked) -> Self {
        let format = match mark {
            Marked::Json => marked_json(mark, JSON),
            Marked::Text | Marked::Visible => marked_text(mark),
        };
        Self {
            requests: vec![Logger::new(format.clone(), None)],
            listener: vec![Logger::new(format, Some(no_route()))],
            is_alone: false,
        }
    }

    /// With the manifests applied.
    fn visible(visibility: &Visibility) -> Self {
        let telemetry = || cel(&visibility.logged);
        let format = visibility
            .listener_format
            .iter()
            .map(|(field, operator)| (field.as_str(), operator.as_str()));
        Self {
            requests: vec![Logger::new(marked_text(Marked::Visible), Some(telemetry()))],
            listener: vec![
                Logger::new(marked_text(Marked::Visible), Some(both(no_route(), telemetry()))),
                Logger::new(marked_json(Marked::Visible, format), None),
            ],
            is_alone: false,
        }
    }

    pub(super) fn of(&self, source: Source) -> &[Logger] {
        match source {
            Source::Outbound | Source::Inbound => &self.requests,
            Source::Listener => &self.listener,
        }
    }
}

fn marked_text(mark: Marked) -> Format {
    Format::TextFormatSource(DataSource {
        specifier: Some(data_source::Specifier::InlineString(format!(
            "{}{TEXT}\n",
            mark.before_text()
        ))),
        ..DataSource::default()
    })
}

fn marked_json<'a>(mark: Marked, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Format {
    let mark = (MARK_FIELD, mark.as_str());
    let fields = fields.into_iter().chain([mark]);
    Format::JsonFormat(object(fields.map(|(field, operator)| (field, text(operator)))))
}

fn no_route() -> FilterSpecifier {
    FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
        flags: vec!["NR".to_owned()],
    })
}

fn cel(expression: &str) -> FilterSpecifier {
    let filter = ExpressionFilter {
        expression: expression.to_owned(),
        ..ExpressionFilter::default()
    };
    FilterSpecifier::ExtensionFilter(ExtensionFilter {
        name: "envoy.access_loggers.extension_filters.cel".to_owned(),
        config_type: Some(extension_filter::ConfigType::TypedConfig(pack_any(filter))),
    })
}

fn both(one: FilterSpecifier, other: FilterSpecifier) -> FilterSpecifier {
    let filters = [one, other].map(|it| AccessLogFilter {
        filter_specifier: Some(it),
    });
    FilterSpecifier::AndFilter(AndFilter {
        filters: filters.into(),
    })
}
