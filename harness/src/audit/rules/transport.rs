//! Why calls fail between transports: what the client's rule makes of the bytes, and what the server takes. Each of these
//! looks at predicted calls, never at objects alone, so a rule that nobody's calls go by is no finding.

use crate::audit::calls::CallGroup;
use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Rule};
use crate::audit::view::View;
use crate::istio::RuleId;
use crate::istio::policy::{ClientCertificate, ClientTls};
use crate::outcome::OutcomeId;

const RULE_TLS: &[RuleId] = &[
    RuleId::DestinationRuleTrafficPolicy,
    RuleId::DestinationRulePortLevel,
    RuleId::DestinationRuleSubset,
    RuleId::DestinationRuleSubsetPortLevel,
    RuleId::DestinationRuleCredentialNameIgnored,
    RuleId::DestinationRuleMutualWithoutCertificate,
    RuleId::AutoMtlsEndpointByRule,
];

/// The rules of this file, in the order of the report.
pub(super) const RULES: &[Rule] = &[
    DISABLE_TO_STRICT,
    NAMESPACE_DISABLE,
    ONE_WAY_TLS,
    MUTUAL_WITHOUT_SIDECAR,
    HEADLESS,
];

/// A rule sends plaintext to a server that demands mTLS.
const DISABLE_TO_STRICT: Rule = Rule {
    code: "policy.disable-to-strict",
    category: Category::Policy,
    severity: Severity::High,
    title: "no DestinationRule sends plaintext to a STRICT server",
    explanation: "A DestinationRule turns TLS off towards servers whose PeerAuthentication says STRICT: they close the \
                  connection without an answer, and the client reports 503.",
    remedy: "Remove trafficPolicy.tls from the DestinationRule (automatic mTLS does the right thing), or set ISTIO_MUTUAL.",
    source: "pilot/pkg/networking/core/cluster_tls.go@1.30.3",
    check: Check::Failing(|group, _| {
        let met = group.now.id == OutcomeId::PlaintextToStrict && group.rests_on(RULE_TLS);
        met.then_some(Severity::High)
    }),
};

/// A namespace says DISABLE and a workload in it STRICT.
const NAMESPACE_DISABLE: Rule = Rule {
    code: "policy.namespace-disable",
    category: Category::Policy,
    severity: Severity::High,
    title: "no STRICT workload is in a namespace that says DISABLE",
    explanation: "Clients go by the policy of the server's namespace, not by that of the workload: where the namespace (or \
                  the mesh) says DISABLE they send plaintext, which a STRICT workload or port refuses.",
    remedy: "Say PERMISSIVE for the namespace, and DISABLE where it is meant.",
    source: "pilot/pkg/model/push_context.go@1.30.3 (BestEffortInferServiceMTLSMode)",
    check: Check::Failing(|group, _| {
        let met = group.now.id == OutcomeId::PlaintextToStrict
            && group.rests_on(&[RuleId::AutoMtlsNamespaceDisable]);
        met.then_some(Severity::High)
    }),
};

/// One-way TLS into the mesh.
const ONE_WAY_TLS: Rule = Rule {
    code: "policy.simple-to-mesh",
    category: Category::Policy,
    severity: Severity::High,
    title: "no DestinationRule of SIMPLE or MUTUAL leads to a sidecar",
    explanation: "SIMPLE and MUTUAL are for servers that terminate TLS themselves. A sidecar demands the mesh's \
                  certificate (STRICT), passes TLS on to an application that does not speak it, or has no chain for it.",
    remedy: "Remove trafficPolicy.tls, or set ISTIO_MUTUAL. Where the application terminates TLS itself, name the port \
             https- or tls- and say DISABLE for it in the PeerAuthentication.",
    source: "pilot/pkg/networking/core/cluster_tls.go@1.30.3",
    check: Check::Failing(|group, view| {
        let from_rule = group.rests_on(RULE_TLS);
        match group.now.id {
            OutcomeId::NoClientCertificate | OutcomeId::NoFilterChain | OutcomeId::UntrustedRoot
                if from_rule =>
            {
                Some(Severity::High)
            }
            // The application may well terminate it: what it speaks is not in any object.
            OutcomeId::TlsToPlaintext if from_rule && !is_mutual(group, view) => Some(Severity::Low),
            _ => None,
        }
    }),
};

/// mTLS forced on servers without sidecar.
const MUTUAL_WITHOUT_SIDECAR: Rule = Rule {
    code: "policy.mutual-without-sidecar",
    category: Category::Policy,
    severity: Severity::High,
    title: "no DestinationRule forces mesh mTLS on a server without sidecar",
    explanation: "ISTIO_MUTUAL in a DestinationRule is used for every endpoint, whether it has a sidecar or not, and \
                  whatever its PeerAuthentication says. Bytes of TLS reach an application that does not speak it.",
    remedy: "Remove trafficPolicy.tls: automatic mTLS sends each endpoint what it understands.",
    source: "pilot/pkg/networking/core/cluster_tls.go@1.30.3 (buildUpstreamTLSSettings)",
    check: Check::Failing(|group, view| {
        let met = matches!(
            group.now.id,
            OutcomeId::TlsToPlaintext | OutcomeId::ProtocolMismatch
        ) && group.rests_on(RULE_TLS)
            && is_mutual(group, view);
        met.then_some(Severity::High)
    }),
};

/// Headless Services hide what endpoints are.
const HEADLESS: Rule = Rule {
    code: "policy.headless",
    category: Category::Policy,
    severity: Severity::High,
    title: "no headless Service mixes endpoints that its clients cannot tell apart",
    explanation: "Clients of a headless Service (or of load balancing PASSTHROUGH) decide about TLS once for all its pods: a \
                  workload or port that says DISABLE still gets mTLS, and one pod without sidecar turns all to plaintext.",
    remedy: "Give all pods behind the Service the same mode and a sidecar, or give it a cluster IP.",
    source: "pilot/pkg/networking/core/cluster_tls.go@1.30.3 (applyUpstreamTLSSettings); istio/istio#39439",
    check: Check::Failing(|group, _| {
        let rules = [
            RuleId::AutoMtlsPassthrough,
            RuleId::AutoMtlsPassthroughEndpointWithoutSidecar,
        ];
        let is_mismatch = matches!(
            group.now.id,
            OutcomeId::PlaintextToStrict | OutcomeId::TlsToPlaintext
        );
        (is_mismatch && group.rests_on(&rules)).then_some(Severity::High)
    }),
};

/// Whether the client's sidecar originates mesh mTLS towards every endpoint.
fn is_mutual(group: &CallGroup, view: &View<'_>) -> bool {
    let call = &group.example;
    let Some((namespace, name, port)) = call.to.service() else {
        return false;
    };
    let outbound = view.topology.outbound(&call.from, namespace, name, port, None);
    outbound.is_some_and(
        |it| matches!(it.tls, ClientTls::Fixed(tls) if tls.certificate == ClientCertificate::Workload),
    )
}
