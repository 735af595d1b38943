//! No rule decided: what it could have been, by what little shows.

use crate::outcome::{Outcome, OutcomeId};
use crate::probe::evidence::Ended;

use super::facts::Facts;
use super::refused::SERVER_REFUSALS;

/// The candidates, and what is missing.
pub(super) fn candidates(facts: &Facts<'_>) -> Outcome {
    use OutcomeId::{ConnectionReset, NoFilterChain, PlaintextToStrict, TlsToPlaintext};
    let (candidates, reason) = if client_shook_hands(facts) {
        (
            [SERVER_REFUSALS, &[ConnectionReset]].concat(),
            "the client's handshake succeeded, then the server closed; the server's end does not show why",
        )
    } else if closed_without_tls(facts) {
        (
            vec![PlaintextToStrict, ConnectionReset],
            "the server closed a plaintext connection and its end does not show why",
        )
    } else if never_came_up(facts) {
        (
            vec![TlsToPlaintext, NoFilterChain, ConnectionReset],
            "the server closed during the handshake and its end does not show why",
        )
    } else {
        (Vec::new(), "nothing in the evidence names a cause")
    };
    let reason = match &facts.evidence.incomplete {
        Some(missing) => format!("{reason} (evidence incomplete: {missing})"),
        None => reason.to_owned(),
    };
    Outcome::unknown(candidates, reason)
}

fn client_shook_hands(facts: &Facts<'_>) -> bool {
    let raw = facts
        .evidence
        .caller
        .tls
        .as_ref()
        .is_some_and(|tls| tls.handshake_completed);
    raw || facts.client_entries().iter().any(|entry| entry.up_tls.is_some())
        || facts.client.moved_under("cluster.", ".ssl.handshake")
}

fn closed_without_tls(facts: &Facts<'_>) -> bool {
    let proxied = facts.client_entries().iter().any(|entry| {
        entry
            .details
            .as_deref()
            .is_some_and(|details| details.contains("{connection_termination}"))
    });
    let dialled =
        facts.dialled_directly() && matches!(facts.evidence.caller.ended, Some(Ended::Closed | Ended::Reset));
    facts.sent_tls == Some(false) && (proxied || dialled)
}

fn never_came_up(facts: &Facts<'_>) -> bool {
    let proxied = facts.client_entries().iter().any(|entry| {
        entry
            .details
            .as_deref()
            .is_some_and(|details| details.contains("{remote_connection_failure"))
    });
    let dialled = facts.evidence.caller.tls.is_some() && facts.evidence.caller.ended.is_some();
    proxied || dialled
}
