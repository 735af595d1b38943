use super::*;

const CLIENT: &str = r#"[2026-11-22T04:50:42.383Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl" "r1" "payment:8080" "10.0.0.7:8080" outbound|8080||payment.payments.svc.cluster.local 10.0.0.6:49972 10.1.1.1:8080 10.0.0.6:48298 - default"#;
/// Istio's own log of a listener: of connections for which no filter chain was found.
const LISTENER: &str = r#"[2026-11-22T04:50:42.384Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" - - 10.0.0.7:8080 10.0.0.6:49972 - -"#;

#[test]
fn lines_of_one_connection_know_each_other() {
    let client = Entry::read(CLIENT).unwrap();
    let listener = Entry::read(LISTENER).unwrap();
    assert_eq!((client.view, listener.view), (View::Client, View::Server));
    assert!(listener.of_listener && !client.of_listener);
    assert!(client.is_of_request("r1") && !listener.is_of_request("r1"));
    assert!(client.shares_connection(&listener));
    let of_another = Entry::read(&LISTENER.replace("49972", "49973")).unwrap();
    assert!(!client.shares_connection(&of_another));
}

#[test]
fn a_connection_that_never_came_up_is_known_by_its_caller_and_its_time() {
    let client = Entry::read(&CLIENT.replace("10.0.0.6:49972", "-")).unwrap();
    assert!(client.shares_connection(&Entry::read(LISTENER).unwrap()));
    let later = Entry::read(&LISTENER.replace("42.384Z", "49.384Z")).unwrap();
    assert!(!client.shares_connection(&later));
    let of_another = Entry::read(&LISTENER.replace("10.0.0.6", "10.0.0.9")).unwrap();
    assert!(!client.shares_connection(&of_another));
}

#[test]
fn what_a_line_says_is_told_field_by_field() {
    let said = Entry::read(CLIENT).unwrap();
    assert_eq!(said.code, Some(503));
    assert_eq!(said.flags.as_deref(), Some("UC"));
    assert_eq!(
        said.details.as_deref(),
        Some("upstream_reset_before_response_started{connection_termination}")
    );
    assert_eq!((said.termination, said.upstream_reason), (None, None));
    assert_eq!(said.upstream_host.as_deref(), Some("10.0.0.7:8080"));
    assert_eq!(said.route.as_deref(), Some("default"));
    let reason = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED";
    let line = CLIENT.replace(r#"- "-" 0 95"#, &format!(r#"- "{reason}" 0 95"#));
    assert_eq!(
        Entry::read(&line).unwrap().upstream_reason.as_deref(),
        Some(reason)
    );
}

#[test]
fn what_is_no_line_of_an_access_log_is_none() {
    assert_eq!(
        Entry::read("2026-11-22T04:50:42.384Z\tinfo\txdsproxy\tconnected"),
        None
    );
    assert_eq!(Entry::read(r#"{"level": "info"}"#), None);
}
