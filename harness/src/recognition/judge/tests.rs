use super::*;
use crate::outcome::Side;

const UC: &str = r#"[2026-11-22T04:50:42.383Z] "GET /x HTTP/1.1" 503 UC upstream_reset_before_response_started{connection_termination} - "-" 0 95 1 - "-" "curl" "r1" "payment:8080" "10.0.0.7:8080" outbound|8080||payment.payments.svc.cluster.local 10.0.0.6:49972 10.1.1.1:8080 10.0.0.6:48298 - default"#;
const NR: &str = r#"[2026-11-22T04:50:42.385Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" - - 10.0.0.7:8080 10.0.0.6:49972 - -"#;
const FINE: &str = r#"[2026-11-22T04:50:42.383Z] "GET /x HTTP/1.1" 200 - via_upstream - "-" 0 95 1 0 "-" "curl" "r1" "payment:8080" "10.0.0.7:8080" outbound|8080||payment.payments.svc.cluster.local 10.0.0.6:49972 10.1.1.1:8080 10.0.0.6:48298 - default"#;

fn told(observed: Outcome, client: &str, server: &str) -> Told {
    let logs = |pod: &str, line: &str| ProxyLogs {
        pod: pod.to_owned(),
        text: vec![line.to_owned()],
        ..ProxyLogs::default()
    };
    let both = [logs("checkout", client), logs("payment", server)];
    let found = findings(Patterns::embedded().unwrap(), Shown::Text, &both);
    judge(&observed, &found)
}

#[test]
fn lines_are_judged_by_what_was_observed() {
    let refused = |id, side| Outcome::refused(id, side);
    for (observed, client, server, expected) in [
        (
            refused(OutcomeId::PlaintextToStrict, Side::Server),
            UC,
            NR,
            Told::Named,
        ),
        (
            refused(OutcomeId::PlaintextToStrict, Side::Server),
            UC,
            FINE,
            Told::Candidate,
        ),
        (
            refused(OutcomeId::CertificateExpired, Side::Server),
            UC,
            FINE,
            Told::Candidate,
        ),
        (
            refused(OutcomeId::CertificateExpired, Side::Server),
            UC,
            NR,
            Told::Mistaken,
        ),
        (
            refused(OutcomeId::CertificateExpired, Side::Client),
            FINE,
            FINE,
            Told::Missed,
        ),
        (Outcome::of(OutcomeId::Mtls), FINE, FINE, Told::Silent),
        (Outcome::of(OutcomeId::Mtls), UC, FINE, Told::FalseAlarm),
    ] {
        assert_eq!(told(observed.clone(), client, server), expected, "{observed:?}");
    }
}
