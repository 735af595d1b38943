//! Proxies measured against each other.

use serde_json::Value;

use crate::session::Session;

#[test]
fn a_version_that_is_not_pinned_is_bad_usage_and_the_pinned_ones_are_named() {
    let ended = Session::new().run(&["bench", "proxies", "--versions", "1.38.3,1.2.3"]);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(
        ended
            .err
            .contains("Envoy 1.2.3 is not pinned: use one of 1.36.4, "),
        "{ended:#?}"
    );
}

#[test]
fn a_table_names_what_was_measured_of_which_binary_and_refuses_every_wrong_name() {
    let session = Session::new();
    let plot = session.path("plot.svg");
    let mut arguments = vec!["bench", "proxies", "--versions", "1.38.3", "--output", "json"];
    arguments.extend([
        "--rounds",
        "1",
        "--starts",
        "2",
        "--handshakes",
        "5",
        "--wrong-names",
        "2",
    ]);
    arguments.extend(["--healthy", "2", "--plot", plot.to_str().unwrap()]);
    let ended = session.run(&arguments);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let table = ended.json();
    let proxy = &table["proxies"][0];
    assert_eq!(
        (proxy["envoy"].as_str(), proxy["provenance"].as_str()),
        (Some("1.38.3"), Some("upstream-same-minor"))
    );
    let figure = |name: &str| -> &Value {
        let figures = proxy["figures"].as_array().unwrap();
        figures.iter().find(|it| it["figure"] == name).unwrap()
    };
    assert_eq!(figure("wrong-names-refused")["median"], 100.0);
    assert_eq!(figure("false-alarms")["median"], 0.0);
    assert!(figure("handshake-p99")["median"].as_f64() > Some(0.0));
    let plot = std::fs::read_to_string(plot).unwrap();
    assert!(plot.contains("Envoy 1.38.3"), "{plot}");
}
