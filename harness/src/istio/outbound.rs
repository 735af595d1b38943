//! What a client's sidecar does for one service port.
//!
//! Sources: pilot/pkg/networking/core/cluster_builder.go and cluster_tls.go@1.30.3 (`buildUpstreamTLSSettings`,
//! `applyUpstreamTLSSettings`), pilot/pkg/model/push_context.go@1.30.3 (`BestEffortInferServiceMTLSMode`),
//! pilot/pkg/xds/endpoints@1.30.3, and recordings of istiod 1.30.3.

use super::client_tls::{self, Effective};
use super::destination_rule::{Client, Rule};
use super::policy::{
    Because, ClientCertificate, ClientTls, Discovery, Endpoint, ListenerClass, MtlsMode, Outbound,
    TlsOrigination, Trust,
};
use super::rule_id::RuleId;
use super::service::{Service, ServicePort};
use super::topology::Topology;
use super::workload::Workload;
use crate::snapshot::api::{ClientTlsSettings, Subset, TlsMode};

/// Which pods of a workload are listed as endpoints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pods {
    /// Every one, as istiod does.
    Every,
    /// The first that is ready: pods of one workload differ in nothing that decides.
    First,
}

/// One cluster of one client.
pub(super) struct Cluster<'a> {
    topology: &'a Topology,
    service: &'a Service,
    port: &'a ServicePort,
    rule: Option<&'a Rule>,
    subset: Option<&'a Subset>,
    effective: Effective<'a>,
    because: Vec<Because>,
}

impl<'a> Cluster<'a> {
    /// The cluster for a service port and subset as a client's sidecar has it; `None` where the rule in force has no
    /// such subset.
    pub(super) fn of(
        topology: &'a Topology,
        client: &Workload,
        service: &'a Service,
        port: &'a ServicePort,
        subset: Option<&str>,
    ) -> Option<Self> {
        let found = topology.destination_rules.find(
            &Client {
                namespace: &client.name.namespace,
                labels: &client.labels,
            },
            &service.host,
            &service.namespace,
        );
        let rule = found.map(|(rule, _)| rule);
        let subset = match subset {
            Some(name) => Some(rule?.subset(name)?),
            None => None,
        };
        let because = found.iter().flat_map(|(rule, id)| {
            rule.from.iter().map(|object| Because {
                object: Some(object.to_string()),
                rule: *id,
            })
        });
        Some(Self {
            topology,
            service,
            port,
            rule,
            subset,
            effective: rule
                .map(|rule| Effective::of(rule, subset, port.port))
                .unwrap_or_default(),
            because: because.collect(),
        })
    }

    pub(super) fn outbound(mut self, pods: Pods) -> Outbound {
        let discovery = self.discovery();
        let tls = self.tls(discovery);
        let upgraded = self.port.class == ListenerClass::Http && self.effective.upgrades_to_http2();
        Outbound {
            host: self.service.host.clone(),
            namespace: self.service.namespace.clone(),
            service: self.service.name.clone(),
            port: self.port.port,
            subset: self.subset.map(|subset| subset.name.clone()),
            class: self.port.class,
            http2: self.port.http2 || upgraded,
            headless: self.service.headless,
            discovery,
            tls,
            endpoints: self.endpoints(pods),
            connect_timeout_ms: self.effective.connect_timeout_ms(),
            destination_rule: self.rule.map(|rule| {
                format!(
                    "{}/{}",
                    rule.object.namespace.as_deref().unwrap_or_default(),
                    rule.object.name
                )
            }),
            because: self.because,
        }
    }

    /// Headless services and `loadBalancer.simple: PASSTHROUGH` go to the address dialled.
    fn discovery(&self) -> Discovery {
        let of_rule = self
            .rule
            .map(|rule| Effective::of(rule, None, self.port.port))
            .unwrap_or_default();
        match self.service.headless || self.effective.is_passthrough() || of_rule.is_passthrough() {
            true => Discovery::OriginalDst,
            false => Discovery::Eds,
        }
    }

    fn tls(&mut self, discovery: Discovery) -> ClientTls {
        match self.effective.tls {
            Some(settings) => {
                self.decided_by_rule(self.effective.rule);
                self.explicit(settings)
            }
            None => self.automatic(discovery),
        }
    }

