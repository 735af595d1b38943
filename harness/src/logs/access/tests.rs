use super::*;

const UC: &str = r#"[2026-11-22T04:50:42.383Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "Python "urllib" 3.11" "91338162" "127.0.0.1:59599" "127.0.0.1:39751" outbound|8080||svc.ns.svc.cluster.local 127.0.0.1:49972 127.0.0.1:59599 127.0.0.1:48298 - default"#;

#[test]
fn a_text_line_is_read_from_both_ends() {
    let access = Access::from_text(UC).unwrap();
    assert_eq!(
        access.telling,
        " 503 UC upstream_reset_before_response_started{connection_termination} - \"-\""
    );
    assert_eq!(access.view(), View::Client);
    assert_eq!(
        access.service(),
        Some(("svc.ns.svc.cluster.local:8080".to_owned(), Some("ns".to_owned())))
    );
    assert_eq!(access.up_local.as_deref(), Some("127.0.0.1:49972"));
    assert_eq!(access.request_id.as_deref(), Some("91338162"));
    assert_eq!(access.duration, 1);
}

#[test]
fn text_and_json_of_one_request_say_the_same() {
    let json = r#"{"start_time":"2026-11-22T04:50:42.383Z","response_code":503,"response_flags":"UC","response_code_details":"upstream_reset_before_response_started{connection_termination}","connection_termination_details":null,"duration":1,"request_id":"91338162","upstream_host":"127.0.0.1:39751","upstream_cluster":"outbound|8080||svc.ns.svc.cluster.local","upstream_local_address":"127.0.0.1:49972","downstream_local_address":"127.0.0.1:59599","downstream_remote_address":"127.0.0.1:48298","requested_server_name":null,"route_name":"default","upstream_transport_failure_reason":null}"#;
    let json = Access::from_json(&serde_json::from_str(json).unwrap()).unwrap();
    let text = Access::from_text(UC).unwrap();
    assert_eq!(
        json,
        Access {
            telling: format!("{} \"-\" \"-\"", text.telling),
            ..text
        }
    );
}

#[test]
fn a_user_agent_or_path_is_not_telling() {
    let line = UC
        .replace(
            "UC upstream_reset_before_response_started{connection_termination}",
            "- via_upstream",
        )
        .replace("urllib", "NR filter_chain_not_found")
        .replace("/x", "/TLS_error:|268435581:SSL_routines");
    assert_eq!(
        Access::from_text(&line).unwrap().telling,
        " 503 - via_upstream - \"-\""
    );
}

#[test]
fn lines_of_before_istio_1_9_have_a_word_more() {
    let line = r#"[2020-05-05T00:00:00.000Z] "GET / HTTP/1.1" 503 UF,URX "-" "TLS error: 268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER" 0 91 40 - "-" "curl" "id" "a" "10.0.0.1:80" outbound|80||a.b.svc.cluster.local - 10.1.1.1:80 10.0.0.2:41000 -"#;
    let access = Access::from_text(line).unwrap();
    assert!(
        access.telling.ends_with("WRONG_VERSION_NUMBER\""),
        "{}",
        access.telling
    );
    assert_eq!(
        access.cluster.as_deref(),
        Some("outbound|80||a.b.svc.cluster.local")
    );
}

#[test]
fn what_is_no_access_log_is_none() {
    for line in [
        "",
        "[",
        "[a] \"",
        "[2026] \"GET\" x",
        "[2026] \"GET\" 200",
        "[2026] \"GET\" 200 - \"",
        "\" 200 ",
    ] {
        assert_eq!(Access::from_text(line), None, "{line}");
    }
}
