//! Nothing was refused in TLS: TCP failed, time ran out, or a proxy still waits for its secret.

use crate::call::Payload;
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::probe::evidence::{Connect, Ended, ProxyEvidence};

use super::answered::client_lacks_cluster;
use super::facts::Facts;
use super::reason::Reason;

/// The secrets without which an inbound listener does not come up.
const INBOUND_SECRETS: [&str; 2] = ["default", "ROOTCA"];

/// A proxy waits for a secret, and the call failed the way it does while one waits: a warming listener refuses TCP, a
/// warming cluster is not there yet.
pub(super) fn waiting_for_secret(facts: &Facts<'_>) -> Option<Outcome> {
    let missing = Outcome::refused;
    let waits_inbound = |proxy: &&ProxyEvidence| {
        proxy
            .missing_secrets
            .iter()
            .any(|name| INBOUND_SECRETS.contains(&name.as_str()))
    };
    let client_waits = facts
        .client
        .proxy
        .is_some_and(|proxy| !proxy.missing_secrets.is_empty());
    let own_listener_down = !facts.dialled_directly() && facts.evidence.caller.connect == Connect::Refused;
    if facts.client.moved("upstream_context_secrets_not_ready")
        || (client_waits && (own_listener_down || client_lacks_cluster(facts)))
    {
        return Some(missing(OutcomeId::NoCertificateYet, Side::Client));
    }
    let server_waits = facts.server.proxy.filter(waits_inbound).is_some();
    if facts.server.moved("downstream_context_secrets_not_ready")
        || (server_waits && (server_refused_tcp(facts) || reset(facts)))
    {
        return Some(missing(OutcomeId::NoCertificateYet, Side::Server));
    }
    None
}

/// TCP was refused: by the server's pod, by the application behind its sidecar, or by the caller's own sidecar.
pub(super) fn connection_refused(facts: &Facts<'_>) -> Option<Outcome> {
    if server_refused_tcp(facts) || facts.server.reasons.contains(&Reason::Refused) {
        return Some(Outcome::refused(OutcomeId::ConnectionRefused, Side::Server));
    }
    match facts.evidence.caller.connect {
        Connect::Refused => Some(Outcome::refused(OutcomeId::ConnectionRefused, Side::Client)),
        Connect::Unreachable => Some(Outcome::refused(OutcomeId::NoRoute, Side::Client)),
        Connect::Connected | Connect::TimedOut => None,
    }
}

/// The caller waited for a server that speaks first, and a proxy on the way waited for the caller: it had taken the
/// connection in and was still inspecting its first bytes, of which there were none, when the caller hung up.
pub(super) fn server_first_stall(facts: &Facts<'_>) -> Option<Outcome> {
    let caller = &facts.evidence.caller;
    let waited = caller.connect == Connect::Connected && caller.ended == Some(Ended::TimedOut);
    let inspected = [&facts.client, &facts.server]
        .iter()
        .any(|end| end.moved("downstream_listener_filter_remote_close"));
    let stalled = facts.evidence.payload == Payload::ServerFirst && waited && inspected;
    (stalled && facts.evidence.application.is_none()).then(|| Outcome::of(OutcomeId::ServerFirstStall))
}

/// Time ran out. A proxy's access log does not tell a dropped SYN from a silent TLS port; its connection debug log, a
/// caller that dialled itself, or the server's end does.
pub(super) fn timed_out(facts: &Facts<'_>) -> Option<Outcome> {
    use OutcomeId::{ConnectTimeout, HandshakeTimeout};
    let caller = &facts.evidence.caller;
    if facts.dialled_directly() {
        if caller.connect == Connect::TimedOut {
            return Some(Outcome::of(ConnectTimeout));
        }
        let waiting = caller.tls.as_ref().is_some_and(|tls| !tls.handshake_completed);
        return (waiting && caller.ended == Some(Ended::TimedOut)).then(|| Outcome::of(HandshakeTimeout));
    }
    let gave_up = facts
        .client
        .moved_under("cluster.", ".upstream_cx_connect_timeout")
        || facts.client_entries().iter().any(|entry| {
            entry
                .details
                .as_deref()
                .is_some_and(|details| details.contains("{connection_timeout}"))
        });
    gave_up.then(|| match came_up(facts) {
        _ if accepted_by_server(facts) => Outcome::of(HandshakeTimeout),
        Some(true) => Outcome::of(HandshakeTimeout),
        Some(false) => Outcome::of(ConnectTimeout),
        None => Outcome::unknown(
            vec![HandshakeTimeout, ConnectTimeout],
            "in an access log a dropped SYN and a silent TLS port look the same, the connection debug log, which says \
             whether TCP came up, is not there, and the server's end showed nothing",
        ),
    })
}

/// Whether the client's connections came up in TCP, as its connection debug log says; `None` where it does not, or
/// attempts differ.
fn came_up(facts: &Facts<'_>) -> Option<bool> {
    let log = &facts.client.proxy?.debug_log;
    let tried = log.iter().filter(|line| line.contains("connecting to")).count();
    let connected = log.iter().filter(|line| line.ends_with("] connected")).count();
    match connected {
        _ if tried == 0 => None,
        0 => Some(false),
        all if all == tried => Some(true),
        _ => None,
    }
}

/// The server's end reset the connection and nothing names a better reason, with all evidence in.
pub(super) fn connection_reset(facts: &Facts<'_>) -> Option<Outcome> {
    (facts.evidence.incomplete.is_none() && reset(facts))
        .then(|| Outcome::refused(OutcomeId::ConnectionReset, Side::Server))
}

fn server_refused_tcp(facts: &Facts<'_>) -> bool {
    let dialled = facts.dialled_directly() && facts.evidence.caller.connect == Connect::Refused;
    dialled || facts.client.reasons.contains(&Reason::Refused)
}

fn reset(facts: &Facts<'_>) -> bool {
    let dialled = facts.dialled_directly() && facts.evidence.caller.ended == Some(Ended::Reset);
    dialled || facts.client.reasons.contains(&Reason::Reset)
}

fn accepted_by_server(facts: &Facts<'_>) -> bool {
    facts.evidence.application.is_some()
        || facts.server_entries().next().is_some()
        || facts.server.moved_under("listener.", ".downstream_cx_total")
}
