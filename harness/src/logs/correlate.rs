//! What two ends log of one connection, held against each other.
//!
//! In TLS 1.3 a client's handshake succeeds before the server judges its certificate. A client that was refused
//! therefore logs the same `UC` as one whose plaintext met STRICT: its line leaves both open. The server's line of the
//! same connection decides. Neither end's line is taken to say more than it does: what remains is what both allow.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::outcome::OutcomeId;

use super::finding::{Finding, View};
use super::patterns::About;

/// How many findings wait for their other end. With all of them held, memory stays below some 30 MB.
const WAITING: usize = 16_384;
/// How many requests are remembered, so that none counts twice.
const REMEMBERED: usize = 65_536;
/// How far the clocks and log buffers (Envoy flushes every 10 s) of two ends may be apart, milliseconds.
const APART: i64 = 15_000;

/// Joins findings of the two ends of a connection, and counts a request once.
#[derive(Debug, Default)]
pub struct Correlation {
    next: u64,
    waiting: BTreeMap<u64, (Instant, Finding)>,
    /// By the client's address and port: one connection.
    exact: HashMap<String, Vec<u64>>,
    /// By the server's address and the client's host: where the client's port is unknown, because it never connected.
    loose: HashMap<(String, String), Vec<u64>>,
    hasher: RandomState,
    remembered: HashSet<u64>,
    order: VecDeque<u64>,
    /// Findings of requests or connections that had been counted.
    pub repeated: u64,
    /// Findings that had to be settled before all was read, because too many waited.
    pub early: u64,
}

impl Correlation {
    /// Takes a finding in. What is settled by that is given to `settled`.
    pub fn add(&mut self, finding: Finding, settled: &mut dyn FnMut(Finding)) {
        if finding.about == About::Other || !can_be_joined(&finding) {
            self.settle(finding, settled);
            return;
        }
        match finding.view {
            View::Client => self.add_client(finding),
            View::Server | View::Component => self.add_server(finding),
        }
        while self.waiting.len() > WAITING {
            if let Some(&oldest) = self.waiting.keys().next() {
                self.early += 1;
                self.release(oldest, settled);
            }
        }
    }

    /// Settles what has waited for `age` or longer.
    pub fn settle_older_than(&mut self, age: Duration, settled: &mut dyn FnMut(Finding)) {
        let old: Vec<u64> = self
            .waiting
            .iter()
            .take_while(|(_, (since, _))| since.elapsed() >= age)
            .map(|(number, _)| *number)
            .collect();
        for number in old {
            self.release(number, settled);
        }
    }

    /// Settles everything: nothing more will be read.
    pub fn finish(&mut self, settled: &mut dyn FnMut(Finding)) {
        self.settle_older_than(Duration::ZERO, settled);
    }

    /// A request: takes the server's lines of its connections with it.
    fn add_client(&mut self, mut client: Finding) {
        for number in self.partners(&client) {
            let joined = self
                .waiting
                .get(&number)
                .and_then(|(_, server)| (server.view == View::Server).then(|| joined(&client, server))?);
            if let Some(verdict) = joined
                && let Some(server) = self.take(number)
            {
                verdict.put_into(&mut client);
                client.corroborated += 1 + server.corroborated;
            }
        }
        self.wait(client);
    }

    /// A connection: belongs to a request that waits for it, or waits itself.
    fn add_server(&mut self, server: Finding) {
        for number in self.partners(&server) {
            if let Some((_, other)) = self.waiting.get_mut(&number)
                && (other.view == View::Client || is_same_connection(other, &server))
                && let Some(verdict) = joined(other, &server)
            {
                verdict.put_into(other);
                match other.view {
                    View::Client => other.corroborated += 1,
                    _ => self.repeated += 1,
                }
                return;
            }
        }
        self.wait(server);
    }

    fn partners(&self, finding: &Finding) -> Vec<u64> {
        let exact = exact_key(finding).and_then(|key| self.exact.get(key));
        let loose = || loose_key(finding).and_then(|key| self.loose.get(&key));
        exact.or_else(loose).cloned().unwrap_or_default()
    }

    fn wait(&mut self, finding: Finding) {
        let number = self.next;
        self.next += 1;
        if let Some(key) = exact_key(&finding) {
            self.exact.entry(key.to_owned()).or_default().push(number);
        }
        if let Some(key) = loose_key(&finding) {
            self.loose.entry(key).or_default().push(number);
        }
        self.waiting.insert(number, (Instant::now(), finding));
    }

