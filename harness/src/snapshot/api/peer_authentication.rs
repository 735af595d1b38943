//! `security.istio.io` PeerAuthentication.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::WorkloadSelector;

/// Which mTLS a server demands.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct PeerAuthentication {
    /// Name, namespace, age.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What it says.
    #[serde(default)]
    pub spec: PeerAuthenticationSpec,
}

/// `PeerAuthentication.spec`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerAuthenticationSpec {
    /// The pods it is about; absent or empty: all of its namespace, or of the mesh.
    pub selector: Option<WorkloadSelector>,
    /// For all ports.
    pub mtls: Option<Mtls>,
    /// By pod port.
    pub port_level_mtls: Option<BTreeMap<u32, Mtls>>,
}

/// `PeerAuthentication.MutualTLS`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mtls {
    /// Absent means UNSET.
    #[serde(default)]
    pub mode: PeerMode,
}

/// `PeerAuthentication.MutualTLS.Mode`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PeerMode {
    /// Plaintext only.
    Disable,
    /// Both.
    Permissive,
    /// mTLS only.
    Strict,
    /// Inherited.
    #[default]
    Unset,
}
