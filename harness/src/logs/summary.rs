//! A tally for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::outcome::{OutcomeId, Side};

use super::finding::View;
use super::patterns::About;
use super::scan::Counts;
use super::tally::{Row, Tally};

/// How many upstreams are listed below an outcome.
const UPSTREAMS: usize = 10;

/// The name of the scenario that shows a refusal, by outcome and the end that refused; with no end, whichever it was.
pub type Scenarios = BTreeMap<(OutcomeId, Option<Side>), String>;

/// What logs showed, as text.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The findings.
    pub tally: &'a Tally,
    /// What was read.
    pub counts: &'a Counts,
    /// What can be reproduced.
    pub scenarios: &'a Scenarios,
}

/// Rows of one outcome.
type Group<'a> = ((About, OutcomeId, &'a [OutcomeId], Option<Side>), Vec<&'a Row>);

impl Summary<'_> {
    /// The text, without a newline at its end.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for ((about, outcome, candidates, side), rows) in self.groups() {
            let count: u64 = rows.iter().map(|row| row.count).sum();
            let by = side.map_or_else(String::new, |side| format!(" by {side}"));
            let aside = if about == About::Other { " (not mTLS)" } else { "" };
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "{outcome}{by}{aside}: {}", number(count));
            if outcome == OutcomeId::Unknown {
                let candidates = if candidates.is_empty() {
                    "the text does not say".to_owned()
                } else {
                    listed(candidates)
                };
                let _ = writeln!(text, "  could be   {candidates}");
            }
            for row in rows.iter().take(UPSTREAMS) {
                let _ = writeln!(text, "  {}", place(row));
            }
            if rows.len() > UPSTREAMS {
                let _ = writeln!(text, "  and {} more upstreams", rows.len() - UPSTREAMS);
            }
            if let Some(row) = rows.first() {
                let _ = writeln!(text, "  sample     {}\n  named by   {}", row.sample, row.pattern);
            }
            if let Some(step) = outcome.next_step() {
                let _ = writeln!(text, "  next       {step}");
            }
            for outcome in std::iter::once(&outcome).chain(candidates) {
                let shows = self.scenarios.get(&(*outcome, side));
                let shows = shows.or_else(|| self.scenarios.get(&(*outcome, None)));
                if let Some(scenario) = shows {
                    let _ = writeln!(
                        text,
                        "  reproduce  {} scenario {scenario} ({outcome})",
                        crate::invocation::command()
                    );
                    break;
                }
            }
            text.push('\n');
        }
        if text.is_empty() {
            text.push_str("no failure is told of\n\n");
        }
        text.push_str(&self.reading());
        text
    }

    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in self.tally.rows() {
            let key = (row.about, row.outcome, row.candidates.as_slice(), row.side);
            match groups.iter_mut().find(|(it, _)| *it == key) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((key, vec![row])),
            }
        }
        groups
    }

    fn reading(&self) -> String {
        let counts = self.counts;
        let mut text = format!(
            "{} lines, {}; {} looked at, {} of them tell of a failure, {} are known and harmless",
            number(counts.lines),
            bytes(counts.bytes),
            number(counts.examined),
            number(counts.failures),
            number(counts.harmless),
        );
        let damages = [
            (counts.cut, "cut at 4 MiB"),
            (counts.with_nul, "with NUL bytes"),
            (counts.not_utf8, "not UTF-8"),
            (counts.broken_inputs, "inputs not read to their end"),
        ];
        for (count, what) in damages.into_iter().filter(|(count, _)| *count > 0) {
            let _ = write!(text, "; {} {what}", number(count));
        }
        text
    }
}

fn place(row: &Row) -> String {
    let unit = match row.view {
        View::Client => "requests",
        View::Server => "connections, seen by the server",
        View::Component => "lines",
    };
    let upstream = row.upstream.as_deref().unwrap_or("(no destination in the line)");
    let mut text = format!("{upstream}: {} {unit}", number(row.count));
    match (&row.first, &row.last) {
        (Some(first), Some(last)) if first != last => {
            let _ = write!(text, ", {first} to {last}");
        }
        (Some(first), _) => {
            let _ = write!(text, ", {first}");
        }
        _ => {}
    }
    if !row.workloads.is_empty() {
        let names: Vec<&str> = row.workloads.iter().map(String::as_str).collect();
        let more = if row.more_workloads { ", and more" } else { "" };
        let _ = write!(
            text,
            ", {} {}{more}",
            if row.view == View::Client { "from" } else { "at" },
            names.join(", ")
        );
    }
    text
}

/// `a, b or c`.
fn listed(outcomes: &[OutcomeId]) -> String {
    let names: Vec<&str> = outcomes.iter().map(|it| it.as_str()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

/// With spaces between thousands.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    for (size, unit) in UNITS {
        if bytes >= size {
            return format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{Correlation, Patterns, Scanner};

    const LOG: &str = r#"[2026-11-22T04:50:42.383Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl" "r1" "payment:8080" "10.0.0.7:8080" outbound|8080||payment.payments.svc.cluster.local 10.0.0.6:49972 10.1.1.1:8080 10.0.0.6:48298 - default
[2026-11-22T04:50:42.385Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" - - 10.0.0.7:8080 10.0.0.6:49972 - -
checkout-7d4 istio-proxy [2026-11-22T04:51:42.383Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl" "r2" "ledger:8080" "10.0.0.9:8080" outbound|8080||ledger.payments.svc.cluster.local 10.0.0.6:49975 10.1.1.2:8080 10.0.0.6:48298 - default
[2026-11-22T04:52:42.383Z] "GET /x HTTP/1.1" 403 - rbac_access_denied_matched_policy[none] - "-" 0 19 0 - "-" "curl/8" "r3" "payment:8080" "-" inbound|8080|| - 10.0.0.7:8080 10.0.0.6:48298 outbound_.8080_._.payment.payments.svc.cluster.local default
2026-11-22T04:53:42.383000Z	info	cache	generated new workload certificate	resourceName=default latency=97ms ttl=23h59m59s
"#;

    fn summary(log: &str) -> String {
        let mut tally = Tally::new(100);
        let mut correlation = Correlation::default();
        let mut count = |it| tally.add(it);
        let scanned = Scanner::new(Patterns::embedded().unwrap())
            .scan("-", log.as_bytes(), &mut |it| correlation.add(it, &mut count));
        correlation.finish(&mut count);
        let scenarios =
            Scenarios::from([((OutcomeId::PlaintextToStrict, None), "missing-sidecar".to_owned())]);
        Summary {
            tally: &tally,
            counts: &scanned.counts,
            scenarios: &scenarios,
        }
        .render()
    }

    #[test]
    fn a_summary_says_what_where_when_and_what_next() {
        insta::assert_snapshot!(summary(LOG));
    }

    #[test]
    fn a_healthy_log_is_said_to_be_one() {
        assert_eq!(
            summary("fine\n"),
            "no failure is told of\n\n1 lines, 5 bytes; 0 looked at, 0 of them tell of a failure, 0 are known and harmless"
        );
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [1, 999, 1_000, 1_234_567].map(number),
            ["1", "999", "1 000", "1 234 567"]
        );
        assert_eq!(
            [7, 1_500, 2_340_000_000].map(bytes),
            ["7 bytes", "1.5 kB", "2.3 GB"]
        );
    }
}
