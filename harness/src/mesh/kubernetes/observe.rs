//! What both ends of a call showed, read from logs and counters of the run's own pods.
//!
//! They are called by nobody but this run, one call at a time, so what was logged and counted since belongs to the call; a
//! request's own line is known by its id besides. The wait ends on a condition, as on the local tier.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::proxy::Proxy;
use crate::call::Payload;
use crate::envoy::logs::{Line, Log, debug_message_of_istio};
use crate::mesh::MeshError;
use crate::mesh::counters::{difference, of_listener, open};
use crate::probe::dial::request_id;
use crate::probe::evidence::{Caller, Connect, ProxyEvidence};

/// How long lines may take to come: a proxy writes them out every ten seconds (Envoy's `--file-flush-interval-msec`).
const EVIDENCE_DEADLINE: Duration = Duration::from_secs(30);
/// How long a server may take to accept a connection whose caller is already done with it.
const ACCEPT_GRACE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A sidecar at one end, and what it had counted before.
pub(super) struct End {
    proxy: Proxy,
    before: BTreeMap<String, i64>,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    outbound: Vec<Line>,
    inbound: Vec<Line>,
    listener: Vec<Line>,
    debug: Vec<String>,
    stats: BTreeMap<String, i64>,
    open: i64,
    /// Whether the request's own line has come.
    is_named: bool,
}

impl End {
    /// Marks the present.
    pub(super) async fn mark(mut proxy: Proxy) -> Result<Self, MeshError> {
        let before = proxy.stats_of_calls().await?;
        proxy.log().await?;
        Ok(Self {
            proxy,
            before,
            seen: Seen::default(),
        })
    }

    /// Looks at counters, and at logs after them, so that whatever was counted may have been logged.
    async fn look(&mut self, request: &str) -> Result<(), MeshError> {
        let stats = self.proxy.stats_of_calls().await?;
        let seen = &mut self.seen;
        seen.open = open(&stats);
        seen.stats = difference(&stats, &self.before);
        for text in self.proxy.log().await? {
            let Some(line) = Line::parse(&text) else {
                seen.debug
                    .extend(debug_message_of_istio(&text).map(str::to_owned));
                continue;
            };
            match line.log {
                Log::Listener => seen.listener.push(line),
                Log::Inbound => seen.inbound.push(line),
                Log::Outbound => {
                    seen.is_named |= text.contains(request);
                    seen.outbound.push(line);
                }
            }
        }
        Ok(())
    }

    /// What it showed, as a client or as a server.
    pub(super) async fn evidence(self, is_answered: bool) -> Result<ProxyEvidence, MeshError> {
        let mut evidence = ProxyEvidence {
            envoy: self.proxy.release().await?,
            access_log: self
                .seen
                .outbound
                .into_iter()
                .chain(self.seen.inbound)
                .map(|line| line.entry)
                .collect(),
            listener_log: self.seen.listener.into_iter().map(|line| line.entry).collect(),
            stats: self.seen.stats,
            debug_log: self.seen.debug,
            ..ProxyEvidence::default()
        };
        if !is_answered {
            evidence.certificates = self.proxy.certificates().await?;
            evidence.missing_secrets = self.proxy.missing_secrets().await?;
            evidence.accepted_trust_domains = self.proxy.accepted_trust_domains().await?;
        }
        Ok(evidence)
    }
}

/// Waits for the evidence of a call that `caller` is done with; says what was still missing when waiting ended.
pub(super) async fn gather(
    caller: &Caller,
    payload: Payload,
    nonce: &str,
    client: &mut Option<End>,
    server: &mut Option<End>,
) -> Result<Option<String>, MeshError> {
    let (started, request) = (Instant::now(), request_id(nonce));
    loop {
        for end in [&mut *client, &mut *server].into_iter().flatten() {
            end.look(&request).await?;
        }
        let waited = started.elapsed();
        let missing = missing(
            caller,
            payload,
            client.as_ref().map(|it| &it.seen),
            server.as_ref().map(|it| &it.seen),
            waited > ACCEPT_GRACE,
        );
        match missing {
            None => return Ok(None),
            Some(missing) if waited > EVIDENCE_DEADLINE => return Ok(Some(missing.to_owned())),
            Some(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

pub(super) fn is_answered(caller: &Caller) -> bool {
    caller.tcp.is_some() || caller.http.as_ref().is_some_and(|answer| answer.from_application)
}

/// What is still owed, if anything.
fn missing(
    caller: &Caller,
    payload: Payload,
    client: Option<&Seen>,
    server: Option<&Seen>,
    grace_is_over: bool,
) -> Option<&'static str> {
    // What was refused at its own door has reached no proxy.
    if matches!(caller.connect, Connect::Unreachable | Connect::Refused) {
        return None;
    }
    if let Some(client) = client {
        let has_come = match payload {
            Payload::Http => client.is_named || (caller.http.is_none() && !client.outbound.is_empty()),
            Payload::Tcp | Payload::ServerFirst => !client.outbound.is_empty(),
        };
        if !has_come {
            return Some("the client sidecar's access log line");
        }
    }
    let server = server?;
    if server.open > 0 {
        return Some("the server sidecar's connections to close");
    }
    let accepted = of_listener(&server.stats, "downstream_cx_total")
        + of_listener(&server.stats, "no_filter_chain_match");
    if i64::try_from(server.listener.len()).unwrap_or(i64::MAX) < accepted {
        return Some("the server sidecar's listener log lines");
    }
    (accepted == 0 && !grace_is_over).then_some("the server sidecar to accept")
}
