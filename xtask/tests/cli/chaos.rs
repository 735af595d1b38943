//! `chaos` where it cannot run.

use crate::session::Session;

#[test]
fn without_prometheus_it_exits_3_and_says_what_to_install() {
    let session = Session::new();
    let empty = session.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let ended = session.finish(session.command(&["chaos"]).env("PATH", &empty));
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert_eq!(
        ended.err,
        "error: Prometheus is not installed: apt-get install prometheus prometheus-alertmanager (or name it with --prometheus PATH)\n"
    );
}

#[test]
fn bad_usage_exits_2_and_says_what_to_write() {
    let session = Session::new();
    for (flag, value, message) in [
        ("--workloads", "1", "1 is not in 2..=1000"),
        (
            "--fraction",
            "0",
            "a number above 0 and not above 1, for example 0.01",
        ),
        ("--deadline", "soon", "(for example 120s or 2m)"),
        ("--scrape-interval", "0s", "must be longer than nothing"),
        (
            "--fault",
            "san-suffix",
            "`san-suffix` is no fault that takes nothing but a workload: missing field `suffix`",
        ),
        (
            "--fault",
            "rust",
            "`rust` is no fault that takes nothing but a workload: unknown variant `rust`",
        ),
        ("--istio", "1.30", "write all three numbers of an Istio release"),
    ] {
        let ended = session.run(&["chaos", flag, value]);
        assert_eq!(ended.code, Some(2), "{flag} {value}: {ended:#?}");
        assert!(ended.err.contains(message), "{flag} {value}: {ended:#?}");
    }
}
