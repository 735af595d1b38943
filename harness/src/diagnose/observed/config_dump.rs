//! What of Envoy's `/config_dump` tells about mTLS: secrets in use and awaited, TLS parameters, versions.

use k8s_openapi::ByteString;
use serde_json::Value;

use crate::fault::{CipherSuite, KeyExchangeGroup, TlsLimits, TlsVersion};
use crate::istio::policy::INBOUND_CIPHER_SUITES;
use crate::pki::{Certificate, Pem, RevocationList};

/// The secret that holds a workload's own certificate.
const OWN: &str = "default";
/// The secret that holds the roots a workload trusts.
const ROOTS: &str = "ROOTCA";
/// How istiod calls the listener of everything that comes in; the local tier has one for each port.
const INBOUND: &str = "virtualInbound";

/// A proxy's configuration in force, as far as mTLS goes.
#[derive(Clone, Debug, Default)]
pub struct ProxyConfig {
    /// Its Istio release, as its node says.
    pub istio: Option<String>,
    /// Its Envoy version.
    pub envoy: Option<String>,
    /// Its secrets.
    pub secrets: Secrets,
    /// What it takes as a client, where that is not what istiod configures.
    pub client: Limited,
    /// What it takes as a server, where that is not what istiod configures.
    pub server: Limited,
    /// The clusters and listeners that it was sent and has not put in force.
    pub warming: Vec<String>,
    /// What it refused, in its own words.
    pub refused: Vec<String>,
}

/// Secrets of a proxy, public parts alone.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The chain it serves, its own certificate first.
    pub chain: Vec<Certificate>,
    /// The roots it trusts, in their order.
    pub roots: Vec<Certificate>,
    /// The revocation lists it checks.
    pub lists: Vec<RevocationList>,
    /// The names of those it waits for.
    pub awaited: Vec<String>,
}

/// Parameters of TLS at one end.
#[derive(Clone, Debug, Default)]
pub struct Limited {
    /// Those that are not istiod's.
    pub limits: TlsLimits,
    /// Names of suites and groups that meshproof does not know, and that no prediction rests on.
    pub unknown: Vec<String>,
}

/// A text that is no configuration dump.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is no dump of Envoy's configuration: {0}")]
pub struct UnreadableDump(String);

