use super::*;
use crate::outcome::Outcome;

fn call(id: &str, outcome: OutcomeId, told: [Told; 3]) -> Recognised {
    Recognised {
        id: id.to_owned(),
        observed: Outcome::of(outcome),
        told,
        found: Vec::new(),
        logs: Vec::new(),
    }
}

#[test]
fn a_table_shows_what_each_log_tells_and_what_is_wrong() {
    use Told::{Candidate, FalseAlarm, Missed, Named, NoProxy, Silent};
    let mut table = Table::default();
    assert!(table.is_right());
    for recognised in [
        call("s::a", OutcomeId::Mtls, [Silent; 3]),
        call("s::b", OutcomeId::CaExpired, [Candidate, Candidate, Named]),
        call("s::c", OutcomeId::CaExpired, [Missed, Missed, Named]),
        call("s::d", OutcomeId::Plaintext, [NoProxy; 3]),
    ] {
        table.add("s", recognised);
    }
    assert!(table.is_right(), "what Istio hides is no fault of the scanner");
    table.add("t", call("t::a", OutcomeId::CaExpired, [Missed; 3]));
    assert!(!table.is_right());
    table.add("t", call("t::b", OutcomeId::Mtls, [FalseAlarm, Silent, Silent]));
    assert!(!table.is_right());
    insta::assert_snapshot!(table.text());
}
