//! What bytes of a log go through before anybody sees a number. Nothing of it may panic, whatever the bytes.
//!
//! Included by the fuzz target and by the bounded property test of the suite (`harness/tests/fuzz_logs.rs`).

use std::collections::BTreeMap;
use std::io::Cursor;

use meshproof::logs::{Correlation, Counts, Input, Metrics, Names, Patterns, Scanner, Summary, Tally};

/// Unpacks bytes if they are packed, scans them, and words what was found.
pub fn read_log(bytes: &[u8]) -> Counts {
    let Ok(patterns) = Patterns::embedded() else {
        return Counts::default();
    };
    let Ok(Input::Stream(stream)) = Input::stream(Cursor::new(bytes.to_vec())) else {
        return Counts::default();
    };
    let mut tally = Tally::new(8);
    let mut correlation = Correlation::default();
    let mut count = |finding| tally.add(finding);
    let scanned = Scanner::new(patterns).scan("-", stream, &mut |finding| {
        correlation.add(finding, &mut count);
    });
    correlation.finish(&mut count);
    let counts = scanned.counts;
    for names in [Names::Ours, Names::Postmortem] {
        let _ = Metrics {
            tally: &tally,
            counts: &counts,
            names,
        }
        .render();
    }
    let _ = Summary {
        tally: &tally,
        counts: &counts,
        scenarios: &BTreeMap::new(),
    }
    .render();
    counts
}
