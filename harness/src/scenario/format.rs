//! The scenario file as types. The JSON Schema, the check of unknown keys and the editor's help all come from here.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::failures::Failures;
use crate::call::{Call, CallKind, Connections, Destination, Payload};
use crate::fault::{Fault, Restart, Rotation};
use crate::mesh::{Capability, Tier};
use crate::one_or_many::OneOrMany;
use crate::outcome::{Outcome, OutcomeId, Side};

/// A scenario: a mesh, what is done to it, and what must become of the calls in it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioFile {
    /// `meshproof.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// `Scenario`.
    pub kind: Kind,
    /// What it is called and what it is about.
    pub metadata: Metadata,
    /// What happens.
    pub spec: Spec,
}

/// The version of the format.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ApiVersion {
    /// The only one so far.
    #[serde(rename = "meshproof.dev/v1alpha1")]
    V1Alpha1,
}

/// The kind of file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Kind {
    /// A scenario.
    Scenario,
}

/// What a scenario is called and what it is about.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Name of the scenario and of its file: lower-case letters, digits, `.` and `-`.
    pub name: String,
    /// One line.
    pub title: String,
    /// What happened, why, what the remedy is; Markdown. Becomes the documentation page.
    pub description: String,
    /// Ids of the claims this scenario bears on, for example `P02`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What happens.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Istio release of the control plane, for example `1.24.1`. Sidecars follow it unless their pod pins
    /// `sidecar.istio.io/proxyImage`.
    #[schemars(regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+"))]
    pub istio: String,
    /// What a tier must be able to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Capability>,
    /// Kubernetes manifests the mesh starts from: paths from the workspace root, or relative to this file with `./`.
    #[schemars(length(min = 1))]
    pub manifests: Vec<String>,
    /// What is done, step by step. Cumulative: each phase starts from the state the last one left.
    #[schemars(length(min = 1))]
    pub phases: Vec<Phase>,
}

/// A state of the mesh and what must hold in it. Its actions are done in the order of the keys below.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Unique within the scenario; part of the ids of its calls.
    pub name: String,
    /// Objects to delete, each `Kind/namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<String>,
    /// Manifest files to apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
    /// Objects to apply, written here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apply: Vec<InlineObject>,
    /// Faults to remove: `all`, or their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heal: Option<OneOrMany<String>>,
    /// Faults to inject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inject: Vec<Fault>,
    /// Certificates to renew: one step, or a list of steps that come into force one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<OneOrMany<Rotation>>,
    /// Pods to start anew. Under load, step by step; without, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// What calls share with those before them. Sharing hides faults; that is what it is for here.
    #[serde(default)]
    pub connections: Connections,
    /// What must become of the calls.
    #[schemars(length(min = 1))]
    pub expect: Vec<Expectation>,
}

/// The word that heals every fault.
pub const HEAL_ALL: &str = "all";

/// A Kubernetes object, as in a manifest: at least `apiVersion`, `kind` and `metadata.name`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct InlineObject(pub serde_json::Value);

impl JsonSchema for InlineObject {
    fn schema_name() -> Cow<'static, str> {
        "InlineObject".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A Kubernetes object, as in a manifest.",
            "type": "object",
            "required": ["apiVersion", "kind", "metadata"],
            "properties": {
                "apiVersion": { "type": "string", "description": "For example `security.istio.io/v1`." },
                "kind": { "type": "string", "description": "For example `PeerAuthentication`." },
                "metadata": {
                    "type": "object",
                    "required": ["name"],
                    "properties": { "name": { "type": "string" }, "namespace": { "type": "string" } }
                }
            }
        })
    }
}

/// What must become of one call, or of every call that the lists and `*` stand for.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Who calls: `name` where that is unique, `namespace/name`, a list, or `*` for every workload.
    pub from: OneOrMany<String>,
    /// Whom: `service:port` in the caller's namespace, `service.namespace:port`, a host name with port,
    /// `pod/namespace/workload[-ordinal]:port`, a list, or `*:port` for every Service that has the port.
    pub to: OneOrMany<String>,
    /// Who originates the bytes.
    #[serde(default)]
    pub call: CallKind,
    /// What is spoken inside.
    #[serde(default)]
    pub payload: Payload,
    /// ALPN protocols a raw TLS call offers. Default: what a sidecar would offer on `raw-mtls`, none on `raw-tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<OneOrMany<String>>,
    /// DestinationRule subset the call names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// What must become of the call.
    pub outcome: OutcomeId,
    /// Which end refuses. Not given for deliveries and for failures that nobody decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// With `outcome: unknown`: what it may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<OutcomeId>,
    /// Puts the call under load: it is made over and over while the phase does what it does, step by step, and this
    /// many of the requests may fail: `0`, another number, `some`, or `{min: 1, max: 20}`. Counted from the first step
    /// on, until the last one is in force and more requests have ended in it. `outcome` is of a call made afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failures>,
    /// Releases and tiers this holds for. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

impl Expectation {
    /// That `call` ends as `outcome`, wherever it is made.
    pub(crate) fn of(call: &Call, outcome: &Outcome) -> Self {
        let to = match &call.to {
            Destination::Service {
                namespace,
                name,
                port,
            } => format!("{name}.{namespace}:{port}"),
            other => other.to_string(),
        };
        Self {
            from: OneOrMany::from(call.from.to_string()),
            to: OneOrMany::from(to),
            call: call.kind,
            payload: call.payload,
            alpn: (!call.alpn.is_empty()).then(|| call.alpn.iter().cloned().collect()),
            subset: call.subset.clone(),
            outcome: outcome.id,
            side: outcome.side,
            candidates: Vec::new(),
            failed: None,
            when: None,
        }
    }

    /// Whether it expects a refusal, or that requests fail.
    #[must_use]
    pub fn expects_failure(&self) -> bool {
        !self.outcome.is_delivered() || self.failed.is_some_and(|failed| failed.least() > 0)
    }
}

/// Releases and tiers an expectation holds for. All that is given must match.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Release of the caller's sidecar, for example `>=1.30`. Never matches a caller without a sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Release of the called pod's sidecar, for example `<1.30`. Never matches a pod without a sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<OneOrMany<Tier>>,
}
