//! Real Envoy: binary, configuration, xDS and SDS server, process, admin, access log.

pub mod binary;
