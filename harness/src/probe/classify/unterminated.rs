//! The server's end has nobody for these bytes: no filter chain, or no TLS on the way to the application.

use crate::outcome::{Outcome, OutcomeId, Side};
use crate::probe::evidence::Bytes;

use super::facts::Facts;

/// The application itself got a ClientHello.
pub(super) fn client_hello_at_application(facts: &Facts<'_>) -> Option<Outcome> {
    facts
        .evidence
        .application
        .as_ref()
        .filter(|application| application.saw == Bytes::ClientHello)
        .map(|_| Outcome::refused(OutcomeId::TlsToPlaintext, Side::Server))
}

/// The server's listener found no filter chain. What was sent tells which of the two outcomes it is.
pub(super) fn no_filter_chain(facts: &Facts<'_>) -> Option<Outcome> {
    use OutcomeId::{NoFilterChain, PlaintextToStrict};
    let logged = facts
        .server_entries()
        .any(|entry| entry.details.as_deref() == Some("filter_chain_not_found"));
    if !logged && !facts.server.moved("no_filter_chain_match") {
        return None;
    }
    Some(match facts.sent_tls {
        Some(true) => Outcome::refused(NoFilterChain, Side::Server),
        Some(false) => Outcome::refused(PlaintextToStrict, Side::Server),
        None => Outcome::unknown(
            vec![PlaintextToStrict, NoFilterChain],
            "the server has no filter chain for bytes of which nothing shows whether they were TLS",
        ),
    })
}
