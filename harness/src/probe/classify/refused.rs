//! TLS was refused: what each reason means, coming from the end that gave it.

use crate::outcome::{Outcome, OutcomeId, Side};
use crate::probe::evidence::AccessLogEntry;

use super::alert::Alert;
use super::delivered::server_identity;
use super::facts::{End, Facts};
use super::reason::{Reason, Verdict};

/// An end said in its own words why it refused.
pub(super) fn named(facts: &Facts<'_>) -> Option<Outcome> {
    let own = |end: &End<'_>| -> Vec<Outcome> {
        end.reasons
            .iter()
            .filter_map(|reason| meaning(facts, end.side, reason))
            .collect()
    };
    one_of(own(&facts.client).into_iter().chain(own(&facts.server)).collect())
}

/// An end refused the peer's certificate without naming the reason (Envoy before 1.37): its statistics and the alert
/// it sent say more.
pub(super) fn unnamed(facts: &Facts<'_>) -> Option<Outcome> {
    [Side::Client, Side::Server].into_iter().find_map(|side| {
        let end = facts.end(side);
        let refused = end.reasons.contains(&Reason::Verify(Verdict::Unnamed));
        if end.moved("ssl.fail_verify_san") {
            return Some(san(facts, side, None));
        }
        if end.moved("ssl.fail_verify_no_cert") {
            return Some(Outcome::refused(OutcomeId::NoClientCertificate, side));
        }
        let chain_refused = end.moved("ssl.fail_verify_error");
        if !refused && !chain_refused {
            return None;
        }
        let told = facts.end(other(side)).alerts.first().copied();
        Some(told.map_or_else(
            || Outcome::unknown(verification_candidates(side, chain_refused), unnamed_reason(end)),
            |alert| from_alert(facts, side, alert),
        ))
    })
}

/// One end received an alert and the sender's own words are missing.
pub(super) fn alerted(facts: &Facts<'_>) -> Option<Outcome> {
    let told = |end: &End<'_>| -> Vec<Outcome> {
        end.alerts
            .iter()
            .map(|alert| from_alert(facts, other(end.side), *alert))
            .collect()
    };
    one_of(
        told(&facts.client)
            .into_iter()
            .chain(told(&facts.server))
            .collect(),
    )
}

/// What the server may have refused after the client's own handshake had succeeded, as in TLS 1.3.
pub(super) const SERVER_REFUSALS: &[OutcomeId] = &[
    OutcomeId::SanMismatch,
    OutcomeId::TrustDomainMismatch,
    OutcomeId::UntrustedRoot,
    OutcomeId::CertificateExpired,
    OutcomeId::CertificateNotYetValid,
    OutcomeId::CertificateRevoked,
    OutcomeId::CrlUnavailable,
    OutcomeId::CaExpired,
    OutcomeId::NoClientCertificate,
    OutcomeId::BadKeyUsage,
];

/// What `reason` means when the end on `side` gives it; `None` where it does not decide by itself.
fn meaning(facts: &Facts<'_>, side: Side, reason: &Reason) -> Option<Outcome> {
    use OutcomeId as Id;
    let id = match reason {
        Reason::Verify(verdict) => return verification(facts, side, verdict),
        Reason::NoPeerCertificate => Id::NoClientCertificate,
        Reason::KeyUsage => Id::BadKeyUsage,
        Reason::Version => Id::TlsVersionMismatch,
        Reason::Group => Id::TlsGroupMismatch,
        Reason::Cipher => return Some(cipher(facts, side)),
        Reason::SecretMissing => Id::NoCertificateYet,
        // The client waited for a ServerHello: whoever answered does not speak TLS.
        Reason::NotTls if side == Side::Client => {
            return Some(Outcome::refused(Id::TlsToPlaintext, Side::Server));
        }
        // The server waited for a ClientHello on a chain that the TLS inspector did not guard.
        Reason::NotTls | Reason::PlaintextRequest if side == Side::Server && facts.sent_tls != Some(true) => {
            Id::PlaintextToStrict
        }
        Reason::NotTls
        | Reason::PlaintextRequest
        | Reason::Alert(_)
        | Reason::Reset
        | Reason::Refused
        | Reason::InspectedPlaintext => return None,
    };
    Some(Outcome::refused(id, side))
}

fn verification(facts: &Facts<'_>, side: Side, verdict: &Verdict) -> Option<Outcome> {
    use OutcomeId as Id;
    let id = match verdict {
        Verdict::Expired { depth: Some(0) } => Id::CertificateExpired,
        Verdict::Expired { depth: Some(_) } => Id::CaExpired,
        Verdict::Expired { depth: None } => {
            return Some(Outcome::unknown(
                vec![Id::CertificateExpired, Id::CaExpired],
                "the verifier does not say which certificate of the chain has expired",
            ));
        }
        Verdict::NotYetValid => Id::CertificateNotYetValid,
        Verdict::Untrusted => Id::UntrustedRoot,
        Verdict::Purpose => Id::BadKeyUsage,
        Verdict::Revoked => Id::CertificateRevoked,
        Verdict::Crl => Id::CrlUnavailable,
        Verdict::San { presented } => return Some(san(facts, side, presented.as_deref())),
        Verdict::Pin => {
            return Some(Outcome::unknown(
                Vec::new(),
                "a certificate pin does not match; istiod configures none and there is no outcome for it",
            ));
        }
        Verdict::Unnamed => return None,
    };
    Some(Outcome::refused(id, side))
}

