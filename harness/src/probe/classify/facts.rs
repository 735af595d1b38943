//! The evidence of a call, read once: what each end said, and whether TLS left the client.

use crate::call::CallKind;
use crate::outcome::Side;
use crate::probe::evidence::{AccessLogEntry, Evidence, ProxyEvidence};

use super::alert::Alert;
use super::reason::{Reason, Verdict};

/// What the rules look at.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) evidence: &'a Evidence,
    /// The caller's end: its sidecar, or the raw caller itself.
    pub(super) client: End<'a>,
    /// The called end: its sidecar.
    pub(super) server: End<'a>,
    /// Whether the bytes that left for the server were TLS; `None` where nothing tells, or attempts differ.
    pub(super) sent_tls: Option<bool>,
}

/// What one end of the connection said.
#[derive(Debug)]
pub(super) struct End<'a> {
    pub(super) side: Side,
    pub(super) proxy: Option<&'a ProxyEvidence>,
    /// What this end held against the connection, each reason once, the unnamed dropped where one is named.
    pub(super) reasons: Vec<Reason>,
    /// What the other end told this one.
    pub(super) alerts: Vec<Alert>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(evidence: &'a Evidence) -> Self {
        let mut facts = Self {
            evidence,
            client: End::client(evidence),
            server: End::server(evidence.server_proxy.as_ref()),
            sent_tls: None,
        };
        facts.sent_tls = facts.tls_left_the_client();
        facts
    }

    /// Whether the caller dialled the server itself, so that what it saw of TCP is about the server.
    pub(super) fn dialled_directly(&self) -> bool {
        !self.evidence.kind.is_of_application() || self.evidence.client_proxy.is_none()
    }

    /// Entries of the client sidecar's access log.
    pub(super) fn client_entries(&self) -> &'a [AccessLogEntry] {
        self.client.proxy.map_or(&[], |proxy| &proxy.access_log)
    }

    /// Entries of both access logs of the server's sidecar: connections first, then requests.
    pub(super) fn server_entries(&self) -> impl Iterator<Item = &'a AccessLogEntry> + use<'a> {
        self.server
            .proxy
            .into_iter()
            .flat_map(|proxy| proxy.listener_log.iter().chain(&proxy.access_log))
    }

    /// The end that is not `side`.
    pub(super) const fn end(&self, side: Side) -> &End<'a> {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn tls_left_the_client(&self) -> Option<bool> {
        match self.evidence.kind {
            CallKind::RawPlaintext => return Some(false),
            CallKind::RawTls | CallKind::RawMtls => return Some(true),
            CallKind::App | CallKind::Mirrored if self.evidence.client_proxy.is_none() => return Some(false),
            CallKind::App | CallKind::Mirrored => {}
        }
        let server = &self.server;
        let tls = self.client_proxy_spoke_tls()
            || server.moved("tls_inspector.tls_found")
            || self
                .server_entries()
                .any(|entry| entry.sni.is_some() || entry.tls.is_some());
        let plaintext = server.moved("tls_inspector.tls_not_found")
            || server.reasons.contains(&Reason::InspectedPlaintext)
            || (server.is_tls_unlogged() && server.connections().any(came_without_server_name))
            || (!tls
                && !self.client.is_tls_unlogged()
                && self.client_entries().iter().any(reached_the_server));
        match (tls, plaintext) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }

    fn client_proxy_spoke_tls(&self) -> bool {
        let said = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains("TLS_error"));
        self.client_entries()
            .iter()
            .any(|entry| entry.up_tls.is_some() || said(&entry.up_fail) || said(&entry.details))
            || self.client.moved_under("cluster.", ".ssl.")
            || self
                .client
                .proxy
                .is_some_and(|proxy| proxy.debug_log.iter().any(|line| line.contains("TLS_error")))
    }
}

impl<'a> End<'a> {
    fn client(evidence: &'a Evidence) -> Self {
        let proxy = evidence.client_proxy.as_ref();
        let mut texts: Vec<&str> = Vec::new();
        if let Some(proxy) = proxy {
            texts.extend(
                proxy
                    .access_log
                    .iter()
                    .filter_map(|entry| entry.up_fail.as_deref()),
            );
            texts.extend(proxy.debug_log.iter().map(String::as_str));
        }
        let mut reasons: Vec<Reason> = texts.into_iter().filter_map(Reason::from_envoy).collect();
        if let Some(tls) = &evidence.caller.tls {
            reasons.extend(tls.error.as_deref().and_then(Reason::from_rustls));
            reasons.extend(
                tls.alert_received
                    .as_deref()
                    .and_then(Alert::from_rfc_name)
                    .map(Reason::Alert),
            );
        }
        Self::new(Side::Client, proxy, reasons)
    }

