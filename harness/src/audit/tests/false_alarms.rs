//! What other tools warn of and is in order.

use serde::Deserialize;

use super::{CLEAN, data, report};
use crate::audit::Severity;
use crate::snapshot::from_yaml;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    mesh: String,
}

#[test]
fn nothing_is_found_in_what_is_in_order() {
    let cases: Vec<Case> = from_yaml(&data("false-alarms.yaml"), "false-alarms.yaml").unwrap();
    for case in cases {
        let report = report(&format!("{CLEAN}---\n{}", case.mesh));
        let above: Vec<_> = report
            .findings
            .iter()
            .filter(|it| it.severity > Severity::Info)
            .collect();
        assert!(above.is_empty(), "{}: {above:#?}", case.name);
        assert!(report.incomplete.is_empty(), "{}", case.name);
    }
}
