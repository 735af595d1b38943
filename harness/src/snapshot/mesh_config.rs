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

    /// The mesh configuration of a file in any form people keep it in: an `istio` ConfigMap or an IstioOperator, Helm
    /// values of the istiod chart (`meshConfig`, else `global.meshConfig`), or the bare configuration.
    ///
    /// # Errors
    /// When the text is no YAML, a field has the wrong type, or its objects hold no mesh configuration.
    pub fn from_any_yaml(text: &str, file: &str) -> Result<Self, Box<YamlError>> {
        let form = yaml::value::<Option<Form>>(text, file)
            .unwrap_or_default()
            .unwrap_or_default();
        if form.mesh_config.is_some() || form.global.is_some() {
            let values = yaml::value::<HelmValues>(text, file)?;
            return Ok(values.into_config());
        }
        if form.kind.is_none() && form.api_version.is_none() && !text.contains("\n---") {
            return Self::from_yaml(text, file);
        }
        let mut found = None;
        for (object, source) in yaml::objects(text, file)? {
            let namespace = object.metadata().namespace.clone().unwrap_or_default();
            if let Some(config) = Self::of(&object, &source, &namespace) {
                found = Some(config?);
            }
        }
        found.ok_or_else(|| {
            Box::new(YamlError {
                file: file.to_owned(),
                line: 1,
                column: 1,
                message: "no mesh configuration: neither a ConfigMap `istio` with `data.mesh`, nor an IstioOperator"
                    .to_owned(),
                excerpt: text.lines().next().unwrap_or_default().to_owned(),
            })
        })
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

/// The keys by which a file tells what it is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    api_version: Option<Value>,
    kind: Option<Value>,
    mesh_config: Option<Value>,
    global: Option<Value>,
}

/// Values of the istiod chart (manifests/charts/istio-control/istio-discovery@1.30.3).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HelmValues {
    mesh_config: Option<Written>,
    global: Option<HelmGlobal>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HelmGlobal {
    mesh_config: Option<Written>,
    istio_namespace: Option<String>,
    proxy: Option<HelmProxy>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HelmProxy {
    cluster_domain: Option<String>,
}

impl HelmValues {
    /// The chart's template gives `global.istioNamespace` as root namespace, which `meshConfig` overrides.
    fn into_config(self) -> MeshConfig {
        let global = self.global.unwrap_or_default();
        let mut config = MeshConfig::default();
        if let Some(namespace) = global.istio_namespace.filter(|it| !it.is_empty()) {
            config.root_namespace = namespace;
        }
        if let Some(domain) = global
            .proxy
            .and_then(|it| it.cluster_domain)
            .filter(|it| !it.is_empty())
        {
            config.cluster_domain = domain;
        }
        config.with(self.mesh_config.or(global.mesh_config).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_people_keep_it_in_says_the_same() {
        let expected = MeshConfig {
            trust_domain: "corp".to_owned(),
            root_namespace: "admin".to_owned(),
            ..MeshConfig::default()
        };
        let forms = [
            "trustDomain: corp\nrootNamespace: admin\n",
            "meshConfig: {trustDomain: corp}\nglobal: {istioNamespace: admin}\n",
            "meshConfig: {trustDomain: corp, rootNamespace: admin}\nglobal: {istioNamespace: other}\n",
            "global: {istioNamespace: admin, meshConfig: {trustDomain: corp}}\n",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: admin}\ndata: {mesh: '{trustDomain: corp, rootNamespace: admin}'}\n",
            "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {meshConfig: {trustDomain: corp, rootNamespace: admin}}\n",
        ];
        for form in forms {
            assert_eq!(
                MeshConfig::from_any_yaml(form, "mesh.yaml").as_ref(),
                Ok(&expected),
                "{form}"
            );
        }
        assert_eq!(
            MeshConfig::from_any_yaml("", "mesh.yaml"),
            Ok(MeshConfig::default())
        );
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        let mistakes = [
            "meshConfig:\n  enableAutoMtls: perhaps\n",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
            "trustDomain: [corp]\n",
        ];
        let messages = mistakes.map(|text| {
            MeshConfig::from_any_yaml(text, "mesh.yaml")
                .unwrap_err()
                .to_string()
        });
        insta::assert_snapshot!(messages.join("\n\n"));
    }
}