    /// TLS settings of a rule hold for every endpoint, whatever it speaks.
    fn explicit(&mut self, settings: &ClientTlsSettings) -> ClientTls {
        match settings.mode {
            TlsMode::Disable => ClientTls::Plaintext,
            TlsMode::IstioMutual => ClientTls::Fixed(self.mesh_tls(Some(settings))),
            TlsMode::Simple | TlsMode::Mutual => {
                let by_name = settings
                    .credential_name
                    .as_deref()
                    .filter(|name| !name.is_empty());
                if by_name.is_some() && self.rule.is_none_or(|rule| rule.selector.is_none()) {
                    // Secrets by name are for gateways; a sidecar silently goes without TLS.
                    self.decided_by_rule(RuleId::DestinationRuleCredentialNameIgnored);
                    return ClientTls::Plaintext;
                }
                match certificate(settings, by_name) {
                    Some(certificate) => ClientTls::Fixed(self.other_tls(settings, certificate, by_name)),
                    None => {
                        self.decided_by_rule(RuleId::DestinationRuleMutualWithoutCertificate);
                        ClientTls::Plaintext
                    }
                }
            }
        }
    }

    /// Automatic mTLS: by endpoint where endpoints are discovered, once for all where they are dialled.
    fn automatic(&mut self, discovery: Discovery) -> ClientTls {
        if self.service.external {
            return self.plaintext_because(RuleId::AutoMtlsMeshExternal);
        }
        if !self.topology.mesh.enable_auto_mtls {
            return self.plaintext_because(RuleId::AutoMtlsOff);
        }
        if self.hint_needs_endpoints() && !self.all_endpoints_have_tls_mode() {
            return self.plaintext_because(RuleId::AutoMtlsPassthroughEndpointWithoutSidecar);
        }
        let (hint, because) = self.topology.peer_authentications.hint(&self.service.namespace);
        self.because.push(because);
        if hint == MtlsMode::Disable {
            return self.plaintext_because(RuleId::AutoMtlsNamespaceDisable);
        }
        let origination = self.mesh_tls(None);
        match discovery {
            Discovery::Eds => {
                self.because.push(Because {
                    object: None,
                    rule: RuleId::AutoMtlsEndpoint,
                });
                if self.endpoint_mode().is_some() {
                    self.decided_by_rule(RuleId::AutoMtlsEndpointByRule);
                }
                ClientTls::Auto(origination)
            }
            Discovery::OriginalDst => {
                self.because.push(Because {
                    object: None,
                    rule: RuleId::AutoMtlsPassthrough,
                });
                ClientTls::Fixed(origination)
            }
        }
    }

    /// For a subset its own load balancer counts here, else the rule's top level; ports do not.
    fn hint_needs_endpoints(&self) -> bool {
        let policy = match self.subset {
            Some(subset) => subset.traffic_policy.as_ref(),
            None => self.rule.and_then(|rule| rule.traffic_policy.as_ref()),
        };
        let balancer = policy.and_then(|policy| policy.load_balancer.as_ref());
        self.service.headless || balancer.is_some_and(|it| it.is_passthrough())
    }

    fn all_endpoints_have_tls_mode(&self) -> bool {
        let mut behind = self.topology.behind(self.service, self.port).peekable();
        behind.peek().is_some() && behind.all(|(workload, _)| workload.tls_mode)
    }