    fn server(proxy: Option<&'a ProxyEvidence>) -> Self {
        let mut reasons: Vec<Reason> = Vec::new();
        if let Some(proxy) = proxy {
            let entries = proxy.listener_log.iter().chain(&proxy.access_log);
            let down = entries.clone().filter_map(|entry| entry.down_fail.as_deref());
            let debug = proxy.debug_log.iter().map(String::as_str);
            // Towards the application the server's sidecar speaks plaintext: TCP is all that can fail there.
            let up = entries
                .filter_map(|entry| entry.up_fail.as_deref())
                .filter_map(Reason::from_envoy)
                .filter(|reason| *reason == Reason::Refused);
            reasons.extend(down.chain(debug).filter_map(Reason::from_envoy));
            reasons.extend(up);
        }
        Self::new(Side::Server, proxy, reasons)
    }

    fn new(side: Side, proxy: Option<&'a ProxyEvidence>, mut reasons: Vec<Reason>) -> Self {
        reasons.sort_unstable();
        reasons.dedup();
        let named = reasons.iter().any(|reason| reason.names_the_verdict());
        if named {
            reasons.retain(|reason| *reason != Reason::Verify(Verdict::Unnamed));
        }
        drop_bare_san(&mut reasons);
        let alerts = reasons
            .iter()
            .filter_map(|reason| match reason {
                Reason::Alert(alert) => Some(*alert),
                _ => None,
            })
            .collect();
        reasons.retain(|reason| !matches!(reason, Reason::Alert(_)));
        Self {
            side,
            proxy,
            reasons,
            alerts,
        }
    }

    /// Whether its log has no fields for TLS.
    pub(super) fn is_tls_unlogged(&self) -> bool {
        self.proxy.is_some_and(|proxy| proxy.tls_unlogged)
    }

    /// Entries of what went through it.
    pub(super) fn requests(&self) -> impl Iterator<Item = &'a AccessLogEntry> + use<'a> {
        self.proxy.into_iter().flat_map(|proxy| &proxy.access_log)
    }

    /// Entries of connections that its listener took in.
    fn connections(&self) -> impl Iterator<Item = &'a AccessLogEntry> + use<'a> {
        self.proxy.into_iter().flat_map(|proxy| &proxy.listener_log)
    }

    /// Whether the statistic of this name, or one ending in `.name`, went up.
    pub(super) fn moved(&self, name: &str) -> bool {
        self.stats_up().any(|stat| {
            stat.strip_suffix(name)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// Whether a statistic went up that starts with `prefix` and contains `part`.
    pub(super) fn moved_under(&self, prefix: &str, part: &str) -> bool {
        self.stats_up()
            .any(|stat| stat.starts_with(prefix) && stat.contains(part))
    }

    fn stats_up(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.proxy
            .into_iter()
            .flat_map(|proxy| &proxy.stats)
            .filter(|(_, delta)| **delta > 0)
            .map(|(name, _)| name.as_str())
    }
}

impl Reason {
    const fn names_the_verdict(&self) -> bool {
        matches!(self, Self::Verify(verdict) if !matches!(verdict, Verdict::Unnamed))
    }
}

/// The debug log and the access log of Envoy 1.37 word one SAN failure differently; keep the one that lists SANs.
fn drop_bare_san(reasons: &mut Vec<Reason>) {
    let listed = |reason: &Reason| matches!(reason, Reason::Verify(Verdict::San { presented: Some(_) }));
    if reasons.iter().any(listed) {
        reasons.retain(|reason| *reason != Reason::Verify(Verdict::San { presented: None }));
    }
}

/// Whether an entry is of a connection for which no filter chain was found and that named no server. Sidecars name one in
/// every ClientHello.
fn came_without_server_name(entry: &AccessLogEntry) -> bool {
    entry.details.as_deref() == Some("filter_chain_not_found") && entry.sni.is_none()
}

/// Whether a client log entry without any sign of TLS is of a connection that came up. A plaintext socket is up as
/// soon as TCP is; these two details are of sockets that never came up, which may have been TLS.
fn reached_the_server(entry: &AccessLogEntry) -> bool {
    let details = entry.details.as_deref().unwrap_or_default();
    !details.contains("remote_connection_failure") && !details.contains("connection_timeout")
}
