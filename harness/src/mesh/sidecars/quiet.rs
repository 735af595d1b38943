//! Waiting until proxies have logged everything that many calls left behind, so that the next call's evidence is its
//! own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::observe::accepted;
use super::sidecar::Sidecar;
use crate::call::{Call, Connections, PodName, WorkloadName};
use crate::envoy::logs::{Line, Log, Tail};
use crate::istio::Topology;
use crate::mesh::counters::open;
use crate::mesh::reached::candidates;
use crate::mesh::{MeshError, Tally};

/// How long logs may take to come. They are flushed every millisecond; the limit is for a stalled machine.
const DEADLINE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// How every sidecar stood before many calls, by its number.
pub(super) struct Marks(BTreeMap<usize, Mark>);

impl Marks {
    /// Whether this sidecar was marked.
    pub(super) fn are_of(&self, sidecar: &Sidecar) -> bool {
        self.0.contains_key(&sidecar.number)
    }
}

/// What one sidecar had counted and logged.
struct Mark {
    stats: BTreeMap<String, i64>,
    /// Read apart from the sidecar's own, whose lines are evidence.
    log: Tail,
}

/// What is waited for.
pub(super) struct Owed<'a> {
    /// What calls share: connections that are kept open are not waited for.
    connections: Connections,
    /// Requests that each client's sidecar sent.
    sent: BTreeMap<&'a WorkloadName, u64>,
    /// Requests that some sidecar took in on connections that may still be open.
    taken_in: u64,
    /// Clusters to which each client's sidecar sends a copy.
    copied_to: BTreeMap<&'a WorkloadName, Vec<String>>,
}

impl<'a> Owed<'a> {
    /// What is owed after the requests of these tallies. `was_there` says of which pods the sidecar that is there now was
    /// there when they began: another one logged nothing of what its predecessor took in.
    pub(super) fn of(
        tallies: &'a [(Call, Vec<Tally>)],
        connections: Connections,
        topology: &Topology,
        was_there: impl Fn(&PodName) -> bool,
    ) -> Self {
        let mut owed = Self {
            connections,
            sent: BTreeMap::new(),
            taken_in: 0,
            copied_to: BTreeMap::new(),
        };
        for (call, tallies) in tallies {
            let made: u64 = tallies.iter().map(Tally::made).sum();
            let failed: u64 = tallies.iter().map(Tally::failed).sum();
            *owed.sent.entry(&call.from).or_default() += made;
            let mut servers = candidates(topology, call).into_iter();
            if connections == Connections::Reuse
                && servers.all(|(pod, _)| topology.has_sidecar(&pod.workload) && was_there(&pod))
            {
                owed.taken_in += made - failed;
            }
        }
        owed
    }

    /// What is owed after one call whose copies go to these clusters.
    pub(super) fn of_copies(call: &'a Call, clusters: Vec<String>, connections: Connections) -> Self {
        Self {
            connections,
            sent: BTreeMap::new(),
            taken_in: 0,
            copied_to: BTreeMap::from([(&call.from, clusters)]),
        }
    }
}

/// Marks the present.
pub(super) async fn mark<'a>(
    sidecars: impl Iterator<Item = (&'a PodName, &'a mut Sidecar)>,
) -> Result<Marks, MeshError> {
    let mut marks = BTreeMap::new();
    for (_, sidecar) in sidecars {
        let stats = sidecar.admin.stats_of_calls().await?;
        sidecar.access_log.read();
        let log = sidecar.access_log.clone();
        marks.insert(sidecar.number, Mark { stats, log });
    }
    Ok(Marks(marks))
}

