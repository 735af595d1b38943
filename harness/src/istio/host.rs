//! Host names in Istio's objects.

/// The full name of a host as an object of `namespace` writes it: `*` and names with a dot stay, a short name is one
/// of the object's own namespace (pilot/pkg/model/config.go@1.30.3: `ResolveShortnameToFQDN`).
pub(crate) fn resolve(host: &str, namespace: &str, domain: &str) -> String {
    if host == "*" || host.contains('.') {
        return host.to_owned();
    }
    format!("{host}.{namespace}.svc.{domain}")
}

/// Whether a host or wildcard covers a host (pkg/config/host/name.go@1.30.3).
pub(crate) fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix),
        None => pattern == host,
    }
}
