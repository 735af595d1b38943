//! What a Secret may show: the names of its entries, and the certificates and revocation lists among them. Everything
//! else, private keys above all, is dropped before anything can log or report it.

use k8s_openapi::ByteString;
use serde_json::Value;

/// Blanks every entry of a Secret that is anything but public certificates and revocation lists.
pub(super) fn redact(secret: &mut Value) {
    for part in ["data", "stringData"] {
        let Some(entries) = secret.get_mut(part).and_then(Value::as_object_mut) else {
            continue;
        };
        for value in entries.values_mut() {
            if !is_public(value, part == "data") {
                *value = Value::Null;
            }
        }
    }
    // kubectl apply keeps the whole object in an annotation.
    if let Some(annotations) = secret
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

fn is_public(value: &Value, encoded: bool) -> bool {
    let text = if encoded {
        let bytes = serde_json::from_value::<ByteString>(value.clone()).ok();
        bytes.and_then(|it| String::from_utf8(it.0).ok())
    } else {
        value.as_str().map(str::to_owned)
    };
    let Some(text) = text else { return false };
    let mut kinds = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-----BEGIN "))
        .map(|line| line.trim_end_matches('-'))
        .peekable();
    kinds.peek().is_some() && kinds.all(|kind| matches!(kind, "CERTIFICATE" | "X509 CRL"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_certificates_and_revocation_lists_stay() {
        let pem = |kind: &str| format!("-----BEGIN {kind}-----\nAA==\n-----END {kind}-----\n");
        let both = format!("{}{}", pem("CERTIFICATE"), pem("PRIVATE KEY"));
        let mut secret = json!({
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "the key"}},
            "data": {"token": "c2VjcmV0", "broken": "%%"},
            "stringData": {
                "ca-cert.pem": pem("CERTIFICATE"), "ca-crl.pem": pem("X509 CRL"),
                "ca-key.pem": pem("RSA PRIVATE KEY"), "both": both, "password": "hunter2",
            },
        });
        redact(&mut secret);
        assert_eq!(
            secret,
            json!({
                "metadata": {"annotations": {}},
                "data": {"token": null, "broken": null},
                "stringData": {
                    "ca-cert.pem": pem("CERTIFICATE"), "ca-crl.pem": pem("X509 CRL"),
                    "ca-key.pem": null, "both": null, "password": null,
                },
            })
        );
    }
}
