//! Refusals that look alike from one end.

use super::*;

#[test]
fn without_the_servers_end_a_tls13_refusal_has_every_server_side_candidate() {
    let evidence = app_call(http(503, false), log(closed_after_handshake()), None);
    let outcome = classify(&evidence);
    assert_eq!((outcome.id, outcome.side), (Id::Unknown, None));
    for id in [
        Id::CertificateExpired,
        Id::NoClientCertificate,
        Id::TrustDomainMismatch,
        Id::ConnectionReset,
    ] {
        assert!(outcome.candidates.contains(&id), "{outcome}");
    }
    assert!(!outcome.candidates.contains(&Id::PlaintextToStrict));
}

#[test]
fn without_the_servers_end_a_closed_plaintext_connection_is_not_called_strict() {
    let evidence = app_call(http(503, false), log(closed_by_server()), None);
    assert_undecided(&evidence, &[Id::PlaintextToStrict, Id::ConnectionReset]);
}

#[test]
fn one_client_log_line_is_of_two_faults_and_the_server_tells_which() {
    let plaintext = app_call(http(503, false), log(closed_by_server()), listener(no_chain()));
    assert_decided(&plaintext, Id::PlaintextToStrict, Side::Server);
    let certificate = app_call(
        http(503, false),
        log(closed_after_handshake()),
        listener(refused_by_server(&VERIFY_FAILED.replace(":TLS_error_end", ":verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:_certificate_has_expired:TLS_error_end"))),
    );
    assert_decided(&certificate, Id::CertificateExpired, Side::Server);
}

#[test]
fn no_filter_chain_for_tls_bytes_is_not_plaintext_to_strict() {
    let reset = AccessLogEntry {
        up_fail: s(RESET),
        flags: s("URX,UF"),
        ..AccessLogEntry::default()
    };
    let app = app_call(http(503, false), log(reset), listener(no_chain()));
    assert_decided(&app, Id::NoFilterChain, Side::Server);

    let ended = Caller {
        ended: Some(Ended::Reset),
        tls: Some(RawTls::default()),
        ..Caller::default()
    };
    assert_decided(
        &raw_call(CallKind::RawTls, ended.clone(), listener(no_chain())),
        Id::NoFilterChain,
        Side::Server,
    );
    let plain = Caller { tls: None, ..ended };
    assert_decided(
        &raw_call(CallKind::RawPlaintext, plain.clone(), listener(no_chain())),
        Id::PlaintextToStrict,
        Side::Server,
    );
    assert_decided(
        &app_call(plain, None, listener(no_chain())),
        Id::PlaintextToStrict,
        Side::Server,
    );
}

#[test]
fn no_filter_chain_without_a_sign_of_the_bytes_is_undecided() {
    let evidence = app_call(
        http(503, false),
        Some(ProxyEvidence::default()),
        listener(no_chain()),
    );
    assert_undecided(&evidence, &[Id::PlaintextToStrict, Id::NoFilterChain]);
}

#[test]
fn a_real_mesh_without_our_logs_is_decided_by_statistics() {
    let server = ProxyEvidence {
        stats: BTreeMap::from([("listener.0.0.0.0_15006.no_filter_chain_match".to_owned(), 1)]),
        ..ProxyEvidence::default()
    };
    let evidence = app_call(http(503, false), log(closed_by_server()), Some(server));
    assert_decided(&evidence, Id::PlaintextToStrict, Side::Server);
}

#[test]
fn the_alert_for_expiry_leaves_depth_and_direction_of_time_open() {
    let caller = Caller {
        ended: Some(Ended::Closed),
        tls: Some(RawTls {
            handshake_completed: true,
            alert_received: s("certificate_expired"),
            ..RawTls::default()
        }),
        ..Caller::default()
    };
    let evidence = raw_call(
        CallKind::RawMtls,
        caller,
        listener(refused_by_server(VERIFY_FAILED)),
    );
    assert_undecided(
        &evidence,
        &[
            Id::CertificateExpired,
            Id::CertificateNotYetValid,
            Id::CrlUnavailable,
            Id::CaExpired,
        ],
    );
}

