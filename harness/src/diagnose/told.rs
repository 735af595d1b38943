//! What the logs of both ends tell.

use std::collections::BTreeSet;

use super::observed::{Observed, Shown};
use crate::call::{Call, WorkloadName};
use crate::logs::{Correlation, Finding, Patterns, Scanner, View};
use crate::outcome::{OutcomeId, Side};

/// Every failure that the logs tell of, and whose logs there were.
pub(super) struct Told {
    findings: Vec<Finding>,
    /// The pods whose logs were read.
    pub(super) read: BTreeSet<String>,
    /// Pods whose logs were not there, and why.
    pub(super) unread: Vec<(String, String)>,
    /// How many lines there were.
    pub(super) lines: u64,
}

/// What they tell of one call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) outcome: OutcomeId,
    pub(super) side: Option<Side>,
    pub(super) candidates: Vec<OutcomeId>,
    /// The line.
    pub(super) sample: String,
    /// The pod that wrote it.
    pub(super) source: String,
    /// How many lines tell the same.
    pub(super) count: usize,
}

impl Told {
    /// Reads all logs, joined from both ends.
    pub(super) fn new(observed: &Observed, patterns: &'static Patterns) -> Self {
        let scanner = Scanner::new(patterns);
        let mut correlation = Correlation::default();
        let mut told = Self {
            findings: Vec::new(),
            read: BTreeSet::new(),
            unread: Vec::new(),
            lines: 0,
        };
        for proxy in observed.proxies.values() {
            match &proxy.log {
                Shown::Missing(why) => told.unread.push((proxy.pod.clone(), why.clone())),
                Shown::Seen(text) => {
                    let scanned = scanner.scan(&proxy.pod, text.as_bytes(), &mut |finding| {
                        correlation.add(finding, &mut |it| told.findings.push(it));
                    });
                    told.lines += scanned.counts.lines;
                    told.read.insert(proxy.pod.clone());
                }
            }
        }
        correlation.finish(&mut |it| told.findings.push(it));
        told
    }

    /// Everything they tell.
    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What they tell of a call. Its client's proxy knows best, for it names the destination; what a server's tells may be
    /// of any caller, and counts where the caller has no proxy that could.
    pub(super) fn of(&self, call: &Call, domain: &str, observed: &Observed) -> Option<Reading> {
        let pods = |workload: &WorkloadName| -> BTreeSet<String> {
            observed
                .of(workload)
                .map(|(_, proxy)| proxy.pod.clone())
                .collect()
        };
        let (callers, authority) = (pods(&call.from), call.to.authority(domain));
        let own: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|it| it.view == View::Client && callers.contains(&it.source))
            .filter(|it| it.upstream.as_ref().is_none_or(|to| is_of(to, &authority)))
            .collect();
        let by_server = |it: &&Finding| it.view != View::Client && !callers.contains(&it.source);
        let found: Vec<&Finding> = match own.is_empty() {
            false => own,
            true => self.findings.iter().filter(by_server).collect(),
        };
        reading(&found)
    }
}

/// Whether a line's destination is the one called; an address that no Service is named in may be.
fn is_of(upstream: &str, authority: &str) -> bool {
    let is_address = upstream.starts_with(|c: char| c.is_ascii_digit() || c == '[');
    upstream == authority || is_address || authority.starts_with("pod/")
}

/// The last that the lines tell: what was before may have been another failure.
fn reading(found: &[&Finding]) -> Option<Reading> {
    let last = *found.last()?;
    let latest = found
        .iter()
        .copied()
        .max_by(|a, b| a.time.cmp(&b.time))
        .filter(|it| it.time.is_some())
        .unwrap_or(last);
    let is_same = |it: &&&Finding| it.outcome == latest.outcome && it.side == latest.side;
    Some(Reading {
        outcome: latest.outcome,
        side: latest.side,
        candidates: latest.candidates.clone(),
        sample: latest.sample.clone(),
        source: latest.source.clone(),
        count: found.iter().filter(is_same).count(),
    })
}