impl ProxyConfig {
    /// Reads the JSON that Envoy answers to `/config_dump`. Private keys are `[redacted]` in it, and are not read.
    ///
    /// # Errors
    /// When it is no JSON, or holds no configuration.
    pub fn read(text: &str) -> Result<Self, UnreadableDump> {
        let dump: Value = serde_json::from_str(text).map_err(|error| UnreadableDump(error.to_string()))?;
        let sections = dump.get("configs").and_then(Value::as_array);
        let sections = sections.ok_or_else(|| UnreadableDump("it has no `configs`".to_owned()))?;
        let mut found = Self::default();
        for section in sections {
            let kind = section.get("@type").and_then(Value::as_str).unwrap_or_default();
            match kind.rsplit('.').next().unwrap_or_default() {
                "BootstrapConfigDump" => found.bootstrap(section),
                "SecretsConfigDump" => found.secrets(section),
                "ClustersConfigDump" => found.clusters(section),
                "ListenersConfigDump" => found.listeners(section),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether it waits for its certificate, or for its roots.
    #[must_use]
    pub fn awaits(&self) -> [bool; 2] {
        [OWN, ROOTS].map(|name| self.secrets.awaited.iter().any(|it| it == name))
    }

    fn bootstrap(&mut self, section: &Value) {
        let node = section.pointer("/bootstrap/node");
        let istio = node.and_then(|it| it.pointer("/metadata/ISTIO_VERSION")?.as_str());
        self.istio = istio.map(str::to_owned);
        let version = node.and_then(|it| it.pointer("/user_agent_build_version/version"));
        let number = |field: &str| version?.get(field)?.as_u64();
        if let (Some(major), Some(minor)) = (number("major_number"), number("minor_number")) {
            self.envoy = Some(format!("{major}.{minor}.{}", number("patch").unwrap_or_default()));
        }
    }

    fn secrets(&mut self, section: &Value) {
        for entry in entries(section, &["static_secrets", "dynamic_active_secrets"]) {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
            let text = |pointer: &str| {
                let source = entry.pointer(pointer);
                source.and_then(data).unwrap_or_default()
            };
            match name {
                OWN => {
                    let chain = Pem::read(&text("/secret/tls_certificate/certificate_chain"));
                    self.secrets.chain = chain.certificates;
                }
                ROOTS => {
                    let roots = Pem::read(&text("/secret/validation_context/trusted_ca"));
                    self.secrets.roots = roots.certificates;
                    self.secrets.lists = Pem::read(&text("/secret/validation_context/crl")).lists;
                }
                _ => {}
            }
        }
        self.secrets.awaited = names(section, &["dynamic_warming_secrets"]).collect();
    }

    fn clusters(&mut self, section: &Value) {
        let outbound = entries(section, &["dynamic_active_clusters"])
            .filter_map(|it| it.get("cluster"))
            .filter(|it| {
                let name = it.get("name").and_then(Value::as_str);
                name.is_some_and(|it| it.starts_with("outbound|"))
            });
        for cluster in outbound {
            let alone = cluster.pointer("/transport_socket").into_iter();
            let matched = cluster.get("transport_socket_matches").and_then(Value::as_array);
            let matched = matched
                .into_iter()
                .flatten()
                .filter_map(|it| it.get("transport_socket"));
            for socket in alone.chain(matched) {
                self.client.tighten(socket, &[]);
            }
        }
        let waiting = entries(section, &["dynamic_warming_clusters"]);
        let waiting = waiting.filter_map(|it| it.pointer("/cluster/name")?.as_str());
        self.warming.extend(waiting.map(|it| format!("cluster {it}")));
        self.refusals(section, &["dynamic_active_clusters", "dynamic_warming_clusters"]);
    }

    fn listeners(&mut self, section: &Value) {
        for entry in entries(section, &["dynamic_listeners"]) {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
            if entry.get("warming_state").is_some() {
                self.warming.push(format!("listener {name}"));
            }
            let Some(listener) = entry.pointer("/active_state/listener") else {
                continue;
            };
            let chains = listener.get("filter_chains").and_then(Value::as_array);
            for chain in chains.into_iter().flatten().filter(|_| name.starts_with(INBOUND)) {
                if let Some(socket) = chain.get("transport_socket") {
                    self.server.tighten(socket, &INBOUND_CIPHER_SUITES);
                }
            }
        }
        self.refusals(section, &["dynamic_listeners"]);
    }

    fn refusals(&mut self, section: &Value, lists: &[&str]) {
        let details = entries(section, lists).filter_map(|it| it.pointer("/error_state/details")?.as_str());
        self.refused.extend(details.map(str::to_owned));
    }
}

impl Limited {
    /// Takes in what a transport socket says; `usual` are the cipher suites that istiod configures there.
    fn tighten(&mut self, socket: &Value, usual: &[CipherSuite]) {
        let Some(parameters) = socket.pointer("/typed_config/common_tls_context/tls_params") else {
            return;
        };
        let version = |field: &str| match parameters.get(field).and_then(Value::as_str) {
            Some("TLSv1_2") => Some(TlsVersion::V1_2),
            Some("TLSv1_3") => Some(TlsVersion::V1_3),
            _ => None,
        };
        let limits = &mut self.limits;
        limits.min_version = version("tls_minimum_protocol_version")
            .filter(|it| *it != TlsVersion::V1_2)
            .or(limits.min_version);
        limits.max_version = version("tls_maximum_protocol_version")
            .filter(|it| *it != TlsVersion::V1_3)
            .or(limits.max_version);
        let suites = known::<CipherSuite>(parameters.get("cipher_suites"), &mut self.unknown);
        if !suites.is_empty() && suites != usual {
            limits.cipher_suites = suites;
        }
        let groups = known::<KeyExchangeGroup>(parameters.get("ecdh_curves"), &mut self.unknown);
        if !groups.is_empty() {
            limits.groups = groups;
        }
    }
}

/// The names of a list that are known; the others go to `unknown`.
fn known<T: serde::de::DeserializeOwned>(list: Option<&Value>, unknown: &mut Vec<String>) -> Vec<T> {
    let mut found = Vec::new();
    for name in list.and_then(Value::as_array).into_iter().flatten() {
        match serde_json::from_value::<T>(name.clone()) {
            Ok(it) => found.push(it),
            Err(_) => {
                let name = name.as_str().unwrap_or_default().to_owned();
                if !unknown.contains(&name) {
                    unknown.push(name);
                }
            }
        }
    }
    found
}

fn entries<'a>(section: &'a Value, lists: &'a [&str]) -> impl Iterator<Item = &'a Value> {
    let lists = lists.iter().filter_map(|it| section.get(*it)?.as_array());
    lists.flatten()
}

fn names<'a>(section: &'a Value, lists: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    entries(section, lists).filter_map(|it| it.get("name")?.as_str().map(str::to_owned))
}

/// A DataSource that stands in the dump itself.
fn data(source: &Value) -> Option<Vec<u8>> {
    if let Some(text) = source.get("inline_string").and_then(Value::as_str) {
        return Some(text.as_bytes().to_vec());
    }
    let encoded = source.get("inline_bytes")?;
    serde_json::from_value::<ByteString>(encoded.clone())
        .ok()
        .map(|it| it.0)
}
