//! Waiting until proxies have logged everything that many calls left behind, so that the next call's evidence is its
//! own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::observe::{accepted, open};
use super::places::candidates;
use super::sidecar::Sidecar;
use crate::call::{Call, Connections, PodName, WorkloadName};
use crate::envoy::logs::{Line, Log};
use crate::istio::{Topology, Workload};
use crate::mesh::{MeshError, Tally};

/// How long logs may take to come. They are flushed every millisecond; the limit is for a stalled machine.
const DEADLINE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// How every sidecar stood before many calls, by its number.
pub(super) struct Marks(BTreeMap<usize, Mark>);

/// Connections one sidecar had taken in, and those of them that were open.
struct Mark {
    accepted: i64,
    open: i64,
}

/// What is waited for.
pub(super) struct Owed<'a> {
    /// What calls share: connections that are kept open are not waited for.
    connections: Connections,
    /// Requests that each client's sidecar sent.
    sent: BTreeMap<&'a WorkloadName, u64>,
    /// Requests that some sidecar took in on connections that may still be open.
    taken_in: u64,
}

impl<'a> Owed<'a> {
    /// What is owed after the requests of these tallies.
    pub(super) fn of(
        tallies: &'a [(Call, Vec<Tally>)],
        connections: Connections,
        topology: &Topology,
    ) -> Self {
        let mut owed = Self {
            connections,
            sent: BTreeMap::new(),
            taken_in: 0,
        };
        let has_sidecar = |pod: &PodName| {
            topology
                .workloads
                .get(&pod.workload)
                .is_some_and(Workload::has_sidecar)
        };
        for (call, tallies) in tallies {
            let made: u64 = tallies.iter().map(Tally::made).sum();
            let failed: u64 = tallies.iter().map(Tally::failed).sum();
            *owed.sent.entry(&call.from).or_default() += made;
            let mut servers = candidates(topology, call).into_iter();
            if connections == Connections::Reuse && servers.all(|(pod, _)| has_sidecar(&pod)) {
                owed.taken_in += made - failed;
            }
        }
        owed
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
        let mark = Mark {
            accepted: accepted(&stats),
            open: open(&stats),
        };
        marks.insert(sidecar.number, mark);
    }
    Ok(Marks(marks))
}

/// Waits until every sidecar that has a mark has logged what it owes since then. Those that came later were never idle.
pub(super) async fn wait<'a>(
    sidecars: impl Iterator<Item = (&'a PodName, &'a mut Sidecar)>,
    marks: &Marks,
    owed: &Owed<'_>,
) -> Result<(), MeshError> {
    let deadline = Instant::now() + DEADLINE;
    let mut all: Vec<_> = sidecars
        .filter_map(|(pod, sidecar)| {
            let mark = marks.0.get(&sidecar.number)?;
            let sent = owed.sent.get(&pod.workload).copied().filter(|_| pod.ordinal == 0);
            Some((sidecar, mark, sent.unwrap_or_default(), Logged::default()))
        })
        .collect();
    loop {
        let (mut missing, mut taken_in) = (None, 0);
        for (sidecar, mark, sent, logged) in &mut all {
            missing = logged
                .look(sidecar, mark, *sent, owed.connections)
                .await?
                .or(missing);
            taken_in += logged.inbound;
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

/// Lines a sidecar wrote since its mark.
#[derive(Default)]
struct Logged {
    connections: i64,
    inbound: u64,
    outbound: u64,
}

impl Logged {
    /// Looks again. Returns what is still owed.
    async fn look(
        &mut self,
        sidecar: &mut Sidecar,
        mark: &Mark,
        sent: u64,
        connections: Connections,
    ) -> Result<Option<String>, MeshError> {
        let stats = sidecar.admin.stats_of_calls().await?;
        for line in sidecar.access_log.read() {
            match Line::parse(&line).map(|line| line.log) {
                Some(Log::Listener) => self.connections += 1,
                Some(Log::Inbound) => self.inbound += 1,
                Some(Log::Outbound) => self.outbound += 1,
                None => {}
            }
        }
        let open = open(&stats);
        let closed = mark.open + accepted(&stats) - mark.accepted - open;
        let owed = if open > 0 && connections != Connections::Reuse {
            format!("{open} inbound connections to close")
        } else if self.connections < closed {
            format!("{} of {closed} listener log lines", self.connections)
        } else if self.outbound < sent {
            format!("{} of {sent} outbound requests", self.outbound)
        } else {
            return Ok(None);
        };
        Ok(Some(format!("{owed} of {}", sidecar.node)))
    }
}
