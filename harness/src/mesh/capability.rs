//! What a scenario may need beyond calls between sidecars.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that not every tier can do.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    strum::Display,
    Eq,
    Hash,
    strum::IntoStaticStr,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
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
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// As written in scenario files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
