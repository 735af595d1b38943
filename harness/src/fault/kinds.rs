//! What can be broken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parameters::{
    ExtendedKeyUsage, LeafFault, LeafKeyFault, MisdirectedPort, MissingSecret, Parameters, PortFault,
    RootFault, SanReplace, SanSuffix, TlsLimitsFault, TrustDomain, UncapturedCalls, WebhookRemoved,
    WideFault,
};
use crate::one_or_many::OneOrMany;

/// Something deliberately wrong. One key names the kind, its value holds the parameters.
///
/// `workload` takes `name`, `namespace/name`, a list of them, or `*` for all.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Appends text to the identity in the workload's certificate: a trailing dot, a wrong trust domain's rest.
    SanSuffix(SanSuffix),
    /// Replaces the identity in the workload's certificate.
    SanReplace(SanReplace),
    /// The workload's certificate is of another trust domain: a second cluster, a domain renamed without aliases.
    TrustDomain(TrustDomain),
    /// The workload's certificate has expired: its agent stopped renewing (istiod unreachable, token refused).
    ExpiredLeaf(LeafFault),
    /// The workload's certificate expires while it is in use: nothing is pushed at that moment, only time passes.
    /// Under load requests end on both sides of it.
    ExpiringLeaf(LeafFault),
    /// The workload's certificate is not valid yet: the signer's clock runs ahead of the verifier's.
    NotYetValidLeaf(LeafFault),
    /// The workload's certificate is revoked, and everybody checks the list that says so.
    RevokedLeaf(LeafFault),
    /// The revocation lists that a workload checks have expired: nobody publishes new ones.
    ExpiredCrl(WideFault),
    /// A workload checks revocation lists, and that of the root is not among them.
    MissingCrl(WideFault),
    /// The certificate may only be used to decipher keys (RSA, no `digitalSignature`): a template for RSA key exchange.
    KeyEnciphermentOnly(LeafFault),
    /// The certificate may only be used to call, or only to be called.
    ExtendedKeyUsage(ExtendedKeyUsage),
    /// The certificate has a key of another type or size.
    LeafKey(LeafKeyFault),
    /// The intermediate certificate in the chain that workloads serve has expired: a plugged-in CA nobody renewed.
    ExpiredIntermediate(WideFault),
    /// The intermediate certificate in the chain that workloads serve is not valid yet: a plugged-in CA put in too early.
    NotYetValidIntermediate(WideFault),
    /// The intermediate certificate in the chain that workloads serve is revoked, and everybody checks the root's list.
    RevokedIntermediate(WideFault),
    /// Workloads serve their leaf without the intermediate: a plugged-in CA whose `cert-chain.pem` lacks it.
    MissingIntermediate(WideFault),
    /// A root certificate has expired, wherever it is trusted.
    ExpiredRoot(RootFault),
    /// The workload's chain comes from a root that nobody else trusts: two clusters, or a CA replaced without overlap.
    ForeignRoot(LeafFault),
    /// The workload trusts the first root of its bundle only: it has not heard of the new one.
    OldRootOnly(WideFault),
    /// The workload trusts the last root of its bundle only, as under istiod 1.24.4 and 1.25.1.
    LastRootOnly(WideFault),
    /// The workload's agent gets nothing new: rotations pass it by.
    StuckAgent(LeafFault),
    /// The workload's pod is new and its proxy has not got a secret: no certificate, or no roots.
    MissingSecret(MissingSecret),
    /// The workload's proxy takes only some TLS versions, cipher suites, or key exchange groups.
    TlsLimits(TlsLimitsFault),
    /// What is sent to the workload is dropped: no SYN is answered.
    BlackHole(PortFault),
    /// The workload's port accepts TCP connections and never answers on them.
    SilentPort(PortFault),
    /// The workload's port refuses TCP connections.
    RefusedPort(PortFault),
    /// What is sent to the workload goes past its sidecar: a port that capture leaves out, or without a port no capture.
    UncapturedPort(PortFault),
    /// What is sent to the workload is led to a wrong port.
    MisdirectedPort(MisdirectedPort),
    /// What the workload's application sends goes past its sidecar.
    UncapturedCalls(UncapturedCalls),
    /// The injection webhook is removed: pods that run keep their sidecars, pods made from then on get none.
    WebhookRemoved(WebhookRemoved),
}

impl Fault {
    /// What `heal` calls it: its `name`, else the id of its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        self.parameters().name().unwrap_or(self.kind().id)
    }

    /// Whether its point is that nothing visible changes.
    #[must_use]
    pub fn masks(&self) -> bool {
        self.parameters().masks()
    }

    /// The workloads it is about, as written; `None` for what concerns no single workload.
    #[must_use]
    pub fn workload(&self) -> Option<&OneOrMany<String>> {
        self.parameters().workload()
    }

    fn parameters(&self) -> &dyn Parameters {
        match self {
            Self::SanSuffix(given) => given,
            Self::SanReplace(given) => given,
            Self::TrustDomain(given) => given,
            Self::ExpiredLeaf(given)
            | Self::ExpiringLeaf(given)
            | Self::NotYetValidLeaf(given)
            | Self::RevokedLeaf(given)
            | Self::KeyEnciphermentOnly(given)
            | Self::ForeignRoot(given)
            | Self::StuckAgent(given) => given,
            Self::ExpiredCrl(given)
            | Self::MissingCrl(given)
            | Self::ExpiredIntermediate(given)
            | Self::NotYetValidIntermediate(given)
            | Self::RevokedIntermediate(given)
            | Self::MissingIntermediate(given)
            | Self::OldRootOnly(given)
            | Self::LastRootOnly(given) => given,
            Self::ExtendedKeyUsage(given) => given,
            Self::LeafKey(given) => given,
            Self::ExpiredRoot(given) => given,
            Self::MissingSecret(given) => given,
            Self::TlsLimits(given) => given,
            Self::BlackHole(given)
            | Self::SilentPort(given)
            | Self::RefusedPort(given)
            | Self::UncapturedPort(given) => given,
            Self::MisdirectedPort(given) => given,
            Self::UncapturedCalls(given) => given,
            Self::WebhookRemoved(given) => given,
        }
    }
}
