//! TCP, time, and secrets.

use super::*;

#[test]
fn a_refused_connection_is_told_from_a_proxy_that_waits_for_its_secret() {
    let refused = AccessLogEntry {
        up_fail: s("delayed_connect_error:_Connection_refused"),
        ..AccessLogEntry::default()
    };
    let plain = app_call(
        http(503, false),
        log(refused.clone()),
        Some(ProxyEvidence::default()),
    );
    assert_decided(&plain, Id::ConnectionRefused, Side::Server);
    let waiting = |secret: &str| {
        Some(ProxyEvidence {
            missing_secrets: vec![secret.to_owned()],
            ..ProxyEvidence::default()
        })
    };
    let evidence = app_call(http(503, false), log(refused.clone()), waiting("default"));
    assert_decided(&evidence, Id::NoCertificateYet, Side::Server);
    // A secret of some outbound cluster has no say in whether the inbound listener is up.
    let evidence = app_call(
        http(503, false),
        log(refused),
        waiting("file-cert:/etc/cert~/etc/key"),
    );
    assert_decided(&evidence, Id::ConnectionRefused, Side::Server);
    let own_sidecar_down = Caller {
        connect: Connect::Refused,
        ..Caller::default()
    };
    let evidence = app_call(own_sidecar_down, waiting("default"), None);
    assert_decided(&evidence, Id::NoCertificateYet, Side::Client);
}

#[test]
fn a_missing_secret_does_not_hide_what_an_end_said() {
    let mut evidence = app_call(
        http(503, false),
        log(closed_after_handshake()),
        listener(refused_by_server(VERIFY_FAILED)),
    );
    let server = evidence.server_proxy.as_mut().unwrap();
    server.debug_log = vec![EXPIRED_CA.to_owned()];
    server.missing_secrets = vec!["ROOTCA".to_owned()];
    assert_decided(&evidence, Id::CaExpired, Side::Server);
}

#[test]
fn a_timeout_is_split_only_by_the_caller_itself_or_by_the_servers_end() {
    let gave_up = AccessLogEntry {
        details: s("upstream_reset_before_response_started{connection_timeout}"),
        flags: s("URX,UF"),
        ..AccessLogEntry::default()
    };
    let alone = app_call(http(503, false), log(gave_up.clone()), None);
    assert_undecided(&alone, &[Id::HandshakeTimeout, Id::ConnectTimeout]);
    let accepted = app_call(
        http(503, false),
        log(gave_up),
        listener(AccessLogEntry::default()),
    );
    assert_decided(&accepted, Id::HandshakeTimeout, None);

    let dropped = Caller {
        connect: Connect::TimedOut,
        ..Caller::default()
    };
    assert_decided(
        &raw_call(CallKind::RawTls, dropped, None),
        Id::ConnectTimeout,
        None,
    );
    let silent = Caller {
        ended: Some(Ended::TimedOut),
        tls: Some(RawTls::default()),
        ..Caller::default()
    };
    assert_decided(
        &raw_call(CallKind::RawTls, silent, None),
        Id::HandshakeTimeout,
        None,
    );
}

#[test]
fn the_debug_log_tells_whether_tcp_came_up() {
    let gave_up = AccessLogEntry {
        details: s("upstream_reset_before_response_started{connection_timeout}"),
        flags: s("URX,UF"),
        ..AccessLogEntry::default()
    };
    let with = |lines: &[&str]| {
        let lines = lines
            .iter()
            .map(|line| format!("[Tags: \"ConnectionId\":\"3\"] {line}"));
        let mut evidence = app_call(http(503, false), log(gave_up.clone()), None);
        evidence.client_proxy.as_mut().unwrap().debug_log = lines.collect();
        evidence
    };
    let (tried, up) = ("connecting to 127.0.0.1:8080", "connected");
    assert_decided(&with(&[tried, tried, tried]), Id::ConnectTimeout, None);
    assert_decided(&with(&[tried, up, tried, up]), Id::HandshakeTimeout, None);
    for contradictory in [&[tried, tried, up][..], &[up]] {
        assert_undecided(&with(contradictory), &[Id::HandshakeTimeout, Id::ConnectTimeout]);
    }
}

#[test]
fn a_reset_is_only_called_so_when_all_evidence_is_in() {
    let reset = AccessLogEntry {
        details: s("upstream_reset_before_response_started{remote_connection_failure|TLS_error}"),
        up_fail: s(RESET),
        ..AccessLogEntry::default()
    };
    let mut evidence = app_call(http(503, false), log(reset), None);
    assert_decided(&evidence, Id::ConnectionReset, Side::Server);
    evidence.incomplete = s("listener log of payments/api");
    assert_eq!(classify(&evidence).id, Id::Unknown);
}

#[test]
fn a_stall_is_named_by_the_proxy_that_waited_and_by_nothing_less() {
    let waited = || Caller {
        ended: Some(Ended::TimedOut),
        ..Caller::default()
    };
    let inspecting = |listener: &str| ProxyEvidence {
        stats: [(
            format!("listener.{listener}.downstream_listener_filter_remote_close"),
            1,
        )]
        .into(),
        ..ProxyEvidence::default()
    };
    let of = |client, server| Evidence {
        payload: Payload::ServerFirst,
        ..app_call(waited(), client, server)
    };
    let (ours, theirs) = (inspecting("127.0.0.1_4711"), inspecting("0.0.0.0_15006"));
    for evidence in [
        of(Some(ours), Some(ProxyEvidence::default())),
        of(Some(ProxyEvidence::default()), Some(theirs.clone())),
        of(None, Some(theirs.clone())),
    ] {
        assert_decided(&evidence, Id::ServerFirstStall, None);
    }
    let nobody_waited = of(None, Some(ProxyEvidence::default()));
    let arrived = Evidence {
        application: Some(Application::default()),
        ..of(None, Some(theirs.clone()))
    };
    let client_first = Evidence {
        payload: Payload::Tcp,
        ..of(None, Some(theirs))
    };
    for evidence in [nobody_waited, arrived, client_first] {
        assert_ne!(classify(&evidence).id, Id::ServerFirstStall, "{evidence:?}");
    }
}
