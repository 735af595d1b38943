//! Gathering what both ends showed of one call.
//!
//! One call is made at a time, so whatever a proxy wrote or counted since the call began belongs to the call. The
//! wait for it ends on a condition: the client's sidecar has logged the request, and the server's has logged as many
//! connections as it accepted and holds none open.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::Connections;
use crate::envoy::logs::{Line, Log, Marked, debug_message};
use crate::mesh::MeshError;
use crate::mesh::counters::{difference, of_listener, open};
use crate::probe::evidence::{Caller, Connect, ProxyEvidence};

use super::sidecar::Sidecar;

/// Counts connections that their client closed while a listener filter still waited for its first bytes.
const INSPECTED_TO_THE_END: &str = ".downstream_listener_filter_remote_close";

/// How long evidence is waited for after the caller has its result. Logs are flushed every millisecond.
const EVIDENCE_DEADLINE: Duration = Duration::from_secs(15);
/// How long a server may take to accept a connection whose caller is already done with it.
const ACCEPT_GRACE: Duration = Duration::from_millis(500);
/// How often logs are looked at. Envoy writes a line a fraction of a millisecond after its connection has ended.
const LOOK_AGAIN: Duration = Duration::from_micros(200);
/// How long counters are left alone while logs say nothing.
const ASK_ANYWAY: Duration = Duration::from_millis(5);

/// What had been written and counted when the call began.
pub(super) struct Before {
    stats: BTreeMap<String, i64>,
}

/// Marks the present in everything a sidecar shows, if there is one.
pub(super) async fn mark(sidecar: Option<&mut Sidecar>) -> Result<Option<Before>, MeshError> {
    let Some(sidecar) = sidecar else { return Ok(None) };
    let stats = sidecar.admin.stats_of_calls().await?;
    sidecar.access_log.read();
    sidecar.debug_log.read();
    Ok(Some(Before { stats }))
}

/// A sidecar at one end of a call, if there is one, and what it had shown before.
type End<'a> = Option<(&'a mut Sidecar, Before)>;

/// The sidecars of a call.
pub(super) enum Ends<'a> {
    /// The client's and the server's.
    Two(End<'a>, End<'a>),
    /// The one of a pod that calls itself: both ends of the connection.
    One(End<'a>),
}

/// What one sidecar has shown since it was marked.
#[derive(Default)]
struct Seen {
    outbound: Vec<Line>,
    inbound: Vec<Line>,
    listener: Vec<Line>,
    debug: Vec<String>,
    /// Lines that Istio would have had it write.
    istio: Vec<(Marked, String)>,
    stats: BTreeMap<String, i64>,
    open: i64,
}

impl Seen {
    /// Looks at counters, and at logs after them, so that whatever was counted may have been logged.
    async fn look(&mut self, end: &mut End<'_>) -> Result<(), MeshError> {
        let Some((sidecar, before)) = end else {
            return Ok(());
        };
        let stats = sidecar.admin.stats_of_calls().await?;
        self.open = open(&stats);
        self.stats = difference(&stats, &before.stats);
        self.take_in(sidecar);
        Ok(())
    }

    /// Reads logs. Returns whether what is there now is `enough`; of nobody nothing is.
    fn read(&mut self, end: &mut End<'_>, enough: impl FnOnce(&Self) -> bool) -> bool {
        let Some((sidecar, _)) = end else { return true };
        self.take_in(sidecar);
        enough(self)
    }

    fn take_in(&mut self, sidecar: &mut Sidecar) {
        for text in sidecar.access_log.read() {
            let Some(line) = Line::parse(&text) else {
                self.istio.extend(Marked::unmark(&text));
                continue;
            };
            match line.log {
                Log::Listener => self.listener.push(line),
                Log::Inbound => self.inbound.push(line),
                Log::Outbound => self.outbound.push(line),
            }
        }
        let debug = sidecar.debug_log.read();
        self.debug.extend(
            debug
                .iter()
                .filter_map(|line| debug_message(line))
                .map(str::to_owned),
        );
    }

    /// Connections this end tried that nobody accepted, or nobody but the system.
    fn never_arrived(&self) -> i64 {
        let refused = self
            .debug
            .iter()
            .filter(|line| line.contains("delayed connect error"));
        i64::try_from(refused.count()).unwrap_or(i64::MAX) + self.count(".upstream_cx_connect_timeout")
    }

