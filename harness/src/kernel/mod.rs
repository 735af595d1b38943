//! What the kernel of this host sees of connections, by a bpftrace program (`manifests/ebpf/connections.bt`).

mod event;
mod fold;
mod tracer;

pub use fold::Watched;
pub use tracer::{Mark, Tracer, TracerError};
