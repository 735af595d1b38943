//! Istio's rules in Rust: what the objects of a snapshot mean for mTLS, and what will become of a call.
//!
//! This module knows no proxy, no mesh, and no probe.

pub mod address;
mod client_tls;
mod dangling;
mod destination_rule;
mod finding;
pub(crate) mod host;
mod identity;
mod inbound;
pub(crate) mod injection;
pub mod matrix;
mod outbound;
mod peer_authentication;
pub mod policy;
pub mod predict;
mod protocol;
mod release_table;
pub mod releases;
mod route;
mod rule_id;
mod service;
mod topology;
mod unmodelled;
mod virtual_service;
mod workload;

pub use finding::{Finding, Flaw};
pub use predict::{Prediction, predict};
pub use release_table::{MinorRelease, NodeImage, ReleaseTable};
pub use rule_id::RuleId;
pub use service::{Service, ServicePort, TargetPort};
pub use topology::Topology;
pub use workload::{Workload, WorkloadKind, workload_of};

#[cfg(test)]
mod tests;
