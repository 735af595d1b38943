//! Small constructors for protobuf shapes.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::core::v3::transport_socket;
use envoy_types::pb::envoy::config::core::v3::{
    Address, SocketAddress, TransportSocket, address, socket_address,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, ListenerFilter, filter, listener_filter};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, http_filter,
};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{BoolValue, Duration, Struct, Value};
use envoy_types::util::pack_any;
use prost::{Message, Name};

pub(super) const fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

pub(super) fn milliseconds(millis: u64) -> Option<Duration> {
    let duration = std::time::Duration::from_millis(millis);
    Some(Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    })
}

pub(crate) fn socket_address(address: SocketAddr) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(socket(address))),
    }
}

pub(super) fn socket(address: SocketAddr) -> SocketAddress {
    SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(u32::from(
            address.port(),
        ))),
        ..SocketAddress::default()
    }
}

pub(super) fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Struct {
    Struct {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

pub(super) fn list(values: Vec<Value>) -> Value {
    Value {
        kind: Some(Kind::ListValue(envoy_types::pb::google::protobuf::ListValue {
            values,
        })),
    }
}

pub(super) fn nested(fields: Struct) -> Value {
    Value {
        kind: Some(Kind::StructValue(fields)),
    }
}

pub(super) fn network_filter<M: Name + Message>(name: &str, config: M) -> Filter {
    Filter {
        name: name.to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(pack_any(config))),
    }
}

pub(super) fn http_filter<M: Name + Message>(name: &str, config: M) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack_any(config))),
        ..HttpFilter::default()
    }
}

pub(super) fn listener_filter<M: Name + Message>(name: &str, config: M) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(pack_any(config))),
        ..ListenerFilter::default()
    }
}

pub(super) fn transport_socket<M: Name + Message>(name: &str, config: M) -> TransportSocket {
    TransportSocket {
        name: name.to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(pack_any(config))),
    }
}

pub(super) const fn boolean(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}
