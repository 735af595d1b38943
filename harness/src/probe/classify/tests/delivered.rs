//! Deliveries, and what only looks like one.

use super::*;

#[test]
fn mtls_needs_proof_from_both_ends() {
    let both = app_call(http(200, true), log(over_tls()), listener(terminated()));
    assert_decided(&both, Id::Mtls, None);
    let peers = classify(&both).peers.unwrap();
    assert_eq!((peers.client, peers.server), (s(CLIENT), s(SERVER)));

    let server_silent = app_call(http(200, true), log(over_tls()), Some(ProxyEvidence::default()));
    assert_undecided(&server_silent, &[Id::Mtls, Id::Tls]);
    let client_silent = app_call(
        http(200, true),
        Some(ProxyEvidence::default()),
        listener(terminated()),
    );
    assert_undecided(&client_silent, &[Id::Mtls, Id::Tls]);
    let no_sidecar = app_call(http(200, true), log(over_tls()), None);
    assert_decided(&no_sidecar, Id::Tls, None);
}

#[test]
fn a_refused_peers_uri_in_the_listener_log_is_no_proof() {
    let evidence = app_call(
        http(200, true),
        log(over_tls()),
        listener(refused_by_server(VERIFY_FAILED)),
    );
    assert_undecided(&evidence, &[Id::Mtls, Id::Tls]);
}

#[test]
fn what_the_tls_inspector_logs_on_a_permissive_port_is_no_failure() {
    let entry = AccessLogEntry {
        down_fail: s(INSPECTED),
        ..AccessLogEntry::default()
    };
    let plain = AccessLogEntry {
        up_tls: None,
        up_peer_uri: None,
        ..over_tls()
    };
    let delivered = app_call(http(200, true), log(plain), listener(entry.clone()));
    assert_decided(&delivered, Id::Plaintext, None);
    let raw = raw_call(CallKind::RawPlaintext, http(200, true), listener(entry));
    assert_decided(&raw, Id::Plaintext, None);
}

#[test]
fn a_delivery_outweighs_the_refused_attempts_before_it() {
    let mut evidence = app_call(http(200, true), log(over_tls()), listener(terminated()));
    let server = evidence.server_proxy.as_mut().unwrap();
    server.listener_log.insert(0, refused_by_server(VERIFY_FAILED));
    server.debug_log = vec![EXPIRED_CA.to_owned()];
    assert_decided(&evidence, Id::Mtls, None);
}

#[test]
fn an_application_that_answers_500_was_reached() {
    let evidence = app_call(http(500, true), log(over_tls()), listener(terminated()));
    assert_eq!(
        classify(&evidence),
        Outcome::of(Id::HttpError).over(Transport::Mtls)
    );
}

#[test]
fn a_line_over_tcp_that_a_proxy_made_up_is_no_delivery() {
    let caller = Caller {
        tcp: s("HTTP/1.1 400 Bad Request"),
        ..Caller::default()
    };
    let codec = AccessLogEntry {
        details: s("http1.codec_error"),
        flags: s("DPE"),
        ..AccessLogEntry::default()
    };
    let evidence = Evidence {
        payload: Payload::Tcp,
        ..app_call(caller, log(AccessLogEntry::default()), listener(codec))
    };
    assert_eq!(
        classify(&evidence),
        Outcome::refused(Id::ProtocolMismatch, Side::Server).over(Transport::Plaintext)
    );
}

#[test]
fn a_tcp_proxy_that_opened_the_applications_port_for_a_refused_client_delivered_nothing() {
    let caller = Caller {
        ended: Some(Ended::Closed),
        ..Caller::default()
    };
    let entry = AccessLogEntry {
        up_tls: s("TLSv1.3"),
        ..AccessLogEntry::default()
    };
    let mut evidence = Evidence {
        payload: Payload::Tcp,
        application: saw(Bytes::Line, 0),
        ..app_call(caller, log(entry), listener(refused_by_server(VERIFY_FAILED)))
    };
    evidence.server_proxy.as_mut().unwrap().debug_log = vec![EXPIRED_CA.to_owned()];
    assert_decided(&evidence, Id::CaExpired, Side::Server);
}

#[test]
fn a_line_that_an_http_application_did_not_understand_is_no_delivery() {
    let caller = Caller {
        tcp: s("HTTP/1.1 400 Bad Request"),
        ..Caller::default()
    };
    let evidence = Evidence {
        payload: Payload::Tcp,
        application: saw(Bytes::Line, 0),
        ..raw_call(CallKind::RawPlaintext, caller, None)
    };
    assert_eq!(
        classify(&evidence),
        Outcome::refused(Id::ProtocolMismatch, Side::Server).over(Transport::Plaintext)
    );
}
