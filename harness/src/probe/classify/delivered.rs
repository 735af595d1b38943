//! The call reached the application: over what, and who was authenticated.

use crate::call::CallKind;
use crate::outcome::{Outcome, OutcomeId, Peers, Transport};
use crate::probe::evidence::{AccessLogEntry, Bytes, Caller};

use super::facts::Facts;

/// The application answered.
pub(super) fn answered(facts: &Facts<'_>) -> Option<Outcome> {
    let refused_by_application = answer(facts)? == Answer::Error;
    Some(match transport(facts) {
        Ok(transport) if refused_by_application => Outcome::of(OutcomeId::HttpError).over(transport),
        Err(_) if refused_by_application => Outcome::of(OutcomeId::HttpError),
        Ok(Transport::Mtls) => Outcome {
            peers: Some(peers(facts)),
            ..Outcome::of(OutcomeId::Mtls)
        },
        Ok(Transport::Tls) => Outcome::of(OutcomeId::Tls),
        Ok(Transport::Plaintext) => Outcome::of(OutcomeId::Plaintext),
        Err(Disagreement { candidates, reason }) => Outcome::unknown(candidates, reason),
    })
}

/// How the bytes travelled between the two ends, from what both showed.
///
/// # Errors
///
/// What it could have been, where one end is silent or the ends contradict each other.
pub(super) fn transport(facts: &Facts<'_>) -> Result<Transport, Disagreement> {
    use OutcomeId::{Mtls, Plaintext, Tls};
    let undecided = |candidates: &[OutcomeId], reason: &'static str| {
        Err(Disagreement {
            candidates: candidates.to_vec(),
            reason,
        })
    };
    let certificate_offered = facts.evidence.kind != CallKind::RawTls;
    // Of copies no log says whom the client saw; but it ends its handshake only after it has judged the server.
    let server_judged = facts.evidence.kind == CallKind::Mirrored || server_identity(facts).is_some();
    match (client_view(facts), server_view(facts)) {
        (Some(true), ServerView::Identified) if certificate_offered && server_judged => Ok(Transport::Mtls),
        (Some(true), ServerView::Identified) => undecided(
            &[Mtls, Tls],
            "only the server shows that the peer was authenticated",
        ),
        (Some(true), ServerView::Anonymous | ServerView::NotTerminated) => Ok(Transport::Tls),
        (Some(true), ServerView::Unseen) => undecided(&[Mtls, Tls], "the server's sidecar logged nothing"),
        (Some(true) | None, ServerView::Terminated) => undecided(
            &[Mtls, Tls],
            "the server's sidecar ended TLS, and its log has no field for who the peer was",
        ),
        (Some(false), ServerView::Identified | ServerView::Anonymous | ServerView::Terminated) => undecided(
            &[Mtls, Tls, Plaintext],
            "the client saw plaintext, the server TLS",
        ),
        (Some(false), _) => Ok(Transport::Plaintext),
        (None, ServerView::Identified) => undecided(&[Mtls, Tls], "the client's sidecar logged nothing"),
        (None, _) if facts.client.is_tls_unlogged() => undecided(
            &[Mtls, Tls, Plaintext],
            "the logs of the sidecars have no field for TLS",
        ),
        (None, _) => undecided(&[Mtls, Tls, Plaintext], "the client's sidecar logged nothing"),
    }
}

/// Why a delivered call's transport is not known.
#[derive(Debug)]
pub(super) struct Disagreement {
    candidates: Vec<OutcomeId>,
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    Good,
    Error,
}

/// Of a copy there is no answer to see, and it arrived if the application saw it.
/// Over TCP a line proves nothing by itself (an HTTP connection manager answers `400` to it): the application must
/// have seen the call.
fn answer(facts: &Facts<'_>) -> Option<Answer> {
    let Caller { http, tcp, .. } = &facts.evidence.caller;
    if let Some(http) = http {
        if facts.evidence.foreign_application {
            let is_theirs = passed_on(facts).unwrap_or_else(|| (200..300).contains(&http.status));
            return is_theirs.then_some(Answer::Good);
        }
        let answer = if http.status >= 400 {
            Answer::Error
        } else {
            Answer::Good
        };
        return http.from_application.then_some(answer);
    }
    let application = facts.evidence.application.as_ref()?;
    if facts.evidence.kind == CallKind::Mirrored {
        // What it answered is thrown away.
        return (application.requests > 0).then_some(Answer::Good);
    }
    (tcp.is_some() && application.requests > 0 && application.saw == Bytes::Line).then_some(Answer::Good)
}

