//! What proxies, agents, istiod and ztunnel log when mTLS fails, as outcomes.
//!
//! [`Scanner`] reads any mixture of their logs and reports every line that tells of a failure as a [`Finding`];
//! [`Correlation`] holds what two ends say of one connection against each other, so that a request counts once and a
//! line that cannot decide alone is decided by the other end's; [`Tally`] sums up. What a text means is data
//! (`manifests/logs/patterns.yaml`, [`Patterns`]); nothing here knows a text of its own.
//!
//! Most lines are healthy. They are rejected by one search for a few words over whole blocks, before any line is
//! looked at; only what remains is parsed and held against the patterns.

mod access;
mod correlate;
mod entry;
mod envelope;
mod finding;
mod generate;
mod input;
mod parallel;
mod patterns;
mod prometheus;
mod read;
mod scan;
mod summary;
mod tally;

pub use correlate::Correlation;
pub use entry::Entry;
pub use finding::{Finding, View};
pub use generate::Generator;
pub use input::{Input, InputError};
pub use parallel::{File, scan_file};
pub use patterns::{About, Layer, Pattern, Patterns, PatternsError, Shown, Silence, Statement};
pub use prometheus::{Metrics, Names};
pub use scan::{Counts, Scanned, Scanner};
pub use summary::{Scenarios, Summary};
pub use tally::{Row, Tally};
