//! Renewing certificates on purpose: the steps of a rotation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parameters::everybody;
use crate::one_or_many::OneOrMany;

/// One step of a rotation. Steps are applied in the order written, and the order matters: leaves of a root that is
/// not trusted yet are refused, and so are leaves of one that is retired.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rotation {
    /// Adds a root to every bundle; a root of this name is made if there is none.
    Trust(RootStep),
    /// Re-issues leaf certificates: current, with the workload's own identity, one generation on.
    Leaf(ReissueLeaf),
    /// Re-issues intermediates under the same key: the chain is current again, the leaves stay as they are.
    Intermediate(ReissueIntermediate),
    /// Takes a root out of every bundle.
    Retire(RootStep),
}

/// Parameters of `trust` and `retire`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RootStep {
    /// Name of the root. `mesh` is the one every mesh starts with.
    pub root: String,
}

/// Parameters of `leaf`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReissueLeaf {
    /// Whose. Default: everybody's.
    #[serde(default = "everybody")]
    pub workload: OneOrMany<String>,
    /// The root of the CA that issues them from now on. Default: the one that did so before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// Parameters of `intermediate`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReissueIntermediate {
    /// In whose chain. Default: everybody's.
    #[serde(default = "everybody")]
    pub workload: OneOrMany<String>,
    /// The root that signs them from now on. Default: the one that did so before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

impl Rotation {
    /// The workloads it is about, as written; `None` where it concerns every bundle.
    #[must_use]
    pub const fn workload(&self) -> Option<&OneOrMany<String>> {
        match self {
            Self::Leaf(step) => Some(&step.workload),
            Self::Intermediate(step) => Some(&step.workload),
            Self::Trust(_) | Self::Retire(_) => None,
        }
    }
}
