//! What Envoy's admin interface is asked, and how its answers are read, whatever way they came.

use std::collections::BTreeMap;

use semver::Version;
use serde::Deserialize;
use serde_json::Value;

use crate::envoy::stats;
use crate::probe::evidence::CertificateInUse;

/// Path and query of the statistics that tell of calls, those that were ever touched.
pub(crate) fn stats_of_calls() -> String {
    format!("/stats?usedonly&filter=^({})$", stats::OF_CALLS)
}

/// Statistics by name. Histograms and text are no numbers and are left out.
pub(crate) fn stats(text: &str) -> BTreeMap<String, i64> {
    text.lines().filter_map(parse_stat).collect()
}

/// Path and query of secrets that are in use (`dynamic_active_secrets`), or waited for (`dynamic_warming_secrets`).
pub(crate) fn secrets(resource: &str) -> String {
    format!("/config_dump?resource={resource}&mask=name,version_info")
}

/// Versions of secrets by their names.
pub(crate) fn secret_versions(text: &str) -> serde_json::Result<BTreeMap<String, String>> {
    let dump: Value = serde_json::from_str(text)?;
    let configs = dump["configs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let versions = configs.iter().filter_map(|secret| {
        let version = secret["version_info"].as_str().unwrap_or_default();
        Some((secret["name"].as_str()?.to_owned(), version.to_owned()))
    });
    Ok(versions.collect())
}

/// The certificates in use, as `/certs` shows them.
pub(crate) fn certificates(text: &str) -> serde_json::Result<Vec<CertificateInUse>> {
    let certs: Certs = serde_json::from_str(text)?;
    let mut found: Vec<CertificateInUse> = Vec::new();
    for entry in certs.certificates {
        let leaves = entry.cert_chain.into_iter().map(|cert| cert.named("leaf"));
        let authorities = entry.ca_cert.into_iter().map(|cert| cert.named("ca"));
        for certificate in leaves.chain(authorities) {
            if !found.contains(&certificate) {
                found.push(certificate);
            }
        }
    }
    Ok(found)
}

/// How many connections were ever opened by each cluster, as `/clusters?format=json` shows its endpoints.
pub(crate) fn connections(text: &str) -> serde_json::Result<BTreeMap<String, u64>> {
    let all: Value = serde_json::from_str(text)?;
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = BTreeMap::new();
    for cluster in each(&all["cluster_statuses"]) {
        let Some(name) = cluster["name"].as_str() else {
            continue;
        };
        let stats = each(&cluster["host_statuses"]).into_iter();
        let opened = stats
            .flat_map(|host| each(&host["stats"]))
            .filter(|it| it["name"] == "cx_total")
            .filter_map(|it| it["value"].as_str()?.parse::<u64>().ok());
        found.insert(name.to_owned(), opened.sum());
    }
    Ok(found)
}

/// The Envoy release of `/server_info`: `<commit>/1.36.4/Clean/RELEASE/BoringSSL`.
pub(crate) fn release(text: &str) -> Option<Version> {
    let info: Value = serde_json::from_str(text).ok()?;
    let version = info["version"].as_str()?.split('/').nth(1)?;
    Version::parse(version).ok()
}

fn parse_stat(line: &str) -> Option<(String, i64)> {
    let (name, value) = line.rsplit_once(": ")?;
    Some((name.to_owned(), value.parse().ok()?))
}

#[derive(Deserialize)]
struct Certs {
    #[serde(default)]
    certificates: Vec<CertificateEntry>,
}

#[derive(Deserialize)]
struct CertificateEntry {
    #[serde(default)]
    ca_cert: Vec<CertificateDetails>,
    #[serde(default)]
    cert_chain: Vec<CertificateDetails>,
}

#[derive(Deserialize)]
struct CertificateDetails {
    #[serde(default)]
    serial_number: String,
    #[serde(default)]
    subject_alt_names: Vec<AlternativeName>,
    #[serde(default)]
    valid_from: String,
    #[serde(default)]
    expiration_time: String,
}

#[derive(Deserialize)]
struct AlternativeName {
    #[serde(default)]
    uri: String,
}

impl CertificateDetails {
    fn named(self, role: &str) -> CertificateInUse {
        CertificateInUse {
            role: role.to_owned(),
            serial: self.serial_number,
            uris: self
                .subject_alt_names
                .into_iter()
                .map(|name| name.uri)
                .filter(|uri| !uri.is_empty())
                .collect(),
            valid_from: self.valid_from,
            expires: self.expiration_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_never_opened_a_connection_has_opened_none() {
        // As Envoy 1.36.4 prints it: values of zero are left out.
        let text = r#"{"cluster_statuses": [
            {"name": "up", "host_statuses": [
                {"stats": [{"name": "cx_connect_fail"}, {"value": "2", "name": "cx_total"}, {"value": "7", "name": "rq_total"}]},
                {"stats": [{"value": "1", "name": "cx_total"}, {"type": "GAUGE", "name": "cx_active"}]}]},
            {"name": "unused", "host_statuses": [{"stats": [{"name": "cx_total"}]}]}]}"#;
        let opened = connections(text).unwrap();
        assert_eq!(
            opened,
            BTreeMap::from([("up".to_owned(), 3), ("unused".to_owned(), 0)])
        );
    }

    #[test]
    fn a_statistic_is_read_whatever_colons_its_name_has() {
        let line = "cluster.outbound|8080||payment.payments.svc.cluster.local;.ssl.handshake: 3";
        assert_eq!(
            parse_stat(line),
            Some((
                "cluster.outbound|8080||payment.payments.svc.cluster.local;.ssl.handshake".to_owned(),
                3
            ))
        );
        assert_eq!(parse_stat("cluster.x.upstream_cx_length_ms: P0(nan,1)"), None);
    }
}
