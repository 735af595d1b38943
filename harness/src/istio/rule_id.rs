//! The rules that a prediction cites, each with a stable id.
//!
//! This is the only list of them. `docs/rules.md` is written from it.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

/// Declares the rules: variant, id, what the rule says, and where Istio has it.
macro_rules! rules {
    ($($(#[doc = $meaning:literal])+ $name:ident = $id:literal, $source:literal;)+) => {
        /// A rule that took part in a decision.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum RuleId {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl RuleId {
            /// Every rule, in the order of a decision.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable id, as in `because` and in the docs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// What the rule says, in a sentence.
            #[must_use]
            pub fn meaning(self) -> String {
                let lines: &[&str] = match self { $(Self::$name => &[$($meaning,)+],)+ };
                lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
            }

            /// Where the rule comes from: a path in istio/istio@1.30.3, or this project.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Self::$name => $source,)+ }
            }
        }
    };
}

rules! {
    /// The caller has no sidecar, so bytes leave as the application wrote them.
    ClientWithoutSidecar = "client.without-sidecar", "pkg/kube/inject/inject.go";
    /// The called Service has no such port; sidecars know no listener for it.
    ServiceNoSuchPort = "service.no-such-port", "pilot/pkg/networking/core/listener.go";
    /// The host is in no object: it is passed on, or refused under REGISTRY_ONLY.
    OutboundUnknownHost = "outbound.unknown-host", "pilot/pkg/networking/core/listener.go";
    /// The address dialled belongs to no listener of the caller's sidecar: bytes pass as they are, or are refused under
    /// REGISTRY_ONLY.
    OutboundPassthrough = "outbound.passthrough", "pilot/pkg/networking/core/listener.go";
    /// Bytes that are not HTTP leave an HTTP listener by its default chain, as they are.
    OutboundNotHttp = "outbound.not-http", "pilot/pkg/networking/core/listener.go";
    /// A listener for HTTP, or for a protocol to be detected, waits for the client's first bytes: who waits for the
    /// server's waits for ever.
    OutboundWaitsForClient = "outbound.waits-for-client", "pilot/pkg/networking/core/listener.go";
    /// The call is routed by this VirtualService.
    VirtualServiceRoute = "virtual-service.route", "pilot/pkg/model/virtualservice.go";
    /// A copy of the call goes where this VirtualService mirrors it to.
    VirtualServiceMirror = "virtual-service.mirror", "pilot/pkg/networking/core/route/route.go";
    /// The call or its route names a service, port, or subset for which the caller's sidecar has no cluster.
    OutboundNoCluster = "outbound.no-cluster", "pilot/pkg/networking/core/route/route.go";
    /// No pod is behind the service, port, and subset called.
    OutboundNoEndpoint = "outbound.no-endpoint", "pilot/pkg/xds/endpoints/endpoint_builder.go";
    /// A DestinationRule of the caller's namespace is in force: the caller's namespace is searched first.
    DestinationRuleClientNamespace = "destination-rule.client-namespace", "pilot/pkg/model/push_context.go (destinationRule)";
    /// A DestinationRule of the service's namespace is in force: the caller's has none for the host.
    DestinationRuleServiceNamespace = "destination-rule.service-namespace", "pilot/pkg/model/push_context.go (destinationRule)";
    /// A DestinationRule of the root namespace is in force: neither the caller's nor the service's has one for the host.
    DestinationRuleRootNamespace = "destination-rule.root-namespace", "pilot/pkg/model/push_context.go (destinationRule)";
    /// The rule's own trafficPolicy gives the TLS settings.
    DestinationRuleTrafficPolicy = "destination-rule.traffic-policy", "pilot/pkg/networking/util/util.go (MergeTrafficPolicy)";
    /// The rule's portLevelSettings for the service port give the TLS settings; nothing is inherited from above.
    DestinationRulePortLevel = "destination-rule.port-level", "pilot/pkg/networking/util/util.go (MergeTrafficPolicy)";
    /// The subset's trafficPolicy gives the TLS settings.
    DestinationRuleSubset = "destination-rule.subset", "pilot/pkg/networking/util/util.go (MergeTrafficPolicy)";
    /// The subset's portLevelSettings for the service port give the TLS settings; nothing is inherited from above.
    DestinationRuleSubsetPortLevel = "destination-rule.subset-port-level", "pilot/pkg/networking/util/util.go (MergeTrafficPolicy)";
    /// The rule's credentialName is for gateways: a sidecar ignores it and goes without TLS.
    DestinationRuleCredentialNameIgnored = "destination-rule.credential-name-ignored", "pilot/pkg/networking/core/cluster_tls.go";
    /// The rule says MUTUAL and names no certificate or key: the cluster is built without TLS.
    DestinationRuleMutualWithoutCertificate = "destination-rule.mutual-without-certificate", "pilot/pkg/networking/core/cluster_tls.go";
    /// Automatic mTLS does not reach services outside of the mesh.
    AutoMtlsMeshExternal = "auto-mtls.mesh-external", "pilot/pkg/networking/core/cluster_tls.go (buildUpstreamTLSSettings)";
    /// The mesh configuration turns automatic mTLS off.
    AutoMtlsOff = "auto-mtls.off", "pilot/pkg/networking/core/cluster_tls.go (buildUpstreamTLSSettings)";
    /// The address dialled is the endpoint, and not every pod behind the port has a sidecar: plaintext to all.
    AutoMtlsPassthroughEndpointWithoutSidecar = "auto-mtls.passthrough-endpoint-without-sidecar", "pilot/pkg/model/push_context.go (BestEffortInferServiceMTLSMode)";
    /// The server's namespace, or the mesh, says DISABLE: plaintext, whatever workloads and ports say.
    AutoMtlsNamespaceDisable = "auto-mtls.namespace-disable", "pilot/pkg/model/push_context.go (BestEffortInferServiceMTLSMode)";
    /// Automatic mTLS: mTLS to pods that have a sidecar and do not say DISABLE, plaintext to the others.
    AutoMtlsEndpoint = "auto-mtls.endpoint", "pilot/pkg/xds/endpoints/mtls_checker.go";
    /// The rule's TLS settings do not reach the cluster, but they decide how its endpoints are marked: mTLS only if
    /// they say ISTIO_MUTUAL.
    AutoMtlsEndpointByRule = "auto-mtls.endpoint-by-rule", "pilot/pkg/xds/endpoints/mtls_checker.go";
    /// Automatic mTLS where the address dialled is the endpoint: mTLS to all, whatever workloads and ports say.
    AutoMtlsPassthrough = "auto-mtls.passthrough", "pilot/pkg/networking/core/cluster_tls.go (applyUpstreamTLSSettings)";
    /// The server has no sidecar: bytes reach the application as they are.
    ServerWithoutSidecar = "server.without-sidecar", "pkg/kube/inject/inject.go";
    /// An inspector that needs the client's first bytes guards the port: plaintext whose client waits for the server's
    /// waits for ever.
    InboundWaitsForClient = "inbound.waits-for-client", "pilot/pkg/networking/core/listener_inbound.go";
    /// The pod port is declared by this Service, whose protocol decides how the port is treated.
    InboundDeclaredPort = "inbound.declared-port", "pilot/pkg/networking/core/listener_inbound.go";
    /// No Service declares the pod port, a portLevelMtls entry does: it has chains of its own.
    InboundPortLevel = "inbound.port-level", "pilot/pkg/networking/core/listener_inbound.go";
    /// Nothing declares the pod port: the catch-all chains answer, by the workload's mode.
    InboundCatchAll = "inbound.catch-all", "pilot/pkg/networking/core/listener_inbound.go";
    /// portLevelMtls of the oldest policy that selects the workload sets the mode of the pod port.
    PeerAuthenticationPort = "peer-authentication.port", "pilot/pkg/security/authn/policy_applier.go (ComposePeerAuthentication)";
    /// The oldest policy that selects the workload sets the mode.
    PeerAuthenticationWorkload = "peer-authentication.workload", "pilot/pkg/security/authn/policy_applier.go (ComposePeerAuthentication)";
    /// The oldest policy of the namespace without selector sets the mode.
    PeerAuthenticationNamespace = "peer-authentication.namespace", "pilot/pkg/security/authn/policy_applier.go (ComposePeerAuthentication)";
    /// The oldest policy of the root namespace without selector sets the mode.
    PeerAuthenticationMesh = "peer-authentication.mesh", "pilot/pkg/security/authn/policy_applier.go (ComposePeerAuthentication)";
    /// No policy sets a mode: PERMISSIVE.
    PeerAuthenticationDefault = "peer-authentication.default", "pilot/pkg/security/authn/policy_applier.go (ComposePeerAuthentication)";
    /// What this object does to the caller's proxy is not modelled: the outcome is unknown.
    UnmodelledClient = "unmodelled.client", "a limit of meshproof";
    /// What this object does to the server's proxy is not modelled: the outcome is unknown.
    UnmodelledServer = "unmodelled.server", "a limit of meshproof";
    /// How this VirtualService routes the call is not modelled: the outcome is unknown.
    UnmodelledRoute = "unmodelled.route", "a limit of meshproof";
    /// This ServiceEntry is about the host and is not modelled: the outcome is unknown.
    UnmodelledServiceEntry = "unmodelled.service-entry", "a limit of meshproof";
    /// The Service's endpoints are not in the snapshot: the outcome is unknown.
    UnmodelledEndpoints = "unmodelled.endpoints", "a limit of meshproof";
    /// This AuthorizationPolicy may deny what the transport delivered: the outcome is unknown.
    UnmodelledAuthorization = "unmodelled.authorization", "a limit of meshproof";
    /// The rules were read from the sources of Istio 1.30.3 to 1.31, not of the release asked for.
    ReleaseRulesNotVerified = "release.rules-not-verified", "a limit of meshproof";
}

impl RuleId {
    /// The page that explains every rule, in Markdown.
    #[must_use]
    pub fn page() -> String {
        let mut page = "# Rules\n\n\
            What the ids in a prediction's `because` mean, in the order in which rules decide. Paths are those of \
            [istio/istio at 1.30.3](https://github.com/istio/istio/tree/1.30.3).\n\n\
            | id | what it says | source |\n|---|---|---|\n"
            .to_owned();
        for rule in Self::ALL {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "| `{rule}` | {} | {} |", rule.meaning(), rule.source());
        }
        page
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for RuleId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn ids_are_unique() {
        let ids: BTreeSet<&str> = RuleId::ALL.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(ids.len(), RuleId::ALL.len());
    }

    #[test]
    fn the_page_explains_every_rule() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
        let page = RuleId::page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == page,
            "docs/rules.md is out of date; refresh it with: UPDATE_DOCS=1 cargo test -p meshproof page"
        );
    }
}
