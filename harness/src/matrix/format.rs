//! `matrix.yaml` as types. Its JSON Schema comes from here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mesh::Tier;
use crate::scenario::format::ApiVersion;

/// Which scenarios are run where, with which releases, and which of that is left out for now.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MatrixFile {
    /// `meshproof.dev/v1alpha1`.
    pub(super) api_version: ApiVersion,
    /// `Matrix`.
    pub(super) kind: Kind,
    /// The matrix.
    pub(super) spec: Spec,
}

/// The kind of file.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
pub(super) enum Kind {
    /// A matrix.
    Matrix,
}

/// The matrix.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    /// What runs jobs on GitHub.
    pub(super) runners: Runners,
    /// What is run. A row is the product of its lists.
    #[schemars(length(min = 1))]
    pub(super) rows: Vec<Row>,
    /// What of it is left out for now.
    #[serde(default)]
    pub(super) exclude: Vec<Exclusion>,
}

/// The label of the GitHub runner for each platform.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Runners {
    /// For example `ubuntu-24.04`.
    pub(super) linux: String,
    /// For example `macos-15`.
    pub(super) macos: String,
}

/// An operating system that jobs run on.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    strum::Display,
    strum::EnumString,
    Eq,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Platform {
    /// Linux.
    #[default]
    Linux,
    /// macOS.
    Macos,
}

/// Scenarios, where they run, and the releases they run with.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// Unique, for the command line: lower-case letters, digits, and `-`.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9-]*$"))]
    pub(super) name: String,
    /// What the row is for, in a line.
    pub(super) description: String,
    /// Where it runs.
    pub(super) tier: Tier,
    /// On which systems. Default: Linux.
    #[serde(default)]
    pub(super) platforms: Vec<Platform>,
    /// Releases of the control plane, in place of the scenarios' own.
    #[serde(default)]
    pub(super) istio: Vec<String>,
    /// Releases of the sidecars that mostly call. Only pairings with the control plane that Istio supports are run.
    #[serde(default)]
    pub(super) client: Vec<String>,
    /// Releases of the sidecars that are mostly called.
    #[serde(default)]
    pub(super) server: Vec<String>,
    /// Minor releases of Kubernetes, for tiers that have one.
    #[serde(default)]
    pub(super) kubernetes: Vec<String>,
    /// Names of scenarios. Default: all, or those with one of `tags`.
    #[serde(default)]
    pub(super) scenarios: Vec<String>,
    /// Scenarios with one of these tags.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// How many jobs it is split into on each platform. Default: 1.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub(super) shards: Option<usize>,
}

/// Cells that are left out: those that fit all that is given.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exclusion {
    /// Of this row.
    #[serde(default)]
    pub(super) row: Option<String>,
    /// On this system.
    #[serde(default)]
    pub(super) platform: Option<Platform>,
    /// With this control plane.
    #[serde(default)]
    pub(super) istio: Option<String>,
    /// With these calling sidecars.
    #[serde(default)]
    pub(super) client: Option<String>,
    /// With these called sidecars.
    #[serde(default)]
    pub(super) server: Option<String>,
    /// With this minor release of Kubernetes.
    #[serde(default)]
    pub(super) kubernetes: Option<String>,
    /// This scenario.
    #[serde(default)]
    pub(super) scenario: Option<String>,
    /// Why it is left out.
    pub(super) reason: String,
    /// The last day on which it is, for example `2027-01-31`. After it the entry is a mistake: fix what it is about, or say
    /// why it must stay.
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub(super) until: String,
}
