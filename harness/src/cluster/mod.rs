//! Clusters of kind with Istio in them, for the `kind` tier: made, listed and removed.
//!
//! What makes them are the programs kind, istioctl and docker, each called through the one command runner of this module:
//! bounded in time, in a process group of its own, and logged. A cluster has a folder of its own, with its kubeconfig and
//! the steps that were done; no kubeconfig of the user's is read or written.

mod kind_config;
mod runner;

pub use kind_config::KindConfig;
pub use runner::CommandError;
