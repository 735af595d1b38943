//! Istio's rules in Rust: what the objects of a snapshot mean for mTLS, and what will become of a call.
//!
//! This module knows no proxy, no mesh, and no probe.

mod finding;
mod identity;
mod injection;
pub mod policy;
mod protocol;
mod service;
mod topology;
mod workload;

pub use finding::Finding;
pub use service::{Service, ServicePort, TargetPort};
pub use topology::Topology;
pub use workload::{Workload, WorkloadKind};
