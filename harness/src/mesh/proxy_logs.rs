//! What Istio would have had a proxy log of a call.

use serde::{Deserialize, Serialize};

/// The lines of one proxy of one call, as real Envoys wrote them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyLogs {
    /// The pod.
    pub pod: String,
    /// In Istio's text format, as installed with access logs turned on.
    pub text: Vec<String>,
    /// The same in Istio's JSON format.
    pub json: Vec<String>,
    /// With `manifests/visibility` applied.
    pub with_visibility: Vec<String>,
}