    /// Drops what was counted for other outbound clusters than this one.
    fn keep_cluster(&mut self, cluster: Option<&str>) {
        let Some(cluster) = cluster else { return };
        let own = format!("cluster.{cluster};.");
        self.stats
            .retain(|name, _| !name.starts_with("cluster.outbound") || name.starts_with(&own));
    }

    /// Connections to other pods, and to this one from itself.
    fn sent(&self) -> i64 {
        let tried = self.stats.iter().filter(|(name, _)| is_of_client(name));
        let tried = tried.filter(|(name, _)| name.ends_with(".upstream_cx_total"));
        tried.map(|(_, count)| count).sum()
    }

    fn count(&self, suffix: &str) -> i64 {
        let matching = self.stats.iter().filter(|(name, _)| name.ends_with(suffix));
        matching.map(|(_, count)| count).sum()
    }

    /// Takes out what this sidecar showed as the server of its own call. Its debug log is of both ends and tells neither.
    fn take_server(&mut self) -> Self {
        let (client, server) = std::mem::take(&mut self.stats)
            .into_iter()
            .partition(|(name, _)| is_of_client(name));
        self.stats = client;
        self.debug.clear();
        Self {
            outbound: Vec::new(),
            inbound: std::mem::take(&mut self.inbound),
            listener: std::mem::take(&mut self.listener),
            debug: Vec::new(),
            istio: Vec::new(),
            stats: server,
            open: self.open,
        }
    }

    fn evidence(self, sidecar: &Sidecar) -> ProxyEvidence {
        ProxyEvidence {
            envoy: Some(sidecar.binary.version.clone()),
            access_log: self
                .outbound
                .into_iter()
                .chain(self.inbound)
                .map(|line| line.entry)
                .collect(),
            listener_log: self.listener.into_iter().map(|line| line.entry).collect(),
            stats: self.stats,
            debug_log: self.debug,
            ..ProxyEvidence::default()
        }
    }
}

/// What both sidecars showed, and what was still missing when waiting ended.
pub(super) struct Gathered {
    pub(super) client: Option<ProxyEvidence>,
    pub(super) server: Option<ProxyEvidence>,
    pub(super) incomplete: Option<String>,
    /// Lines that Istio would have had them write, at the client's end and the server's.
    pub(super) istio: [Vec<(Marked, String)>; 2],
}

impl Gathered {
    /// The pieces that a real mesh does not show by default.
    pub(super) fn instruments(&self) -> Vec<String> {
        let proxies = [&self.client, &self.server].into_iter().flatten();
        let (mut listener_log, mut debug_log) = (false, false);
        for proxy in proxies {
            listener_log |= !proxy.listener_log.is_empty();
            debug_log |= !proxy.debug_log.is_empty();
        }
        let named = [
            (listener_log, "listener log, unfiltered"),
            (debug_log, "connection debug log"),
        ];
        named
            .into_iter()
            .filter(|(shown, _)| *shown)
            .map(|(_, name)| name.to_owned())
            .collect()
    }
}

