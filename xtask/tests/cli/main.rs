//! The command line as its users meet it: the built program, its exit codes, its messages, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod bench;
mod chaos;
mod claims;
mod cluster;
mod diagnose;
mod endings;
mod in_cluster;
mod logs;
mod machine;
mod preflight;
mod probe;
mod remedy;
mod session;
mod standalone;
mod usage;
mod verdicts;
