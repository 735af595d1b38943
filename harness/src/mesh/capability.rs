//! What a scenario may need beyond calls between sidecars.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that not every tier can do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Traffic is captured by iptables, so undeclared ports and bypasses behave as in a pod.
    Interception,
    /// A real istiod computes the configuration.
    ControlPlane,
    /// Sidecars are injected by the real admission webhook.
    Admission,
    /// Policy in the root namespace and mesh configuration may be changed.
    RootNamespace,
    /// Proxies are the release's own istio-proxy.
    ReleaseProxy,
    /// The bytes on the wire are recorded.
    WireWitness,
    /// The kernel's view of connections is recorded.
    KernelWitness,
}

impl Capability {
    /// Every capability.
    pub const ALL: &[Self] = &[
        Self::Interception,
        Self::ControlPlane,
        Self::Admission,
        Self::RootNamespace,
        Self::ReleaseProxy,
        Self::WireWitness,
        Self::KernelWitness,
    ];

    /// As written in scenario files and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interception => "interception",
            Self::ControlPlane => "control-plane",
            Self::Admission => "admission",
            Self::RootNamespace => "root-namespace",
            Self::ReleaseProxy => "release-proxy",
            Self::WireWitness => "wire-witness",
            Self::KernelWitness => "kernel-witness",
        }
    }
}
