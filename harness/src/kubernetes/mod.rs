//! Talking to an API server: a [`Context`] is opened by its name, never by default, and everything asked of it is bounded in
//! time and fails with a [`KubernetesError`] that says what to do.

mod apply;
mod container;
mod context;
mod delete;
mod error;
mod kubeconfig;
mod list;
mod pod_logs;
mod resource;
mod watch;

#[cfg(test)]
mod tests;

pub use container::{Container, Cursor, Executed};
pub use context::Context;
pub use error::KubernetesError;
pub use pod_logs::{Containers, LogLine};
pub use resource::{Resource, Selection};
pub use watch::Change;
