use super::*;
use crate::logs::{Patterns, Scanner};

#[test]
fn upstreams_beyond_the_limit_are_summed_up() {
    let mut tally = Tally::new(3);
    let lines: String = (0..10).map(|n| format!("[2026-11-22T04:50:4{n}.383Z] \"- - -\" 0 UF,URX - - \"-\" 0 0 5000 - \"-\" \"-\" \"-\" \"-\" \"10.0.0.{n}:9000\" outbound|9000||db{n}.payments.svc.cluster.local - 10.1.0.1:9000 10.0.0.{n}:48298 - -\n")).collect();
    Scanner::new(Patterns::embedded().unwrap()).scan("-", lines.as_bytes(), &mut |it| tally.add(it));
    let rows = tally.rows();
    assert_eq!(rows.len(), 4);
    assert_eq!((rows[0].upstream.as_deref(), rows[0].count), (Some(OTHERS), 7));
    assert_eq!(
        (rows[0].workloads.len(), rows[0].more_workloads),
        (WORKLOADS, true)
    );
    assert_eq!(rows[0].first.as_deref(), Some("2026-11-22T04:50:43.383Z"));
    assert_eq!(rows[0].last.as_deref(), Some("2026-11-22T04:50:49.383Z"));
}
