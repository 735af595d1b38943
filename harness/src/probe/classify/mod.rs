//! From [`Evidence`] to [`Outcome`]: a pure function that knows neither what was expected nor what was predicted.
//!
//! An ordered list of rules (`RULES`) is read from top to bottom and the first that applies decides. What the order rests on:
//!
//! - A delivery outweighs every failure, because retries leave the traces of refused attempts behind.
//! - What an end says in its own words outweighs what it only made the other end notice. In TLS 1.3 a client finishes
//!   its handshake before the server judges it, so the client of a refused call logs a closed connection and nothing
//!   else; the server's listener log or, before Envoy 1.37, its connection debug log tells why.
//! - Response bodies, response flags and filter chain names decide nothing: they changed between Envoy versions, are
//!   empty for such refusals, or are shared by TLS and plaintext.
//! - What does not decide becomes `unknown` with its candidates, never a guess.
//!
//! One outcome of the vocabulary is never given here: `misrouted` needs to know which port was meant.

mod alert;
mod answered;
mod below_tls;
mod delivered;
mod facts;
mod reason;
mod refused;
mod undecided;
mod unterminated;

use crate::outcome::Outcome;

use super::evidence::Evidence;
use facts::Facts;

/// A named rule: the outcome, where it applies.
type Rule = (&'static str, fn(&Facts<'_>) -> Option<Outcome>);

/// In order of precedence.
const RULES: &[Rule] = &[
    ("delivered", delivered::answered),
    ("access-denied", answered::access_denied),
    ("named-refusal", refused::named),
    (
        "client-hello-at-application",
        unterminated::client_hello_at_application,
    ),
    (
        "not-understood-by-application",
        answered::not_understood_by_application,
    ),
    ("no-filter-chain", unterminated::no_filter_chain),
    ("codec-error", answered::codec_error),
    ("unnamed-refusal", refused::unnamed),
    ("alert", refused::alerted),
    ("waiting-for-secret", below_tls::waiting_for_secret),
    ("egress-blocked", answered::egress_blocked),
    ("no-healthy-upstream", answered::no_healthy_upstream),
    ("no-route", answered::no_route),
    ("connection-refused", below_tls::connection_refused),
    ("server-first-stall", below_tls::server_first_stall),
    ("timed-out", below_tls::timed_out),
    ("connection-reset", below_tls::connection_reset),
];

/// What became of the call.
#[must_use]
pub fn classify(evidence: &Evidence) -> Outcome {
    explain(evidence).0
}

/// What became of the call, and the name of the rule that decided; `undecided` where none did.
#[must_use]
pub fn explain(evidence: &Evidence) -> (Outcome, &'static str) {
    let facts = Facts::of(evidence);
    RULES
        .iter()
        .find_map(|(name, rule)| Some((rule(&facts)?, *name)))
        .unwrap_or_else(|| (undecided::candidates(&facts), "undecided"))
}

#[cfg(test)]
mod tests;
