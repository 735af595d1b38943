//! The protocol of a Service port, and how listeners treat it.

use super::policy::ListenerClass;

/// Ports whose applications break when the proxy waits for bytes to detect: SMTP, DNS, MySQL, MongoDB
/// (pkg/config/kube/conversion.go@1.30.3: `wellKnownPorts`).
const WELL_KNOWN_TCP: [u16; 4] = [25, 53, 3306, 27017];

/// How a Service port is treated, and whether it is declared HTTP/2.
///
/// `appProtocol` decides, else the port's name up to the first `-` (pkg/config/kube/conversion.go@1.30.3: `ConvertProtocol`;
/// classes: pilot/pkg/networking/networking.go@1.30.3: `ModelProtocolToListenerProtocol`).
pub(super) fn class_of(port: u16, name: &str, app_protocol: Option<&str>) -> (ListenerClass, bool) {
    let declared = app_protocol.unwrap_or(name).to_ascii_lowercase();
    let declared = match (app_protocol, declared.as_str()) {
        (Some(_), "kubernetes.io/h2c") => "http2",
        (Some(_), "kubernetes.io/ws") => "http",
        (Some(_), "kubernetes.io/wss") => "https",
        (_, name) if name.starts_with("grpc-web") => "grpc-web",
        (_, name) => name.split_once('-').map_or(name, |(prefix, _)| prefix),
    };
    match declared {
        "http" | "http_proxy" => (ListenerClass::Http, false),
        "http2" | "grpc" | "grpc-web" => (ListenerClass::Http, true),
        "tcp" | "https" | "tls" | "mongo" | "redis" | "mysql" => (ListenerClass::Tcp, false),
        _ if WELL_KNOWN_TCP.contains(&port) => (ListenerClass::Tcp, false),
        _ => (ListenerClass::Auto, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_classed_by_app_protocol_then_name_then_number() {
        let cases = [
            (8080, "http", None, ListenerClass::Http, false),
            (8080, "http-admin", None, ListenerClass::Http, false),
            (8080, "HTTP2", None, ListenerClass::Http, true),
            (8080, "grpc-web-x", None, ListenerClass::Http, true),
            (8080, "web", None, ListenerClass::Auto, false),
            (8080, "", None, ListenerClass::Auto, false),
            (8080, "httpx", None, ListenerClass::Auto, false),
            (443, "https", None, ListenerClass::Tcp, false),
            (3306, "db", None, ListenerClass::Tcp, false),
            (3306, "http", None, ListenerClass::Http, false),
            (8080, "http", Some("tcp"), ListenerClass::Tcp, false),
            (8080, "", Some("kubernetes.io/h2c"), ListenerClass::Http, true),
            (
                8080,
                "http",
                Some("example.com/custom"),
                ListenerClass::Auto,
                false,
            ),
        ];
        for (port, name, app_protocol, class, http2) in cases {
            assert_eq!(
                class_of(port, name, app_protocol),
                (class, http2),
                "{port} {name} {app_protocol:?}"
            );
        }
    }
}