    fn endpoints(&self, pods: Pods) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for (workload, port) in self.topology.behind(self.service, self.port) {
            let in_subset = self.subset.is_none_or(|subset| {
                subset
                    .labels
                    .iter()
                    .all(|(key, value)| workload.labels.get(key) == Some(value))
            });
            if in_subset {
                let tls_mode = self.marks(workload, port);
                let count = match pods {
                    Pods::Every => usize::MAX,
                    Pods::First => 1,
                };
                let pods = self.topology.ready(workload).take(count);
                endpoints.extend(pods.map(|pod| Endpoint { pod, port, tls_mode }));
            }
        }
        endpoints
    }

    /// Whether istiod marks an endpoint `tlsMode: istio`: its pod has the label, and either the rule says ISTIO_MUTUAL
    /// or, where it says nothing, the server's own mode is not DISABLE.
    fn marks(&self, workload: &Workload, port: u16) -> bool {
        workload.tls_mode
            && match self.endpoint_mode() {
                Some(mode) => mode == TlsMode::IstioMutual,
                None => self.topology.peer_authentications.mode(workload, Some(port)).0 != MtlsMode::Disable,
            }
    }

    /// What the rule says for marking endpoints.
    fn endpoint_mode(&self) -> Option<TlsMode> {
        let release = &self.topology.release;
        client_tls::endpoint_mode(self.rule?, self.subset, self.port.port, release)
    }

    fn mesh_tls(&self, settings: Option<&ClientTlsSettings>) -> TlsOrigination {
        let sans = settings
            .map(|settings| settings.subject_alt_names.clone())
            .filter(|sans| !sans.is_empty());
        let sni = settings
            .and_then(|settings| settings.sni.clone())
            .filter(|sni| !sni.is_empty());
        let subset = self.subset.map(|subset| subset.name.as_str()).unwrap_or_default();
        let mut alpn = vec!["istio".to_owned()];
        // Recorded: the upgrade adds h2 on TCP ports too, but not where the protocol is detected.
        if self.port.http2 || (self.port.class != ListenerClass::Auto && self.effective.upgrades_to_http2()) {
            alpn.push("h2".to_owned());
        }
        TlsOrigination {
            certificate: ClientCertificate::Workload,
            trust: Trust::Mesh,
            sans: sans.unwrap_or_else(|| self.service.identities.clone()),
            sni: Some(
                sni.unwrap_or_else(|| {
                    format!("outbound_.{}_.{subset}_.{}", self.port.port, self.service.host)
                }),
            ),
            alpn,
            alpn_override: self.port.class != ListenerClass::Tcp,
            auto_sni: false,
            auto_san_validation: false,
        }
    }

    fn other_tls(
        &self,
        settings: &ClientTlsSettings,
        certificate: ClientCertificate,
        by_name: Option<&str>,
    ) -> TlsOrigination {
        let skips = settings.insecure_skip_verify == Some(true);
        let roots = settings.ca_certificates.clone().filter(|file| !file.is_empty());
        let trust = match (skips, by_name, roots) {
            (true, _, _) => Trust::Nobody,
            (false, Some(name), _) => Trust::File(format!("kubernetes://{name}-cacert")),
            (false, None, Some(file)) => Trust::File(file),
            (false, None, None) => Trust::System,
        };
        let sni = settings.sni.clone().filter(|sni| !sni.is_empty());
        let http2 =
            self.port.http2 || (self.port.class == ListenerClass::Http && self.effective.upgrades_to_http2());
        TlsOrigination {
            certificate,
            trust,
            sans: settings.subject_alt_names.clone(),
            auto_sni: sni.is_none(),
            auto_san_validation: sni.is_none() && settings.subject_alt_names.is_empty() && !skips,
            sni,
            alpn: if http2 { vec!["h2".to_owned()] } else { Vec::new() },
            alpn_override: false,
        }
    }

    fn plaintext_because(&mut self, rule: RuleId) -> ClientTls {
        self.because.push(Because { object: None, rule });
        ClientTls::Plaintext
    }

    fn decided_by_rule(&mut self, rule: RuleId) {
        let object = self.rule.map(|it| it.object.to_string());
        self.because.push(Because { object, rule });
    }
}

/// The certificate of SIMPLE (none) and MUTUAL (files, or a secret for rules with a selector); `None` where MUTUAL
/// names none: istiod then builds the cluster without TLS.
fn certificate(settings: &ClientTlsSettings, by_name: Option<&str>) -> Option<ClientCertificate> {
    let given = |file: &Option<String>| file.clone().filter(|file| !file.is_empty());
    match (settings.mode, by_name) {
        (TlsMode::Mutual, Some(name)) => {
            let secret = format!("kubernetes://{name}");
            Some(ClientCertificate::Files {
                certificate: secret.clone(),
                key: secret,
            })
        }
        (TlsMode::Mutual, None) => Some(ClientCertificate::Files {
            certificate: given(&settings.client_certificate)?,
            key: given(&settings.private_key)?,
        }),
        _ => Some(ClientCertificate::None),
    }
}
