//! Renewing certificates on purpose: the steps of a rotation.

use std::fmt;

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
    /// Re-issues leaf certificates from another root, and trusts that one and no other, in one go: what each workload
    /// gets when a CA is replaced without overlap. Workloads that were cut over and those that were not refuse
    /// each other.
    Cutover(Cutover),
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

/// Parameters of `cutover`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cutover {
    /// Who is cut over. Default: everybody.
    #[serde(default = "everybody")]
    pub workload: OneOrMany<String>,
    /// The root from now on; it is made if there is none of this name.
    pub root: String,
}

impl Rotation {
    /// The workloads it is about, as written; `None` where it concerns every bundle.
    #[must_use]
    pub const fn workload(&self) -> Option<&OneOrMany<String>> {
        match self {
            Self::Leaf(step) => Some(&step.workload),
            Self::Intermediate(step) => Some(&step.workload),
            Self::Cutover(step) => Some(&step.workload),
            Self::Trust(_) | Self::Retire(_) => None,
        }
    }
}

impl fmt::Display for Rotation {
    /// What the step does, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, workload, root) = match self {
            Self::Trust(step) => return write!(f, "bundles: add root {}", step.root),
            Self::Retire(step) => return write!(f, "bundles: drop root {}", step.root),
            Self::Cutover(step) => ("bundles and leaves", &step.workload, Some(&step.root)),
            Self::Leaf(step) => ("leaves", &step.workload, step.root.as_ref()),
            Self::Intermediate(step) => ("intermediates", &step.workload, step.root.as_ref()),
        };
        if workload.iter().any(|name| name == "*") {
            write!(f, "{what} of everybody")?;
        } else {
            write!(f, "{what} of {workload}")?;
        }
        root.map_or(Ok(()), |root| write!(f, ", from root {root}"))
    }
}
