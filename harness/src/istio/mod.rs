//! Istio's rules in Rust: what the objects of a snapshot mean for mTLS, and what will become of a call.
//!
//! This module knows no proxy, no mesh, and no probe.

pub mod policy;