    fn take(&mut self, number: u64) -> Option<Finding> {
        let (_, finding) = self.waiting.remove(&number)?;
        if let Some(key) = exact_key(&finding) {
            forget(&mut self.exact, &key.to_owned(), number);
        }
        if let Some(key) = loose_key(&finding) {
            forget(&mut self.loose, &key, number);
        }
        Some(finding)
    }

    fn release(&mut self, number: u64, settled: &mut dyn FnMut(Finding)) {
        if let Some(finding) = self.take(number) {
            self.settle(finding, settled);
        }
    }

    /// A request that several proxies or attempts log with one id counts once.
    fn settle(&mut self, finding: Finding, settled: &mut dyn FnMut(Finding)) {
        if let (View::Client, Some(request)) = (finding.view, &finding.request_id) {
            let hash = self.hasher.hash_one((request, &finding.upstream));
            if !self.remembered.insert(hash) {
                self.repeated += 1;
                return;
            }
            self.order.push_back(hash);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.remembered.remove(&oldest);
            }
        }
        settled(finding);
    }
}

/// What two lines of one connection say together.
struct Verdict {
    outcome: OutcomeId,
    candidates: Vec<OutcomeId>,
    side: Option<crate::outcome::Side>,
    pattern: String,
}

impl Verdict {
    fn put_into(self, finding: &mut Finding) {
        finding.outcome = self.outcome;
        finding.candidates = self.candidates;
        finding.side = self.side;
        finding.pattern = self.pattern;
    }
}

/// What both lines allow; `None` if they contradict each other and so are not of one connection.
fn joined(client: &Finding, server: &Finding) -> Option<Verdict> {
    if let (Some(one), Some(other)) = (client.side, server.side)
        && one != other
    {
        return None;
    }
    if let (Some(one), Some(other)) = (client.connection.began, server.connection.began) {
        let apart = if other < one {
            one - other
        } else {
            (other - one - client.connection.took).max(0)
        };
        if apart > APART {
            return None;
        }
    }
    let (ours, theirs) = (client.meanings(), server.meanings());
    let candidates: Vec<OutcomeId> = match (ours.is_empty(), theirs.is_empty()) {
        (true, _) => theirs.to_vec(),
        (_, true) => ours.to_vec(),
        _ => ours.iter().filter(|it| theirs.contains(it)).copied().collect(),
    };
    // A single candidate of a line that names only one is no decision; one that two lines leave over is.
    let is_decided = [client, server].iter().any(|it| it.outcome != OutcomeId::Unknown)
        || (candidates.len() < ours.len() && candidates.len() < theirs.len());
    let sharper = if theirs.len() < ours.len() { server } else { client };
    let (outcome, candidates) = match candidates[..] {
        [] if !(ours.is_empty() && theirs.is_empty()) => return None,
        [only] if is_decided => (only, Vec::new()),
        _ => (OutcomeId::Unknown, candidates),
    };
    Some(Verdict {
        outcome,
        candidates,
        side: client.side.or(server.side),
        pattern: sharper.pattern.clone(),
    })
}

/// Whether two lines of servers are of one connection, which a proxy with several access logs writes down in each.
fn is_same_connection(one: &Finding, other: &Finding) -> bool {
    let ends = |it: &Finding| (it.connection.client.clone(), it.connection.server.clone());
    one.view == View::Server
        && one.connection.client.is_some()
        && one.connection.began.is_some()
        && one.connection.began == other.connection.began
        && ends(one) == ends(other)
}

fn can_be_joined(finding: &Finding) -> bool {
    finding.view != View::Component && (exact_key(finding).is_some() || loose_key(finding).is_some())
}

fn exact_key(finding: &Finding) -> Option<&str> {
    finding.connection.client.as_deref()
}

/// A server's line has it always; a client's only where it lacks the exact key.
fn loose_key(finding: &Finding) -> Option<(String, String)> {
    let connection = &finding.connection;
    if finding.view == View::Client && connection.client.is_some() {
        return None;
    }
    Some((connection.server.clone()?, connection.caller.clone()?))
}

fn forget<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Vec<u64>>, key: &K, number: u64) {
    if let Some(numbers) = map.get_mut(key) {
        numbers.retain(|it| *it != number);
        if numbers.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
