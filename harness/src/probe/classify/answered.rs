//! A proxy, not the application, ended the call and said why in its access log.

use crate::outcome::{Outcome, OutcomeId, Side, Transport};
use crate::probe::evidence::{AccessLogEntry, Bytes};

use super::delivered::transport;
use super::facts::Facts;

/// istiod's name of the route that answers under REGISTRY_ONLY, and of the cluster that swallows TCP.
const BLOCK_ALL: &str = "block_all";
const BLACK_HOLE: &str = "BlackHoleCluster";

/// An AuthorizationPolicy denied the call at the server.
pub(super) fn access_denied(facts: &Facts<'_>) -> Option<Outcome> {
    let denied = |text: &Option<String>| {
        text.as_deref()
            .is_some_and(|text| text.starts_with("rbac_access_denied"))
    };
    facts
        .server_entries()
        .any(|entry| denied(&entry.details) || denied(&entry.termination))
        .then(|| {
            let outcome = Outcome::refused(OutcomeId::AccessDenied, Side::Server);
            match transport(facts) {
                Ok(transport) => outcome.over(transport),
                Err(_) => outcome,
            }
        })
}

/// The destination is not in the registry and the mesh lets nothing else out.
pub(super) fn egress_blocked(facts: &Facts<'_>) -> Option<Outcome> {
    let blocked = |entry: &AccessLogEntry| {
        entry.up_cluster.as_deref() == Some(BLACK_HOLE) || entry.route.as_deref() == Some(BLOCK_ALL)
    };
    let nameless = |entry: &AccessLogEntry| {
        entry.code == Some(502)
            && entry.details.as_deref() == Some("direct_response")
            && entry.route.is_none()
    };
    let entries = facts.client_entries();
    if entries.iter().any(blocked) {
        return Some(Outcome::refused(OutcomeId::EgressBlocked, Side::Client));
    }
    entries.iter().any(nameless).then(|| {
        Outcome::unknown(
            vec![OutcomeId::EgressBlocked],
            "the client's sidecar answered 502 by a route whose name was not logged",
        )
    })
}

/// The client's sidecar knows the service and has no endpoint to send to.
pub(super) fn no_healthy_upstream(facts: &Facts<'_>) -> Option<Outcome> {
    let said = client_said(facts, &["no_healthy_upstream"]);
    // Over TCP there is no detail, only a statistic beside the flag.
    let counted = facts.client.moved_under("cluster.", ".upstream_cx_none_healthy");
    (said || counted).then(|| Outcome::refused(OutcomeId::NoHealthyUpstream, Side::Client))
}

/// The client knows no host, route or cluster of that name.
pub(super) fn no_route(facts: &Facts<'_>) -> Option<Outcome> {
    client_said(facts, &["route_not_found", "cluster_not_found"])
        .then(|| Outcome::refused(OutcomeId::NoRoute, Side::Client))
}

/// The client's sidecar found no cluster, or no configuration to route by.
pub(super) fn client_lacks_cluster(facts: &Facts<'_>) -> bool {
    client_said(
        facts,
        &["cluster_not_found", "no_healthy_upstream", "route_not_found"],
    )
}

/// The application got bytes that its port does not speak, and no TLS around them that nobody terminated.
pub(super) fn not_understood_by_application(facts: &Facts<'_>) -> Option<Outcome> {
    let application = facts.evidence.application.as_ref()?;
    if application.requests > 0 || application.saw == Bytes::ClientHello {
        return None;
    }
    let mismatch = Outcome::refused(OutcomeId::ProtocolMismatch, Side::Server);
    Some(match transport(facts) {
        Ok(transport) => mismatch.over(transport),
        Err(_) => mismatch,
    })
}

/// An HTTP codec gave up on the bytes: they are not HTTP, or they are TLS that nobody terminated.
pub(super) fn codec_error(facts: &Facts<'_>) -> Option<Outcome> {
    use OutcomeId::{ProtocolMismatch, TlsToPlaintext};
    let failed = |entry: &&AccessLogEntry| {
        entry
            .details
            .as_deref()
            .is_some_and(|details| details.contains("codec_error"))
    };
    if let Some(entry) = facts.server_entries().find(failed) {
        let mismatch = Outcome::refused(ProtocolMismatch, Side::Server);
        return Some(match (&entry.tls, &entry.peer_uri, facts.sent_tls) {
            (Some(_), Some(_), _) => mismatch.over(Transport::Mtls),
            (Some(_), None, _) => mismatch.over(Transport::Tls),
            (None, _, Some(true)) => Outcome::refused(TlsToPlaintext, Side::Server),
            (None, _, Some(false)) => mismatch.over(Transport::Plaintext),
            (None, _, None) => Outcome::unknown(
                vec![TlsToPlaintext, ProtocolMismatch],
                "the server's HTTP codec refused bytes of which nothing shows whether they were TLS",
            ),
        });
    }
    facts
        .client_entries()
        .iter()
        .find(failed)
        .map(|_| Outcome::refused(ProtocolMismatch, Side::Client).over(Transport::Plaintext))
}

fn client_said(facts: &Facts<'_>, details: &[&str]) -> bool {
    facts
        .client_entries()
        .iter()
        .filter_map(|entry| entry.details.as_deref())
        .any(|said| details.contains(&said))
}
