//! The mesh configuration, as far as it decides about mTLS.

use serde::Deserialize;
use serde_json::Value;

use super::yaml::{self, YamlError};
use super::{Object, Source};

/// MeshConfig (pkg/config/mesh/mesh.go@1.30.3 gives the defaults).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MeshConfig {
    /// `trustDomain`.
    pub trust_domain: String,
    /// `trustDomainAliases`.
    pub trust_domain_aliases: Vec<String>,
    /// `rootNamespace`: where mesh-wide policies live.
    pub root_namespace: String,
    /// The DNS domain of Services; istiod's own setting (`global.proxy.clusterDomain`), not of the mesh configuration.
    pub cluster_domain: String,
    /// `enableAutoMtls`.
    pub enable_auto_mtls: bool,
    /// `outboundTrafficPolicy.mode`.
    pub outbound_traffic_policy: OutboundTrafficPolicy,
    /// `meshMTLS.minProtocolVersion`, for example `TLSV1_3`; raises what servers accept.
    pub min_protocol_version: Option<String>,
    /// `defaultDestinationRuleExportTo`.
    pub default_destination_rule_export_to: Vec<String>,
    /// `caCertificates[].trustDomains`: more trust domains that servers accept.
    pub ca_certificate_trust_domains: Vec<String>,
}

/// What becomes of calls to hosts that the mesh does not know.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundTrafficPolicy {
    /// They are passed on.
    #[default]
    AllowAny,
    /// They are refused.
    RegistryOnly,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".to_owned(),
            trust_domain_aliases: Vec::new(),
            root_namespace: "istio-system".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            enable_auto_mtls: true,
            outbound_traffic_policy: OutboundTrafficPolicy::AllowAny,
            min_protocol_version: None,
            default_destination_rule_export_to: Vec::new(),
            ca_certificate_trust_domains: Vec::new(),
        }
    }
}

impl MeshConfig {
    /// The mesh configuration a text of YAML says, defaults where it says nothing.
    ///
    /// # Errors
    /// When the text is no YAML or a field has the wrong type.
    pub fn from_yaml(text: &str, file: &str) -> Result<Self, Box<YamlError>> {
        yaml::value::<Option<Written>>(text, file)
            .map(|written| Self::default().with(written.unwrap_or_default()))
    }

    /// The mesh configuration an object holds: the ConfigMap `istio` of `root_namespace` or istio-system
    /// (`data.mesh`), or an IstioOperator (`spec.meshConfig`). `None` for every other object.
    pub(super) fn of(
        object: &Object,
        source: &Source,
        root_namespace: &str,
    ) -> Option<Result<Self, Box<YamlError>>> {
        match object {
            Object::ConfigMap(map) if map.metadata.name.as_deref() == Some("istio") => {
                let namespace = map.metadata.namespace.as_deref().unwrap_or("default");
                if namespace != root_namespace && namespace != "istio-system" {
                    return None;
                }
                let text = map.data.as_ref()?.get("mesh")?;
                Some(Self::from_yaml(
                    text,
                    &format!("{}:{} (data.mesh)", source.file, source.line),
                ))
            }
            Object::Other(it) if it.kind == "IstioOperator" => {
                let written = it.value.pointer("/spec/meshConfig").cloned().unwrap_or_default();
                let domain = it
                    .value
                    .pointer("/spec/values/global/proxy/clusterDomain")
                    .and_then(Value::as_str);
                Some(
                    serde_json::from_value::<Option<Written>>(written)
                        .map(|written| {
                            let mut config = Self::default().with(written.unwrap_or_default());
                            if let Some(domain) = domain {
                                domain.clone_into(&mut config.cluster_domain);
                            }
                            config
                        })
                        .map_err(|problem| {
                            Box::new(YamlError {
                                file: source.file.clone(),
                                line: source.line,
                                column: 1,
                                message: format!("spec.meshConfig: {problem}"),
                                excerpt: "kind: IstioOperator".to_owned(),
                            })
                        }),
                )
            }
            _ => None,
        }
    }

    fn with(mut self, written: Written) -> Self {
        let given = |text: Option<String>| text.filter(|it| !it.is_empty());
        if let Some(domain) = given(written.trust_domain) {
            self.trust_domain = domain;
        }
        if let Some(namespace) = given(written.root_namespace) {
            self.root_namespace = namespace;
        }
        self.trust_domain_aliases = written.trust_domain_aliases.unwrap_or_default();
        self.enable_auto_mtls = written.enable_auto_mtls.unwrap_or(self.enable_auto_mtls);
        self.outbound_traffic_policy = written
            .outbound_traffic_policy
            .and_then(|it| it.mode)
            .unwrap_or(self.outbound_traffic_policy);
        self.min_protocol_version = given(written.mesh_mtls.and_then(|it| it.min_protocol_version));
        self.default_destination_rule_export_to =
            written.default_destination_rule_export_to.unwrap_or_default();
        self.ca_certificate_trust_domains = written
            .ca_certificates
            .into_iter()
            .flatten()
            .flat_map(|it| it.trust_domains.unwrap_or_default())
            .collect();
        self
    }
}

/// MeshConfig as it is written; what does not decide about mTLS is not read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    trust_domain: Option<String>,
    trust_domain_aliases: Option<Vec<String>>,
    root_namespace: Option<String>,
    enable_auto_mtls: Option<bool>,
    outbound_traffic_policy: Option<WrittenOutbound>,
    #[serde(rename = "meshMTLS")]
    mesh_mtls: Option<WrittenMeshMtls>,
    default_destination_rule_export_to: Option<Vec<String>>,
    ca_certificates: Option<Vec<WrittenCa>>,
}

#[derive(Deserialize)]
struct WrittenOutbound {
    mode: Option<OutboundTrafficPolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMeshMtls {
    min_protocol_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenCa {
    trust_domains: Option<Vec<String>>,
}
