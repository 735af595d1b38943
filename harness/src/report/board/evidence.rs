//! What both ends of a call showed, in few words.

use crate::probe::Evidence;
use crate::probe::evidence::{AccessLogEntry, ProxyEvidence};
use crate::report::text;
use crate::scenario::verdict::{CallResult, Verdict};

/// What an end showed.
pub(super) struct End {
    /// Which end.
    pub(super) name: &'static str,
    /// What it showed, a line each piece.
    pub(super) lines: Vec<String>,
}

/// Both ends. All of it where the call is falsified; what decides about outcomes where it held, because the whole of ten
/// thousand calls fills a page that nobody opens. The result directory keeps everything.
pub(super) fn ends(call: &CallResult) -> Vec<End> {
    let evidence = &call.evidence;
    if call.verdict == Verdict::Falsified {
        return vec![End {
            name: "both ends",
            lines: text::evidence(evidence),
        }];
    }
    let mut ends = vec![End {
        name: "caller",
        lines: vec![caller(evidence)],
    }];
    let proxies = [
        ("client's proxy", &evidence.client_proxy),
        ("server's proxy", &evidence.server_proxy),
    ];
    for (name, proxy) in proxies {
        if let Some(proxy) = proxy {
            let lines = of_proxy(proxy);
            ends.push(End { name, lines });
        }
    }
    ends
}

fn caller(evidence: &Evidence) -> String {
    let caller = &evidence.caller;
    if let Some(http) = &caller.http {
        return format!("HTTP {}", http.status);
    }
    if let Some(tls) = &caller.tls {
        let said = tls.alert_received.as_ref().or(tls.error.as_ref());
        if let Some(said) = said {
            return format!("TLS: {said}");
        }
    }
    match &caller.ended {
        Some(ended) => text::json(ended),
        None => text::json(&caller.connect),
    }
}

fn of_proxy(proxy: &ProxyEvidence) -> Vec<String> {
    let entries = proxy.listener_log.iter().chain(&proxy.access_log);
    let mut lines: Vec<String> = Vec::new();
    for line in entries.map(of_entry).filter(|line| !line.is_empty()) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if !proxy.missing_secrets.is_empty() {
        lines.push(format!("waits for secrets {}", proxy.missing_secrets.join(", ")));
    }
    if lines.is_empty() {
        lines.push("logged nothing".to_owned());
    }
    lines
}

/// The fields that tell of TLS, by the names that the log gives them.
fn of_entry(entry: &AccessLogEntry) -> String {
    let code = entry.code.filter(|code| *code != 0).map(|code| code.to_string());
    let fields = [
        ("code", &code),
        ("flags", &entry.flags),
        ("details", &entry.details),
        ("termination", &entry.termination),
        ("upstream failure", &entry.up_fail),
        ("downstream failure", &entry.down_fail),
        ("upstream TLS", &entry.up_tls),
        ("upstream peer", &entry.up_peer_uri),
        ("TLS", &entry.tls),
        ("peer", &entry.peer_uri),
        ("SNI", &entry.sni),
    ];
    let told = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let told = told.filter(|(_, value)| !matches!(*value, "" | "-" | "via_upstream"));
    let words: Vec<String> = told.map(|(name, value)| format!("{name} {value}")).collect();
    words.join(", ")
}
