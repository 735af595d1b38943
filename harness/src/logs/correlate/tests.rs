use super::*;
use crate::logs::{Patterns, Scanner};
use crate::outcome::Side;

const CA: &str = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:_certificate_has_expired:TLS_error_end";
const ALERT: &str =
    "TLS_error:|268436501:SSL_routines:OPENSSL_internal:SSLV3_ALERT_CERTIFICATE_EXPIRED:TLS_error_end";
const UNNAMED: &str =
    "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end";

fn client(id: &str, local: &str, flags: &str, reason: &str) -> String {
    let details = if flags == "UC" {
        "connection_termination".to_owned()
    } else {
        format!("remote_connection_failure|{reason}")
    };
    format!(
        "[2026-11-22T04:50:42.383Z] \"GET /x HTTP/1.1\" 503 {flags} upstream_reset_before_response_started{{{details}}} - \"{reason}\" 0 95 30 - \"-\" \"curl\" \"{id}\" \"a:8080\" \"10.0.0.7:8080\" outbound|8080||a.b.svc.cluster.local {local} 10.1.1.1:8080 10.0.0.6:41000 - default"
    )
}

fn server(remote: &str, second: u32, reason: &str) -> String {
    format!(
        r#"{{"start_time":"2026-11-22T04:50:{second}.390Z","response_code":0,"response_flags":"-","downstream_transport_failure_reason":"{reason}","downstream_local_address":"10.0.0.7:8080","downstream_remote_address":"{remote}"}}"#
    )
}

fn strict(remote: &str) -> String {
    format!(
        "[2026-11-22T04:50:42.385Z] \"- - -\" 0 NR filter_chain_not_found - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - 10.0.0.7:8080 {remote} - -"
    )
}

/// Outcome, side, and how many lines of the server were counted with it.
fn settle(lines: &[String]) -> Vec<(String, Option<Side>, u32)> {
    let mut correlation = Correlation::default();
    let mut settled = Vec::new();
    let mut keep = |it: Finding| {
        let candidates = if it.candidates.is_empty() {
            String::new()
        } else {
            format!(" of {}", it.candidates.len())
        };
        settled.push((format!("{}{candidates}", it.outcome), it.side, it.corroborated));
    };
    let text = lines.join("\n");
    Scanner::new(Patterns::embedded().unwrap())
        .scan("-", text.as_bytes(), &mut |it| correlation.add(it, &mut keep));
    correlation.finish(&mut keep);
    settled
}

#[test]
fn a_closed_connection_is_what_the_server_says_it_was() {
    let port = "10.0.0.6:49972";
    let uc = client("r1", port, "UC", "-");
    let by_server = |outcome: &str, lines| vec![(outcome.to_owned(), Some(Side::Server), lines)];
    let cases = [
        ("alone", vec![uc.clone()], by_server("unknown of 12", 0)),
        (
            "plaintext",
            vec![uc.clone(), strict(port)],
            by_server("plaintext-to-strict", 1),
        ),
        (
            "the server's line first",
            vec![strict(port), uc.clone()],
            by_server("plaintext-to-strict", 1),
        ),
        (
            "refused",
            vec![uc.clone(), server(port, 42, CA)],
            by_server("certificate-expired", 1),
        ),
    ];
    for (name, lines, expected) in cases {
        assert_eq!(settle(&lines), expected, "{name}");
    }
    // Of another connection, of another time: they stay two.
    assert_eq!(settle(&[uc.clone(), strict("10.0.0.6:50000")]).len(), 2);
    assert_eq!(settle(&[uc, server(port, 59, CA)]).len(), 2);
}

#[test]
fn a_request_counts_once_whatever_its_attempts() {
    let request = client("r1", "-", "URX,UF", UNNAMED);
    let attempts = ["10.0.0.6:1", "10.0.0.6:2", "10.0.0.6:3"].map(|port| server(port, 42, ALERT));
    let lines = [
        vec![attempts[0].clone(), request.clone()],
        attempts[1..].to_vec(),
        vec![request],
    ]
    .concat();
    // The refusal that Envoy 1.36 does not explain, and the alert that the server heard, leave four.
    assert_eq!(
        settle(&lines),
        [("unknown of 4".to_owned(), Some(Side::Client), 3)]
    );
}

#[test]
fn a_connection_that_two_logs_of_one_proxy_hold_counts_once() {
    let listener = r#"{"start_time":"2026-11-22T04:50:42.385Z","response_code":0,"response_flags":"NR","response_code_details":"filter_chain_not_found","downstream_transport_failure_reason":null,"tls_inspector_failure":"ClientHelloNotDetected","downstream_local_address":"10.0.0.7:8080","downstream_remote_address":"10.0.0.6:49972"}"#;
    let named = ("plaintext-to-strict".to_owned(), Some(Side::Server), 0);
    let open = ("unknown of 2".to_owned(), Some(Side::Server), 0);
    let lines = [
        strict("10.0.0.6:49972"),
        listener.to_owned(),
        strict("10.0.0.6:49973"),
    ];
    assert_eq!(settle(&lines[..2]), std::slice::from_ref(&named));
    assert_eq!(settle(&lines), [named.clone(), open.clone()]);
    let [one, listener, other] = lines;
    assert_eq!(settle(&[listener, one, other]), [named, open]);
}

#[test]
fn another_caller_is_not_taken_for_this_one() {
    let request = client("r1", "-", "URX,UF", UNNAMED);
    assert_eq!(settle(&[request, server("10.0.0.9:1", 42, ALERT)]).len(), 2);
}

#[test]
fn what_waits_is_bounded() {
    let mut correlation = Correlation::default();
    let mut settled = 0;
    let lines: Vec<String> = (0..WAITING + 10)
        .map(|n| client(&n.to_string(), &format!("10.0.0.6:{n}"), "UC", "-"))
        .collect();
    let scanner = Scanner::new(Patterns::embedded().unwrap());
    scanner.scan("-", lines.join("\n").as_bytes(), &mut |it| {
        correlation.add(it, &mut |_| settled += 1);
    });
    assert_eq!((settled, correlation.early), (10, 10));
    correlation.finish(&mut |_| settled += 1);
    assert_eq!(settled, WAITING + 10);
    assert!(correlation.exact.is_empty() && correlation.loose.is_empty());
}
