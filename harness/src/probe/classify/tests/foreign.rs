//! Calls to applications that are not ours, in a mesh that logs in Istio's own formats: what a field does not say is no sign.

use super::*;

fn logged(details: &str) -> AccessLogEntry {
    AccessLogEntry {
        code: Some(404),
        details: s(details),
        ..AccessLogEntry::default()
    }
}

fn istio(entries: Vec<AccessLogEntry>) -> Option<ProxyEvidence> {
    Some(ProxyEvidence {
        tls_unlogged: true,
        access_log: entries,
        ..ProxyEvidence::default()
    })
}

fn foreign(status: u16, client: Option<ProxyEvidence>, server: Option<ProxyEvidence>) -> Outcome {
    classify(&Evidence {
        kind: CallKind::App,
        payload: Payload::Http,
        foreign_application: true,
        caller: http(status, false),
        client_proxy: client,
        server_proxy: server,
        ..Evidence::default()
    })
}

#[test]
fn an_answer_that_came_through_both_sidecars_is_the_applications_and_its_status_its_own_affair() {
    let named = AccessLogEntry {
        sni: s("outbound_.8080_._.payment.payments.svc.cluster.local"),
        ..logged("via_upstream")
    };
    let outcome = foreign(404, istio(vec![logged("via_upstream")]), istio(vec![named]));
    assert_eq!(
        (outcome.id, outcome.candidates),
        (Id::Unknown, vec![Id::Mtls, Id::Tls])
    );
    let bare = istio(vec![logged("via_upstream")]);
    let outcome = foreign(200, istio(vec![logged("via_upstream")]), bare);
    assert_eq!(outcome.candidates, [Id::Mtls, Id::Tls, Id::Plaintext]);
}

#[test]
fn without_sidecars_every_answer_is_the_applications_and_plain() {
    assert_eq!(foreign(404, None, None).id, Id::Plaintext);
}

#[test]
fn where_nothing_is_logged_only_success_is_the_applications() {
    let outcome = foreign(200, istio(Vec::new()), istio(Vec::new()));
    assert_eq!(outcome.candidates, [Id::Mtls, Id::Tls, Id::Plaintext]);
    // A sidecar without a route says the same as an application without the path.
    let outcome = foreign(404, istio(Vec::new()), istio(Vec::new()));
    assert_eq!((outcome.id, outcome.candidates), (Id::Unknown, Vec::new()));
}

#[test]
fn an_answer_that_a_sidecar_made_up_is_no_delivery() {
    // The server's sidecar answered 503 itself: to the client's it came from upstream.
    let own = istio(vec![logged(
        "upstream_reset_before_response_started{remote_connection_failure}",
    )]);
    let outcome = foreign(503, istio(vec![logged("via_upstream")]), own);
    assert!(!outcome.id.is_delivered(), "{outcome}");
    assert!(
        !outcome.candidates.iter().any(|it| it.is_delivered()),
        "{outcome}"
    );
    let nobody = istio(vec![logged("no_healthy_upstream")]);
    assert_eq!(foreign(503, nobody, istio(Vec::new())).id, Id::NoHealthyUpstream);
}

#[test]
fn a_connection_without_a_server_name_for_which_there_is_no_chain_was_plaintext() {
    let closed = logged("upstream_reset_before_response_started{connection_termination}");
    let server = |sni: Option<String>| {
        Some(ProxyEvidence {
            tls_unlogged: true,
            listener_log: vec![AccessLogEntry {
                sni,
                ..logged("filter_chain_not_found")
            }],
            ..ProxyEvidence::default()
        })
    };
    let plain = foreign(503, istio(vec![closed.clone()]), server(None));
    assert_eq!(
        (plain.id, plain.side),
        (Id::PlaintextToStrict, Some(Side::Server))
    );
    let named = foreign(
        503,
        istio(vec![closed.clone()]),
        server(s("outbound_.8080_._.payment")),
    );
    assert_eq!(named.id, Id::NoFilterChain);
    // A client's line that names no TLS is no sign that there was none.
    let unseen = foreign(503, istio(vec![closed]), istio(Vec::new()));
    assert_eq!(unseen.id, Id::Unknown);
}
