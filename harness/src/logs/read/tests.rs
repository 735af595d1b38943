use super::*;
use crate::outcome::Side;

fn failure(line: &str) -> Finding {
    match read(Patterns::embedded().unwrap(), line, "-") {
        Reading::Failure(finding) => *finding,
        _ => panic!("no failure: {line}"),
    }
}

/// The sample as a whole line: a telling part alone is put into an access log line of the client.
fn line_of(sample: &str) -> String {
    let reason = sample.starts_with("TLS_error:") || sample.starts_with("TLS error: 2");
    match sample.strip_prefix(' ') {
        Some(_) => client_line(sample),
        None if reason => client_line(&format!(
            " 503 URX,UF upstream_reset_before_response_started{{remote_connection_failure|x}} - \"{sample}\""
        )),
        None => sample.to_owned(),
    }
}

fn client_line(telling: &str) -> String {
    format!(
        "[2026-11-22T04:50:42.383Z] \"GET /x?token=secret HTTP/1.1\"{telling} 0 95 1 - \"-\" \"curl\" \"id-1\" \"a:8080\" \"10.0.0.7:8080\" outbound|8080||a.b.svc.cluster.local - 10.1.1.1:8080 10.0.0.6:41000 - default"
    )
}

#[test]
fn every_sample_is_named_by_its_own_pattern() {
    let patterns = Patterns::embedded().unwrap();
    let mut wrong = Vec::new();
    for pattern in patterns.all() {
        for sample in &pattern.samples {
            let line = line_of(sample);
            let named = match read(patterns, &line, "-") {
                Reading::Failure(finding) => finding.pattern,
                Reading::Nothing(silence) if pattern.says == Statement::Nothing(silence) => continue,
                Reading::Nothing(silence) => format!("{silence:?}"),
                Reading::Unnamed => "nothing".to_owned(),
            };
            if named != pattern.id {
                wrong.push(format!("{}: named by {named}: {sample}", pattern.id));
            }
            if patterns.next_suspect(line.as_bytes()).is_none() {
                wrong.push(format!("{}: the gate rejects {sample}", pattern.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn who_refused_follows_from_who_wrote_the_line() {
    let reason = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:_certificate_has_expired:TLS_error_end";
    let client = failure(&line_of(reason));
    let server = failure(&format!(
        r#"{{"start_time":"2026-11-22T04:50:42.383Z","response_code":0,"response_flags":"-","downstream_transport_failure_reason":"{reason}","downstream_local_address":"10.0.0.7:8080","requested_server_name":"outbound_.8080_._.a.b.svc.cluster.local"}}"#
    ));
    let debug = failure(&format!(
        "2026-11-22T04:51:20.030423Z\tdebug\tenvoy connection x.cc:1\t[Tags: \"ConnectionId\":\"2\"] remote address:10.0.0.7:8080,{}\tthread=1",
        reason.replace('_', " ").replace("TLS error:", "TLS_error:")
    ));
    let seen = [client, server, debug].map(|it| (it.outcome, it.side, it.upstream));
    let expired = OutcomeId::CertificateExpired;
    let upstream = Some("a.b.svc.cluster.local:8080".to_owned());
    assert_eq!(
        seen,
        [
            (expired, Some(Side::Client), upstream.clone()),
            (expired, Some(Side::Server), upstream),
            (expired, None, None)
        ]
    );
}

#[test]
fn a_sample_shows_no_query() {
    let finding = failure(&client_line(
        " 503 UC upstream_reset_before_response_started{connection_termination} - \"-\"",
    ));
    assert!(finding.sample.contains("GET /x?… HTTP/1.1"), "{}", finding.sample);
}

#[test]
fn the_way_from_a_proxy_to_its_own_application_is_not_mtls() {
    let line = client_line(" 503 UC upstream_reset_before_response_started{connection_termination} - \"-\"");
    let finding = failure(&line.replace("outbound|8080||a.b.svc.cluster.local", "inbound|8080||"));
    assert_eq!(
        (finding.about, finding.outcome),
        (About::Other, OutcomeId::Unknown)
    );
    assert!(!finding.candidates.contains(&OutcomeId::PlaintextToStrict));
}

#[test]
fn healthy_lines_are_no_failures() {
    let patterns = Patterns::embedded().unwrap();
    let permissive = r#"{"start_time":"2026-11-22T04:49:58.658Z","response_code":200,"response_flags":"-","response_code_details":"via_upstream","downstream_transport_failure_reason":"TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end","upstream_cluster":"inbound|8080||"}"#;
    let ok = client_line(" 200 - via_upstream - \"-\"");
    let forged = ok.replace(
        "curl",
        "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED",
    );
    for line in [permissive, &ok, &forged] {
        assert!(
            !matches!(read(patterns, line, "-"), Reading::Failure(_)),
            "{line}"
        );
    }
}
