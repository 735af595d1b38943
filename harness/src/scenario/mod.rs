//! The scenario format, its loading with diagnostics, running its phases, and the verdict.
//!
//! A file is read three times, each time with less trust needed: as a tree that knows places (`snapshot::tree`),
//! against the schema of the format (`structure`), and entry by entry as types that are then followed through the
//! phases (`check`, `walk`). So all mistakes are reported at once, and what is left is a [`Scenario`] in which every
//! name leads somewhere.

mod action;
mod catalogue;
mod check;
pub mod diagnostic;
mod draft;
mod expand;
mod explain;
mod failures;
pub mod format;
mod load;
mod plan;
mod releases;
mod reproduction;
mod run;
pub(crate) mod schema;
mod skeleton;
mod state;
pub(crate) mod structure;
mod under_load;
pub mod verdict;
mod walk;
mod wording;

pub use crate::istio::address::AddressError;
pub use catalogue::{Catalogue, Entry, NoWorkspace, workspace_root};
pub use diagnostic::{Diagnostic, SourceText};
pub use expand::{ExpandError, Expected, ExpectedCall, expand};
pub use explain::explain;
pub(crate) use explain::{actions, call_of};
pub use failures::{FailureBounds, Failures, SomeFailures};
pub use format::{Expectation, Phase, ScenarioFile};
pub(crate) use load::no_yaml;
pub use load::{Scenario, load};
pub use plan::{PlannedCall, PlannedPhase, plan};
pub(crate) use reproduction::control;
pub use reproduction::{Reproduction, ReproductionError};
pub use run::{Options, RunError, execute, not_run, predict_only, reproduce, run, runnable};
pub use schema::{SCHEMA_FILE, json_schema, json_schema_text};
pub use skeleton::{SkeletonError, skeleton, write_skeleton};
use state::expects_a_refusal;
pub use state::{Causes, State, StateError};
pub use under_load::{LoadedCall, PlannedLoad};
