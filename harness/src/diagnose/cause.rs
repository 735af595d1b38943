//! What kind of thing may be responsible for a failed call.

use serde::Serialize;

/// What kind of thing is responsible. The id is that of remedies (`manifests/remedies.yaml`).
#[derive(
    Clone,
    Copy,
    Debug,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Cause {
    /// A DestinationRule.
    DestinationRule,
    /// What a DestinationRule that has to stay says of TLS, or leaves out.
    RuleTls,
    /// A DestinationRule that the client does not see.
    HiddenRule,
    /// A PeerAuthentication.
    PeerAuthentication,
    /// A VirtualService.
    VirtualService,
    /// Pods without a sidecar.
    MissingSidecar,
    /// The protocol that a Service's port is declared to speak.
    PortProtocol,
    /// A port that reads the client's first bytes, of a server that speaks first.
    InspectedPort,
    /// The mesh configuration.
    MeshConfig,
    /// A trust domain that servers do not accept.
    TrustDomain,
    /// The identity in a workload's certificate.
    Identity,
    /// A workload's certificate, which is over or not valid yet.
    Leaf,
    /// What a workload's certificate may be used for.
    KeyUsage,
    /// A workload's certificate, which is revoked.
    Revoked,
    /// An authority, which is over.
    Authority,
    /// A chain without its intermediate.
    Chain,
    /// Who issued a workload's certificate.
    Issuer,
    /// The roots that a workload trusts.
    TrustBundle,
    /// The revocation lists that a workload checks.
    RevocationLists,
    /// A secret that a proxy waits for.
    Secret,
    /// What TLS a proxy takes.
    TlsParameters,
    /// The network, or the application behind the proxy.
    BelowTls,
}

impl Cause {
    /// What it is about its object, in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::DestinationRule => "how it has clients call",
            Self::RuleTls => "what it says of TLS, or leaves out, for this port and subset",
            Self::HiddenRule => "whom it is exported to: the caller does not see it",
            Self::PeerAuthentication => "what it has servers accept",
            Self::VirtualService => "where it sends calls",
            Self::MissingSidecar => "its pods have no sidecar",
            Self::PortProtocol => "what it declares the port to speak",
            Self::InspectedPort => {
                "its port waits for the client's first bytes, and so does the client for its"
            }
            Self::MeshConfig => "the oldest TLS it lets servers speak",
            Self::TrustDomain => "the trust domains it lets servers accept",
            Self::Identity => "who its certificate says it is",
            Self::Leaf => "when its certificate is valid",
            Self::KeyUsage => "what its certificate may be used for",
            Self::Revoked => "its certificate is revoked",
            Self::Authority => "when the authority is valid",
            Self::Chain => "its chain lacks the intermediate",
            Self::Issuer => "who issued its certificate",
            Self::TrustBundle => "the roots it trusts",
            Self::RevocationLists => "the revocation lists it checks",
            Self::Secret => "its proxy waits for a secret",
            Self::TlsParameters => "the TLS its proxy takes",
            Self::BelowTls => "the way to it, or the application",
        }
    }
}
