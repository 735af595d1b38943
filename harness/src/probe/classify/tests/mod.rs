//! The traps: evidence that looks like one outcome and is of another.

mod below_tls;
mod delivered;
mod foreign;
mod refused;

use std::collections::BTreeMap;

use super::*;
use crate::call::{CallKind, Payload};
use crate::outcome::{OutcomeId as Id, Side, Transport};
use crate::probe::evidence::{
    AccessLogEntry, Application, Bytes, Caller, CertificateInUse, Connect, Ended, HttpAnswer, ProxyEvidence,
    RawTls,
};

const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/frontend";
const SERVER: &str = "spiffe://cluster.local/ns/payments/sa/api";
const VERIFY_FAILED: &str =
    "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end";
const EXPIRED_CA: &str = "verify cert failed: X509_verify_cert: certificate verification error at depth 1: certificate has expired";
const INSPECTED: &str = "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end";
const RESET: &str =
    "TLS_error:|33554536:system_library:OPENSSL_internal:Connection_reset_by_peer:TLS_error_end";

fn s(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn http(status: u16, from_application: bool) -> Caller {
    Caller {
        http: Some(HttpAnswer {
            status,
            from_application,
            ..HttpAnswer::default()
        }),
        ..Caller::default()
    }
}

/// What a client sidecar logs of a call that came through TLS.
fn over_tls() -> AccessLogEntry {
    AccessLogEntry {
        code: Some(200),
        details: s("via_upstream"),
        up_tls: s("TLSv1.3"),
        up_peer_uri: s(SERVER),
        ..AccessLogEntry::default()
    }
}

/// What a server sidecar logs of a connection on which it terminated mTLS.
fn terminated() -> AccessLogEntry {
    AccessLogEntry {
        tls: s("TLSv1.3"),
        peer_uri: s(CLIENT),
        ..AccessLogEntry::default()
    }
}

/// What a client sidecar logs when the server closes before it answers.
fn closed_by_server() -> AccessLogEntry {
    AccessLogEntry {
        code: Some(503),
        details: s("upstream_reset_before_response_started{connection_termination}"),
        flags: s("UC"),
        ..AccessLogEntry::default()
    }
}

/// The same after a TLS 1.3 handshake that succeeded on the client's end.
fn closed_after_handshake() -> AccessLogEntry {
    AccessLogEntry {
        up_tls: s("TLSv1.3"),
        up_peer_uri: s(SERVER),
        ..closed_by_server()
    }
}

fn refused_by_server(reason: &str) -> AccessLogEntry {
    AccessLogEntry {
        down_fail: s(reason),
        ..terminated()
    }
}

fn no_chain() -> AccessLogEntry {
    AccessLogEntry {
        details: s("filter_chain_not_found"),
        flags: s("NR"),
        ..AccessLogEntry::default()
    }
}

fn log(entry: AccessLogEntry) -> Option<ProxyEvidence> {
    Some(ProxyEvidence {
        access_log: vec![entry],
        ..ProxyEvidence::default()
    })
}

fn listener(entry: AccessLogEntry) -> Option<ProxyEvidence> {
    Some(ProxyEvidence {
        listener_log: vec![entry],
        ..ProxyEvidence::default()
    })
}

fn app_call(caller: Caller, client: Option<ProxyEvidence>, server: Option<ProxyEvidence>) -> Evidence {
    Evidence {
        caller,
        client_proxy: client,
        server_proxy: server,
        ..Evidence::default()
    }
}

fn raw_call(kind: CallKind, caller: Caller, server: Option<ProxyEvidence>) -> Evidence {
    Evidence {
        kind,
        ..app_call(caller, None, server)
    }
}

fn saw(bytes: Bytes, requests: u32) -> Option<Application> {
    Some(Application {
        port: None,
        saw: bytes,
        requests,
        forwarded_client_cert: None,
    })
}

#[track_caller]
fn assert_decided(evidence: &Evidence, id: Id, side: impl Into<Option<Side>>) {
    let (outcome, rule) = explain(evidence);
    assert_eq!(
        (outcome.id, outcome.side),
        (id, side.into()),
        "rule {rule}: {outcome:?}"
    );
}

#[track_caller]
fn assert_undecided(evidence: &Evidence, candidates: &[Id]) {
    let (outcome, rule) = explain(evidence);
    assert_eq!(
        (outcome.id, outcome.side),
        (Id::Unknown, None),
        "rule {rule}: {outcome:?}"
    );
    assert_eq!(
        outcome.candidates, candidates,
        "rule {rule}: {:?}",
        outcome.reason
    );
    assert!(outcome.reason.is_some_and(|reason| !reason.is_empty()));
}

#[test]
fn response_flags_alone_decide_nothing() {
    for flags in ["UC", "UF", "URX,UF", "UF,URX", "UH", "NR", "NC", "DPE", "UR"] {
        let entry = AccessLogEntry {
            flags: s(flags),
            code: Some(503),
            ..AccessLogEntry::default()
        };
        let (outcome, rule) = explain(&app_call(http(503, false), log(entry), None));
        assert_eq!((outcome.id, rule), (Id::Unknown, "undecided"), "{flags}");
    }
}

#[test]
fn a_body_that_names_a_reason_decides_nothing() {
    let mut evidence = app_call(http(503, false), log(closed_after_handshake()), None);
    evidence.caller.http.as_mut().unwrap().body = format!("transport failure reason: {EXPIRED_CA}");
    assert_eq!(classify(&evidence).id, Id::Unknown);
}

#[test]
fn no_evidence_is_no_outcome() {
    assert_undecided(&Evidence::default(), &[]);
}

#[test]
fn rule_names_are_unique() {
    let mut names: Vec<_> = RULES.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}
