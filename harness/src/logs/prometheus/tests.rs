use super::*;
use crate::logs::{Patterns, Scanner};

fn render(names: Names) -> String {
    let patterns = Patterns::embedded().unwrap();
    let mut tally = Tally::new(100);
    let lines: Vec<&str> = patterns
        .all()
        .iter()
        .flat_map(|it| &it.samples)
        .map(String::as_str)
        .collect();
    let hostile = "{\"response_flags\":\"UC\",\"response_code\":503,\"response_code_details\":\"upstream_reset_before_response_started{connection_termination}\",\"upstream_cluster\":\"outbound|1||a\\\"b\\\\c\\nd\"}";
    let text = format!("{}\n{hostile}", lines.join("\n"));
    let scanned = Scanner::new(patterns).scan("-", text.as_bytes(), &mut |it| tally.add(it));
    Metrics {
        tally: &tally,
        counts: &scanned.counts,
        names,
    }
    .render()
}

#[test]
fn whatever_a_log_holds_the_exposition_is_valid() {
    let text = render(Names::Ours);
    assert!(
        text.contains(
            r#"outcome="unknown",side="server",view="client",upstream="a\"b\\c\nd:1",namespace="""#
        ),
        "{text}"
    );
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<u64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        assert!(text.contains(&format!("# TYPE {name} counter\n")), "{line}");
    }
    assert!(!text.contains("meshproof_mtls_failures_total{outcome=\"access-denied\""));
    assert!(text.contains("meshproof_other_failures_total{outcome=\"access-denied\""));
}

#[test]
fn the_names_of_the_postmortem_are_available() {
    let text = render(Names::Postmortem);
    assert!(
        text.contains("istio_mtls_error_total{error_type=\"san-mismatch\"} "),
        "{text}"
    );
    assert!(text.contains("\nistio_log_lines_total "));
}
