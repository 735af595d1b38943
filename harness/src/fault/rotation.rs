//! Renewing certificates on purpose: the steps of a rotation.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parameters::{everybody, mesh_root};
use crate::call::WorkloadName;
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
    /// Replaces the mesh's root by another: all of the steps above that this takes, in the right order or in none.
    Root(NewRoot),
}

/// Parameters of `root`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewRoot {
    /// The root from now on; it is made if there is none of this name.
    pub to: String,
    /// The root until now.
    #[serde(default = "mesh_root")]
    pub from: String,
    /// With overlap everybody trusts both before anybody holds a leaf of the new one, and everybody holds one before the
    /// old one is retired: `trust`, `leaf`, `retire`. Without, workload by workload is cut over.
    pub overlap: bool,
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
    /// The steps it is made of, each of which comes into force before the next, in a mesh of these workloads.
    #[must_use]
    pub fn steps<'a>(&self, workloads: impl IntoIterator<Item = &'a WorkloadName>) -> Vec<Self> {
        let Self::Root(NewRoot { to, from, overlap }) = self else {
            return vec![self.clone()];
        };
        if !overlap {
            let cut_over = |workload: &WorkloadName| {
                Self::Cutover(Cutover {
                    workload: OneOrMany::from(workload.to_string()),
                    root: to.clone(),
                })
            };
            return workloads.into_iter().map(cut_over).collect();
        }
        let leaf = ReissueLeaf {
            workload: everybody(),
            root: Some(to.clone()),
        };
        vec![
            Self::Trust(RootStep { root: to.clone() }),
            Self::Leaf(leaf),
            Self::Retire(RootStep { root: from.clone() }),
        ]
    }

    /// The workloads it is about, as written; `None` where it concerns every bundle.
    #[must_use]
    pub const fn workload(&self) -> Option<&OneOrMany<String>> {
        match self {
            Self::Leaf(step) => Some(&step.workload),
            Self::Intermediate(step) => Some(&step.workload),
            Self::Cutover(step) => Some(&step.workload),
            Self::Trust(_) | Self::Retire(_) | Self::Root(_) => None,
        }
    }
}

impl fmt::Display for Rotation {
    /// What the step does, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, workload, root) = match self {
            Self::Trust(step) => return write!(f, "bundles: add root {}", step.root),
            Self::Retire(step) => return write!(f, "bundles: drop root {}", step.root),
            Self::Root(step) if step.overlap => {
                return write!(f, "root {} to {}, with overlap", step.from, step.to);
            }
            Self::Root(step) => return write!(f, "root {} to {}, without overlap", step.from, step.to),
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