/// A SAN did not match. On the server's side it matters whether the client's trust domain is accepted at all.
fn san(facts: &Facts<'_>, side: Side, presented: Option<&[String]>) -> Outcome {
    if side == Side::Client {
        return Outcome::refused(OutcomeId::SanMismatch, side);
    }
    let Some(presented) = presented
        .map(<[String]>::to_vec)
        .or_else(|| uris_of_refused_peer(facts))
    else {
        return san_undecided("which identity the server refused is not in the evidence");
    };
    let domains: Vec<&str> = presented.iter().filter_map(|uri| trust_domain(uri)).collect();
    if domains.is_empty() {
        return Outcome::refused(OutcomeId::SanMismatch, side);
    }
    let accepted = accepted_trust_domains(facts);
    if accepted.is_empty() {
        return san_undecided("which trust domains the server accepts is not in the evidence");
    }
    let id = if domains
        .iter()
        .any(|domain| accepted.iter().any(|known| known == domain))
    {
        OutcomeId::SanMismatch
    } else {
        OutcomeId::TrustDomainMismatch
    };
    Outcome::refused(id, side)
}

fn san_undecided(reason: &str) -> Outcome {
    Outcome::unknown(
        vec![OutcomeId::SanMismatch, OutcomeId::TrustDomainMismatch],
        reason,
    )
}

/// The peer URIs of connections that failed in verification. Envoy fills the field for refused peers too, so an entry
/// without one is of a peer without a URI.
fn uris_of_refused_peer(facts: &Facts<'_>) -> Option<Vec<String>> {
    let refused = |entry: &&AccessLogEntry| {
        entry
            .down_fail
            .as_deref()
            .and_then(Reason::from_envoy)
            .is_some_and(|reason| matches!(reason, Reason::Verify(_)))
    };
    let mut entries = facts.server_entries().filter(refused).peekable();
    entries.peek()?;
    Some(
        entries
            .filter_map(|entry| entry.peer_uri.as_deref())
            .flat_map(|uris| uris.split(','))
            .map(str::to_owned)
            .collect(),
    )
}

fn accepted_trust_domains(facts: &Facts<'_>) -> Vec<String> {
    let proxy = facts.server.proxy;
    if let Some(proxy) = proxy.filter(|proxy| !proxy.accepted_trust_domains.is_empty()) {
        return proxy.accepted_trust_domains.clone();
    }
    let own = proxy
        .into_iter()
        .flat_map(|proxy| &proxy.certificates)
        .filter(|certificate| certificate.role == "leaf")
        .flat_map(|certificate| certificate.uris.iter().cloned());
    own.chain(server_identity(facts))
        .filter_map(|uri| trust_domain(&uri).map(str::to_owned))
        .collect()
}

fn trust_domain(uri: &str) -> Option<&str> {
    uri.strip_prefix("spiffe://")?.split('/').next()
}

/// BoringSSL under TLS 1.2 chooses cipher, group and key type in one step and reports them alike.
fn cipher(facts: &Facts<'_>, side: Side) -> Outcome {
    let modern = side == Side::Server
        && facts.server_entries().any(|entry| {
            entry.tls.as_deref() == Some("TLSv1.3")
                && entry.down_fail.as_deref().and_then(Reason::from_envoy) == Some(Reason::Cipher)
        });
    if modern {
        return Outcome::refused(OutcomeId::TlsCipherMismatch, side);
    }
    Outcome::unknown(
        vec![OutcomeId::TlsCipherMismatch, OutcomeId::TlsGroupMismatch],
        "under TLS 1.2 a missing common cipher suite and a missing common group read alike",
    )
}

/// What `refuser` meant by an alert.
fn from_alert(facts: &Facts<'_>, refuser: Side, alert: Alert) -> Outcome {
    if alert == Alert::CertificateUnknown && facts.end(refuser).moved("ssl.fail_verify_san") {
        return san(facts, refuser, None);
    }
    let meanings = alert.meanings();
    if let ([id], true) = (meanings, alert.is_conclusive()) {
        return Outcome::refused(*id, refuser);
    }
    let only_servers = |id: &OutcomeId| {
        matches!(
            id,
            OutcomeId::TrustDomainMismatch | OutcomeId::NoClientCertificate
        )
    };
    let candidates = meanings
        .iter()
        .filter(|id| refuser == Side::Server || !only_servers(id))
        .copied()
        .collect();
    Outcome::unknown(
        candidates,
        format!(
            "the {refuser} sent the alert {}, which has more than one cause; {}",
            alert.rfc_name(),
            unnamed_reason(facts.end(refuser)),
        ),
    )
}

/// Why an end's own words are missing, by version.
fn unnamed_reason(end: &End<'_>) -> String {
    let side = end.side;
    match end.proxy.and_then(|proxy| proxy.envoy.as_ref()) {
        Some(version) if (version.major, version.minor) < (1, 37) => format!(
            "the {side}'s Envoy {version} names the verification error only in its connection debug log, which is not there"
        ),
        Some(version) => format!("the {side}'s Envoy {version} did not name it in its logs"),
        None => format!("the {side} has no logs"),
    }
}

fn verification_candidates(side: Side, chain_refused: bool) -> Vec<OutcomeId> {
    SERVER_REFUSALS
        .iter()
        .copied()
        .filter(|id| match id {
            OutcomeId::NoClientCertificate => false,
            OutcomeId::TrustDomainMismatch => side == Side::Server && !chain_refused,
            OutcomeId::SanMismatch => !chain_refused,
            _ => true,
        })
        .collect()
}

/// The one outcome that all attempts share; where they differ, all of them.
fn one_of(outcomes: Vec<Outcome>) -> Option<Outcome> {
    let (first, rest) = outcomes.split_first()?;
    if rest.iter().all(|outcome| outcome.agrees_with(first)) {
        return Some(first.clone());
    }
    let candidates = outcomes.iter().flat_map(Outcome::possible).copied().collect();
    Some(Outcome::unknown(candidates, "attempts ended differently"))
}

const fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}
