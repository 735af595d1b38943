//! What is below TLS, decided by a second call past the caller's sidecar: to a sidecar's log a dropped SYN and a port that is
//! silent look the same, to who dials himself they do not.

use crate::call::{Call, CallKind};
use crate::outcome::{Outcome, OutcomeId};

/// What such a call decides.
const BENEATH: [OutcomeId; 3] = [
    OutcomeId::ConnectTimeout,
    OutcomeId::HandshakeTimeout,
    OutcomeId::ConnectionRefused,
];

/// Whether it would decide what became of another.
#[must_use]
pub fn is_open_beneath(outcome: &Outcome) -> bool {
    outcome.id == OutcomeId::Unknown && outcome.candidates.iter().any(|it| BENEATH.contains(it))
}

/// The same call past its sidecar: TLS without a certificate, and without the caller's own rules.
#[must_use]
pub fn beneath(call: &Call) -> Call {
    Call {
        kind: CallKind::RawTls,
        subset: None,
        ..call.clone()
    }
}

/// What became of a call, with what became of the one beneath it.
#[must_use]
pub fn narrowed(outcome: Outcome, beneath: &Outcome) -> Outcome {
    let decides = BENEATH.contains(&beneath.id) && outcome.candidates.contains(&beneath.id);
    match decides && outcome.id == OutcomeId::Unknown {
        true => beneath.clone(),
        false => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_beneath_decides_only_what_was_open() {
        let open = Outcome::unknown(
            vec![OutcomeId::HandshakeTimeout, OutcomeId::ConnectTimeout],
            "the log shows neither",
        );
        assert!(is_open_beneath(&open));
        let silent = Outcome::of(OutcomeId::HandshakeTimeout);
        assert_eq!(narrowed(open.clone(), &silent), silent);
        // That a server wants a certificate is no answer to why a sidecar's call timed out.
        let other = Outcome::of(OutcomeId::NoClientCertificate);
        assert_eq!(narrowed(open.clone(), &other), open);
        let named = Outcome::of(OutcomeId::UntrustedRoot);
        assert!(!is_open_beneath(&named));
        assert_eq!(narrowed(named.clone(), &silent), named);
    }
}