/// Waits for the evidence of a call that `caller` is done with. Where the client's sidecar sends to others besides,
/// `cluster` is the one that the call is about.
pub(super) async fn gather(
    caller: &Caller,
    ends: Ends<'_>,
    connections: Connections,
    cluster: Option<&str>,
) -> Result<Gathered, MeshError> {
    let started = tokio::time::Instant::now();
    let (mut client, mut server, is_one) = match ends {
        Ends::Two(client, server) => (client, server, false),
        Ends::One(end) => (end, None, true),
    };
    let (mut client_seen, mut server_seen) = (Seen::default(), Seen::default());
    let mut asked = started;
    let incomplete = loop {
        // Counters are asked for once the logs are there, or when they may never be: asking costs more than reading.
        let logged = client_seen.read(&mut client, |seen| !seen.outbound.is_empty())
            & server_seen.read(&mut server, |seen| {
                !seen.listener.is_empty() || (connections == Connections::Reuse && !seen.inbound.is_empty())
            });
        if !logged && asked.elapsed() < ASK_ANYWAY {
            moment().await;
            continue;
        }
        asked = tokio::time::Instant::now();
        tokio::try_join!(client_seen.look(&mut client), server_seen.look(&mut server))?;
        client_seen.keep_cluster(cluster);
        let waited = started.elapsed();
        let server_view = if is_one { &client_seen } else { &server_seen };
        let missing = missing(
            caller,
            client.is_some().then_some(&client_seen),
            (server.is_some() || (is_one && client.is_some())).then_some(server_view),
            waited > ACCEPT_GRACE,
            connections,
        );
        match missing {
            None => break None,
            Some(missing) if waited > EVIDENCE_DEADLINE => break Some(missing),
            Some(_) => moment().await,
        }
    };
    let istio = [&mut client_seen, &mut server_seen].map(|seen| std::mem::take(&mut seen.istio));
    let own = is_one.then(|| client_seen.take_server());
    let mut client_evidence = client.as_ref().map(|(sidecar, _)| client_seen.evidence(sidecar));
    let mut server_evidence = server.as_ref().map(|(sidecar, _)| server_seen.evidence(sidecar));
    if let Some(own) = own {
        server_evidence = client.as_ref().map(|(sidecar, _)| own.evidence(sidecar));
    }
    if !is_answered(caller) {
        tokio::try_join!(
            add_credentials(&mut client_evidence, &client),
            add_credentials(&mut server_evidence, &server)
        )?;
    }
    Ok(Gathered {
        client: client_evidence,
        server: server_evidence,
        incomplete,
        istio,
    })
}

/// Sleeps on a thread: the runtime's timer counts in milliseconds and rounds up, often to two.
async fn moment() {
    // Fails only where the runtime ends, and this with it.
    let _ = tokio::task::spawn_blocking(|| std::thread::sleep(LOOK_AGAIN)).await;
}

/// Adds what a sidecar holds and what it still waits for.
async fn add_credentials(evidence: &mut Option<ProxyEvidence>, end: &End<'_>) -> Result<(), MeshError> {
    if let (Some(evidence), Some((sidecar, _))) = (evidence, end) {
        evidence.certificates = sidecar.admin.certificates().await?;
        evidence.missing_secrets = sidecar.admin.warming_secrets().await?;
    }
    Ok(())
}

fn is_answered(caller: &Caller) -> bool {
    caller.tcp.is_some() || caller.http.as_ref().is_some_and(|answer| answer.from_application)
}

/// What is still owed, if anything.
fn missing(
    caller: &Caller,
    client: Option<&Seen>,
    server: Option<&Seen>,
    grace_is_over: bool,
    connections: Connections,
) -> Option<String> {
    // What was refused at its own door has reached no proxy.
    if matches!(caller.connect, Connect::Unreachable | Connect::Refused) {
        return None;
    }
    if let Some(client) = client
        && client.outbound.is_empty()
        && client.count(INSPECTED_TO_THE_END) == 0
    {
        return Some("the client sidecar's access log line".to_owned());
    }
    let server = server?;
    // A connection that is kept open is not logged yet; the request's own line is.
    if connections == Connections::Reuse {
        let owed = is_answered(caller) && server.inbound.is_empty();
        return owed.then(|| "the server sidecar's access log line".to_owned());
    }
    if server.open > 0 {
        return Some("the server sidecar's connections to close".to_owned());
    }
    let accepted = accepted(&server.stats);
    let logged = i64::try_from(server.listener.len()).unwrap_or(i64::MAX);
    if logged < accepted {
        return Some("the server sidecar's listener log lines".to_owned());
    }
    let sent = client.map_or_else(
        || i64::from(caller.connect == Connect::Connected),
        |client| client.sent() - client.never_arrived(),
    );
    (accepted < sent && !grace_is_over).then(|| "the server sidecar to accept".to_owned())
}

/// Inbound connections the listener took, with or without a chain for them, or none yet.
pub(super) fn accepted(stats: &BTreeMap<String, i64>) -> i64 {
    [
        "downstream_cx_total",
        "no_filter_chain_match",
        &INSPECTED_TO_THE_END[1..],
    ]
    .into_iter()
    .map(|counter| of_listener(stats, counter))
    .sum()
}

/// Whether a proxy counts this as a client, and not towards its own application or as a server.
fn is_of_client(stat: &str) -> bool {
    let cluster = stat.strip_prefix("cluster.");
    cluster
        .is_some_and(|name| !name.starts_with("inbound|") && !name.starts_with("InboundPassthroughCluster"))
}