#[test]
fn alerts_that_have_one_cause_decide_for_the_end_that_sent_them() {
    for (alert, id) in [
        ("certificate_required", Id::NoClientCertificate),
        ("certificate_revoked", Id::CertificateRevoked),
        ("protocol_version", Id::TlsVersionMismatch),
        ("unsupported_certificate", Id::BadKeyUsage),
    ] {
        let caller = Caller {
            ended: Some(Ended::Closed),
            tls: Some(RawTls {
                alert_received: s(alert),
                ..RawTls::default()
            }),
            ..Caller::default()
        };
        assert_decided(&raw_call(CallKind::RawMtls, caller, None), id, Side::Server);
    }
}

#[test]
fn a_raw_caller_that_got_no_tls_records_met_plaintext() {
    let caller = Caller {
        ended: Some(Ended::Closed),
        tls: Some(RawTls {
            error: s("received corrupt message of type InvalidContentType"),
            ..RawTls::default()
        }),
        ..Caller::default()
    };
    for kind in [CallKind::RawTls, CallKind::RawMtls] {
        assert_decided(
            &raw_call(kind, caller.clone(), None),
            Id::TlsToPlaintext,
            Side::Server,
        );
    }
}

#[test]
fn an_application_that_got_a_client_hello_and_closed_speaks_no_tls() {
    let closed = AccessLogEntry {
        details: s("upstream_reset_before_response_started{remote_connection_failure}"),
        flags: s("URX,UF"),
        ..AccessLogEntry::default()
    };
    let mut evidence = app_call(http(503, false), log(closed), None);
    assert_undecided(
        &evidence,
        &[Id::TlsToPlaintext, Id::ConnectionReset, Id::NoFilterChain],
    );
    evidence.application = saw(Bytes::ClientHello, 0);
    assert_decided(&evidence, Id::TlsToPlaintext, Side::Server);
}

#[test]
fn the_servers_san_refusal_turns_on_the_trust_domain_of_the_peer() {
    let refused = |uri: Option<&str>, own: &[&str], accepted: &[&str]| {
        let entry = AccessLogEntry {
            peer_uri: uri.map(str::to_owned),
            ..refused_by_server(VERIFY_FAILED)
        };
        let server = ProxyEvidence {
            listener_log: vec![entry],
            stats: BTreeMap::from([("listener.0.0.0.0_15006.ssl.fail_verify_san".to_owned(), 1)]),
            certificates: vec![CertificateInUse {
                role: "leaf".to_owned(),
                uris: own.iter().map(|uri| (*uri).to_owned()).collect(),
                ..CertificateInUse::default()
            }],
            accepted_trust_domains: accepted.iter().map(|domain| (*domain).to_owned()).collect(),
            ..ProxyEvidence::default()
        };
        raw_call(CallKind::RawMtls, Caller::default(), Some(server))
    };
    let foreign = Some("spiffe://evil.example/ns/shop/sa/frontend");
    let dotted = Some("spiffe://cluster.local./ns/shop/sa/frontend");
    let dotted_server = "spiffe://cluster.local./ns/payments/sa/api";
    assert_decided(
        &refused(foreign, &[SERVER], &[]),
        Id::TrustDomainMismatch,
        Side::Server,
    );
    assert_decided(
        &refused(Some(CLIENT), &[SERVER], &[]),
        Id::SanMismatch,
        Side::Server,
    );
    assert_decided(&refused(None, &[SERVER], &[]), Id::SanMismatch, Side::Server);
    // What the listener accepts outweighs what its own certificate happens to say.
    assert_decided(
        &refused(dotted, &[dotted_server], &["cluster.local"]),
        Id::TrustDomainMismatch,
        Side::Server,
    );
    assert_undecided(
        &refused(foreign, &[], &[]),
        &[Id::SanMismatch, Id::TrustDomainMismatch],
    );
}

#[test]
fn attempts_that_ended_differently_are_not_merged_into_one_outcome() {
    let depth_0 = EXPIRED_CA.replace("depth 1", "depth 0");
    let mut evidence = app_call(
        http(503, false),
        log(closed_after_handshake()),
        listener(refused_by_server(VERIFY_FAILED)),
    );
    evidence.server_proxy.as_mut().unwrap().debug_log = vec![EXPIRED_CA.to_owned(), depth_0];
    assert_undecided(&evidence, &[Id::CertificateExpired, Id::CaExpired]);
}
