//! Talking to an API server: a [`Context`] is opened by its name, never by default, and everything asked of it is bounded in
//! time and fails with a [`KubernetesError`] that says what to do.

mod apply;
mod beside;
mod container;
mod context;
mod delete;
mod edit;
mod error;
mod kubeconfig;
mod list;
mod pod_logs;
mod resource;
mod watch;

#[cfg(test)]
mod tests;

pub use beside::{Beside, without_privileges};
pub use container::{Container, Cursor, Executed, HOPELESS};
pub use context::Context;
pub use edit::{Effect, anew};
pub use error::KubernetesError;
pub use pod_logs::{Containers, LogLine};
pub use resource::{Resource, Selection};
pub use watch::Change;
