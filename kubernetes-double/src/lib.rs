//! An API server in the process of a test: it keeps objects, and answers as Kubernetes 1.36 was recorded to answer.
//!
//! [`Double::start`] serves on a port of loopback until it is dropped. It reads and writes objects with server-side apply,
//! pages, watches and status, judges requests by the roles among its objects, and fails on demand: a connection cut midway,
//! history forgotten, a token refused. What a controller would do, a test says with [`Double::on_write`], and what a
//! program in a pod would with [`Double::on_exec`].
//!
//! It is for tests alone. Where it differs from Kubernetes: nothing is defaulted or validated, lists are owned as a whole in
//! server-side apply, and no garbage is collected but the objects of a deleted namespace.

#![expect(
    clippy::expect_used,
    reason = "only tests use this crate, and a test may fail"
)]

mod answer;
mod apply;
mod discovery;
mod double;
mod exec;
mod kinds;
mod logs;
mod objects;
mod rbac;
mod read;
mod request;
mod serve;
mod watch;
mod write;

pub use double::{Cut, Double, Setup};
pub use exec::{Exec, Executed};
pub use kinds::{ISTIO, Kind, Row};
pub use objects::Key;
pub use request::Seen;