/// Whether an answer is the application's own: the last sidecar on the way says that it came from behind it. `None`: it logs
/// nothing. What a sidecar makes up itself is no success then, unless a VirtualService answers in the application's stead.
fn passed_on(facts: &Facts<'_>) -> Option<bool> {
    let last = match (facts.server.proxy, facts.client.proxy) {
        (Some(_), _) => &facts.server,
        (None, Some(_)) => &facts.client,
        (None, None) => return Some(true),
    };
    let mut details = last
        .requests()
        .filter_map(|entry| entry.details.as_deref())
        .peekable();
    details.peek()?;
    Some(details.any(|it| it == "via_upstream"))
}

/// Whether the client's end spoke TLS on the connection that delivered.
fn client_view(facts: &Facts<'_>) -> Option<bool> {
    match facts.evidence.kind {
        CallKind::RawPlaintext => Some(false),
        CallKind::RawTls | CallKind::RawMtls => Some(true),
        CallKind::App | CallKind::Mirrored if facts.evidence.client_proxy.is_none() => Some(false),
        CallKind::App | CallKind::Mirrored => facts
            .client_entries()
            .iter()
            .find(|entry| entry.up_fail.is_none())
            .map(|entry| entry.up_tls.is_some())
            .filter(|is_tls| *is_tls || !facts.client.is_tls_unlogged())
            .or_else(|| {
                facts
                    .client
                    .moved_under("cluster.", ".ssl.handshake")
                    .then_some(true)
            }),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ServerView {
    /// TLS ended at the sidecar, which knows who the peer is.
    Identified,
    /// TLS ended at the sidecar without a client certificate.
    Anonymous,
    /// TLS ended at the sidecar, whose log does not say whether it knows the peer.
    Terminated,
    /// No sidecar, or it passed the bytes on as they were.
    NotTerminated,
    /// A sidecar that showed nothing of the call.
    Unseen,
}

fn server_view(facts: &Facts<'_>) -> ServerView {
    if facts.evidence.server_proxy.is_none() {
        return ServerView::NotTerminated;
    }
    // An entry with a reason from the handshake is of a refused attempt, whatever peer it names.
    let good = || facts.server_entries().filter(|entry| !handshake_failed(entry));
    if forwarded(facts, "URI=").is_some()
        || good().any(|entry| entry.tls.is_some() && entry.peer_uri.is_some())
    {
        ServerView::Identified
    } else if good().any(|entry| entry.tls.is_some()) {
        ServerView::Anonymous
    } else if facts.server.is_tls_unlogged() {
        // Only a ClientHello names a server, and an entry of what went through it is of TLS that ended here.
        match facts.server.requests().any(|entry| entry.sni.is_some()) {
            true => ServerView::Terminated,
            false => ServerView::Unseen,
        }
    } else if good().next().is_some() {
        ServerView::NotTerminated
    } else {
        ServerView::Unseen
    }
}

/// The form `TLS_error:` is of a handshake; the TLS inspector's `TLS_error|` is not.
fn handshake_failed(entry: &AccessLogEntry) -> bool {
    entry
        .down_fail
        .as_deref()
        .is_some_and(|reason| reason.starts_with("TLS_error:"))
}

fn peers(facts: &Facts<'_>) -> Peers {
    let raw = facts.evidence.caller.tls.as_ref();
    Peers {
        client: forwarded(facts, "URI=").or_else(|| {
            facts
                .server_entries()
                .filter(|entry| !handshake_failed(entry))
                .find_map(|entry| entry.peer_uri.clone())
        }),
        server: server_identity(facts),
        tls_version: raw.and_then(|tls| tls.version.clone()).or_else(|| {
            facts
                .client_entries()
                .iter()
                .find_map(|entry| entry.up_tls.clone())
        }),
        alpn: raw.and_then(|tls| tls.alpn.clone()),
    }
}

/// The server's identity as the client saw it.
pub(super) fn server_identity(facts: &Facts<'_>) -> Option<String> {
    let raw = facts.evidence.caller.tls.as_ref();
    raw.and_then(|tls| tls.peer_uris.first().cloned()).or_else(|| {
        facts
            .client_entries()
            .iter()
            .find_map(|entry| entry.up_peer_uri.clone())
    })
}

/// A key of the last element of `X-Forwarded-Client-Cert`, the one the server's own sidecar appended.
fn forwarded(facts: &Facts<'_>, key: &str) -> Option<String> {
    let header = facts
        .evidence
        .application
        .as_ref()?
        .forwarded_client_cert
        .as_deref()?;
    let element = header.rsplit(',').next().unwrap_or(header);
    element
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix(key))
        .map(str::to_owned)
}