/// Waits until every sidecar that has a mark has logged what it owes since then. Those that came later were never idle.
pub(super) async fn wait<'a>(
    sidecars: impl Iterator<Item = (&'a PodName, &'a mut Sidecar)>,
    mut marks: Marks,
    owed: &Owed<'_>,
) -> Result<(), MeshError> {
    let deadline = Instant::now() + DEADLINE;
    let mut all: Vec<Watched<'_>> = sidecars
        .filter_map(|(pod, sidecar)| {
            let mark = marks.0.remove(&sidecar.number)?;
            let client = (pod.ordinal == 0).then_some(&pod.workload);
            let sent = client.and_then(|client| owed.sent.get(client));
            let copied_to = client.and_then(|client| owed.copied_to.get(client));
            Some(Watched {
                sidecar,
                mark,
                keeps_open: owed.connections == Connections::Reuse,
                sent: sent.copied().unwrap_or_default(),
                copied_to: copied_to.map(Vec::as_slice).unwrap_or_default(),
                connections: 0,
                inbound: 0,
                outbound: 0,
            })
        })
        .collect();
    loop {
        let (mut missing, mut taken_in) = (None, 0);
        for watched in &mut all {
            missing = watched.look().await?.or(missing);
            taken_in += watched.inbound;
        }
        if taken_in < owed.taken_in {
            missing = missing.or(Some(format!(
                "{} of {} inbound requests",
                taken_in, owed.taken_in
            )));
        }
        match missing {
            None => return Ok(()),
            Some(missing) if Instant::now() > deadline => {
                return Err(MeshError::NotQuiet {
                    within: DEADLINE,
                    missing,
                });
            }
            Some(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// One sidecar, what it owes, and how many lines it wrote since its mark.
struct Watched<'a> {
    sidecar: &'a Sidecar,
    mark: Mark,
    keeps_open: bool,
    sent: u64,
    copied_to: &'a [String],
    connections: i64,
    inbound: u64,
    outbound: u64,
}

impl Watched<'_> {
    /// Looks again, at counters first. Returns what is still owed.
    async fn look(&mut self) -> Result<Option<String>, MeshError> {
        let stats = self.sidecar.admin.stats_of_calls().await?;
        for line in self.mark.log.read() {
            match Line::parse(&line).map(|line| line.log) {
                Some(Log::Listener) => self.connections += 1,
                Some(Log::Inbound) => self.inbound += 1,
                Some(Log::Outbound) => self.outbound += 1,
                None => {}
            }
        }
        Ok(self
            .owed(&stats)
            .map(|owed| format!("{owed} of {}", self.sidecar.node)))
    }

    fn owed(&self, stats: &BTreeMap<String, i64>) -> Option<String> {
        let before = &self.mark.stats;
        let untried = |cluster: &&String| tried(stats, cluster) == tried(before, cluster);
        if let Some(cluster) = self.copied_to.iter().find(untried) {
            return Some(format!("the copy to {cluster}"));
        }
        let (open_out, open_in) = (open_to_others(stats), open(stats));
        if !self.keeps_open && open_out + open_in > 0 {
            return Some(format!(
                "the end of {open_out} outbound and {open_in} inbound connections"
            ));
        }
        let closed = open(before) + accepted(stats) - accepted(before) - open_in;
        if self.connections < closed {
            return Some(format!(
                "{closed} listener log lines, of which {} came,",
                self.connections
            ));
        }
        (self.outbound < self.sent).then(|| {
            format!(
                "{} outbound requests, of which {} came,",
                self.sent, self.outbound
            )
        })
    }
}

/// Connections tried to a cluster, and requests for which there was nobody to connect to.
fn tried(stats: &BTreeMap<String, i64>, cluster: &str) -> i64 {
    let counter = |counter: &str| {
        let found = stats.get(&format!("cluster.{cluster};.upstream_cx_{counter}"));
        found.copied().unwrap_or_default()
    };
    counter("total") + counter("none_healthy")
}

/// Connections to other pods that are open.
fn open_to_others(stats: &BTreeMap<String, i64>) -> i64 {
    let gauges = stats
        .iter()
        .filter(|(name, _)| name.starts_with("cluster.outbound") && name.ends_with(".upstream_cx_active"));
    gauges.map(|(_, open)| open).sum()
}
