//! Real Envoy: binary, configuration, xDS and SDS server, process, admin, access log.

pub(crate) mod admin;
pub(crate) mod answers;
pub mod binary;
pub(crate) mod config;
pub(crate) mod logs;
pub(crate) mod process;
pub(crate) mod stats;
pub(crate) mod xds;

pub use admin::AdminError;
pub use process::ProcessError;
pub use xds::XdsError;
