//! The logs of the mesh, read as `cargo xtask logs --follow` reads them, as metrics.

use std::sync::{Mutex, PoisonError};

use crate::logs::{Correlation, Counts, Metrics, Names, Patterns, Scanner, Tally};
use crate::mesh::ProxyLogs;

/// Series with an upstream of their own.
const UPSTREAMS: usize = 1_000;

/// What was read so far.
#[derive(Debug)]
pub(super) struct Reader {
    scanner: Scanner,
    read: Mutex<Read>,
}

#[derive(Debug)]
struct Read {
    correlation: Correlation,
    tally: Tally,
    counts: Counts,
}

impl Reader {
    pub(super) fn new(patterns: &'static Patterns) -> Self {
        Self {
            scanner: Scanner::new(patterns),
            read: Mutex::new(Read {
                correlation: Correlation::default(),
                tally: Tally::new(UPSTREAMS),
                counts: Counts::default(),
            }),
        }
    }

    /// Reads what both ends of a call logged. They are complete, so nothing need wait for its other end.
    pub(super) fn read(&self, logs: &[ProxyLogs]) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Read {
            correlation,
            tally,
            counts,
        } = &mut *read;
        let mut settled = |finding| tally.add(finding);
        for proxy in logs {
            let mut text = proxy.with_visibility.join("\n");
            text.push('\n');
            let scanned = self.scanner.scan(&proxy.pod, text.as_bytes(), &mut |finding| {
                correlation.add(finding, &mut settled);
            });
            *counts += scanned.counts;
        }
        correlation.finish(&mut settled);
    }

    /// What is scraped.
    pub(super) fn metrics(&self) -> String {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        Metrics {
            tally: &read.tally,
            counts: &read.counts,
            names: Names::Ours,
        }
        .render()
    }
}
