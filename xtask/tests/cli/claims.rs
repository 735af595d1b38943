//! Claims: listed, run, and asked for wrongly.

use crate::session::Session;

#[test]
fn a_list_of_claims_runs_nothing_and_names_what_decides_each() {
    let session = Session::new();
    let ended = session.run(&["claims", "--list", "R10", "R15"]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let wanted = [
        "R10 of the runbook, true\n",
        "  untested   it is about objects and tools of a cluster",
        "R15 of the runbook, false\n",
        "  against    platform-client-into-strict, destination-rule-makes-it-worse: ",
    ];
    for text in wanted {
        assert!(ended.out.contains(text), "{text:?} is not in {ended:#?}");
    }
}

#[test]
fn an_unknown_claim_is_bad_usage_and_names_a_similar_one() {
    let ended = Session::new().run(&["claims", "P15x"]);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(
        ended.err.contains("there is no claim P15x (did you mean P15?)"),
        "{ended:#?}"
    );
}

#[test]
fn a_claim_is_refuted_by_a_run_and_one_that_only_a_real_istiod_decides_says_so() {
    let session = Session::new();
    let refuted = session.run(&["claims", "P23", "--output", "json"]);
    assert_eq!(refuted.code, Some(0), "{refuted:#?}");
    let report = refuted.json();
    assert_eq!(
        (
            report["id"].as_str(),
            report["finding"].as_str(),
            report["weighed"][0]["weight"].as_str()
        ),
        (Some("P23"), Some("refuted"), Some("counts"))
    );
    let required = session.run(&["claims", "P14", "--require", "local", "--output", "json"]);
    assert_eq!(required.code, Some(3), "{required:#?}");
    let report = required.json();
    assert_eq!(report["finding"], "not-testable-here");
    assert!(
        report["reasons"][0]
            .as_str()
            .unwrap()
            .contains("the tier local has no control-plane"),
        "{report}"
    );
}
