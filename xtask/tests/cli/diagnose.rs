//! `diagnose`: from what a cluster shows, and from scenarios whose cause is hidden, to a verdict and an exit code.

use crate::session::Session;

/// Incidents of each source that decides: objects, certificates of one end or of both, secrets, and logs.
const INCIDENTS: &[&str] = &[
    "strict-vs-disable",
    "rule-hidden-by-export-to",
    "missing-sidecar",
    "expired-ca",
    "secret-missing-server",
    "p384-keys-and-groups",
];

#[test]
fn incidents_of_every_kind_are_named_rightly() {
    let session = Session::new();
    let arguments = [&["diagnose", "--output", "json", "--self-test"], INCIDENTS].concat();
    let ended = session.run(&arguments);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let table = ended.json();
    assert_eq!(table["measureMet"], true);
    assert_eq!(table["confidentlyWrong"], 0);
    let scenarios = table["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), INCIDENTS.len());
    for scenario in scenarios {
        assert_eq!(scenario["scored"], "right", "{scenario:#}");
        assert_ne!(scenario["failing"], 0, "{scenario:#}");
    }
}

#[test]
fn a_scenario_is_diagnosed_without_a_word_of_its_cause() {
    let ended = Session::new().run(&["diagnose", "--scenario", "expired-ca", "--output", "json"]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let diagnosis = ended.json();
    let verdict = &diagnosis["verdicts"][0];
    assert_eq!(verdict["outcome"], "certificate-expired");
    assert_eq!(verdict["cause"], "leaf");
    assert_eq!(verdict["confidence"], "high");
    assert_eq!(verdict["responsible"][0]["object"], "Deployment/payments/payment");
    assert_eq!(verdict["reproducedBy"], "expired-ca");
    assert!(!verdict["remedy"]["commands"].as_array().unwrap().is_empty());
    let text = diagnosis.to_string();
    assert!(
        !text.contains("leaf-expired"),
        "the phase and its fault are hidden"
    );
}

#[test]
fn exit_codes_say_whether_something_fails_whatever_the_format() {
    let session = Session::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    let apps = root.join("apps/payments.yaml").display().to_string();
    let rule = session
        .write(
            "rule.yaml",
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: payment, namespace: payments}\n\
             spec: {host: payment, trafficPolicy: {tls: {mode: DISABLE}}}\n\
             ---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict, namespace: payments}\n\
             spec: {mtls: {mode: STRICT}}\n",
        )
        .display()
        .to_string();
    for (files, code) in [(vec![apps.as_str()], 0), (vec![apps.as_str(), rule.as_str()], 1)] {
        for output in ["text", "json"] {
            let mut arguments = vec![
                "diagnose",
                "--output",
                output,
                "--from",
                "checkout",
                "--to",
                "payment:8080",
                "-f",
            ];
            arguments.extend(&files);
            let ended = session.run(&arguments);
            assert_eq!(ended.code, Some(code), "{files:?} {output}: {ended:#?}");
        }
    }
}

#[test]
fn a_bad_input_has_one_clear_error() {
    let session = Session::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/apps/payments.yaml");
    let apps = root.display().to_string();
    let empty = session.write("empty.yaml", "").display().to_string();
    for (arguments, message) in [
        (vec!["diagnose"], "the input holds no object"),
        (
            vec!["diagnose", "-f", "no-such.yaml"],
            "cannot read no-such.yaml: there is no such file",
        ),
        (vec!["diagnose", "-f", &empty], "the input holds no object"),
        (
            vec!["diagnose", "--scenario", "no-such"],
            "there is no scenario no-such",
        ),
        (
            vec!["diagnose", "--scenario", "expired-ca", "--phase", "none"],
            "expired-ca has no phase `none`; it has control",
        ),
        (
            vec!["diagnose", "--self-test", "no-such"],
            "there is no scenario no-such",
        ),
        (
            vec!["diagnose", "-f", &apps, "--from", "checkout"],
            "the following required arguments were not provided",
        ),
        (
            vec![
                "diagnose",
                "-f",
                &apps,
                "--from",
                "nobody",
                "--to",
                "payment:8080",
            ],
            "nobody",
        ),
        (
            vec![
                "diagnose",
                "-f",
                &apps,
                "--from",
                "checkout",
                "--to",
                "nobody:8080",
            ],
            "nobody",
        ),
        (
            vec!["diagnose", "-f", &apps, "-n", "nowhere"],
            "no workload is in namespace `nowhere`",
        ),
    ] {
        let ended = session.run(&arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:#?}");
        assert!(ended.err.starts_with("error: "), "{arguments:?}: {ended:#?}");
        assert!(ended.err.contains(message), "{arguments:?}: {ended:#?}");
    }
}
