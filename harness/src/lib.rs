//! meshproof reproduces, predicts and prevents Istio mTLS failures.
//!
//! Data flows one way: inputs → [`snapshot`] → [`istio`] (policy, prediction) → [`mesh`] → [`probe`] →
//! [`outcome`] → verdict ([`scenario`]) → [`report`].

pub mod audit;
pub mod bench;
pub mod call;
pub mod chaos;
mod child;
pub mod claims;
pub mod cluster;
pub mod diagnose;
pub mod docker;
pub mod envoy;
pub mod explore;
pub mod fault;
pub mod guardrails;
pub mod inspection;
pub mod invocation;
pub mod istio;
pub mod kernel;
pub mod kubernetes;
pub mod logs;
pub mod matrix;
pub mod mesh;
pub mod network_namespace;
pub mod one_or_many;
pub mod outcome;
pub mod pki;
pub mod preflight;
pub mod probe;
pub mod recognition;
pub mod reference;
pub mod rehearsal;
pub mod remediation;
pub mod report;
pub mod scenario;
pub mod snapshot;
pub mod symptom;
pub mod visibility;
pub mod wire;
