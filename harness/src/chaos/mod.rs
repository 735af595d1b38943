//! Whether somebody would notice: a mesh in which something is broken, watched by a real Prometheus whose alerts reach a
//! webhook through a real Alertmanager.
//!
//! Workloads call each other in a ring. What Istio would have their proxies log, with `manifests/visibility` applied, is
//! read as `cargo xtask logs` reads it; that and the proxies' statistics are scraped. Rules and route are those of
//! `manifests/alerts`, with the addresses of this run put in.

mod error;
mod http;
mod monitoring;
mod reader;
mod report;
mod ring;
mod run;
mod tools;

pub use error::ChaosError;
pub use monitoring::MonitoringError;
pub use report::{Alert, Report};
pub use ring::{Ring, RingError};
pub use run::{Event, Options, chaos};
pub use tools::{Tools, ToolsMissing};
