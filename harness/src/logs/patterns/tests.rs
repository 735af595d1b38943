use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::*;

const FILE: &str = include_str!("../../../../manifests/logs/patterns.yaml");

#[test]
fn the_embedded_patterns_are_valid() {
    let patterns = Patterns::embedded().unwrap();
    assert_eq!(patterns.all().len(), 86);
    assert_eq!(patterns.get("flag-uc").map(|it| it.about), Some(About::Mtls));
}

#[test]
fn whatever_a_pattern_matches_passes_the_gate() {
    let patterns = Patterns::embedded().unwrap();
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(20_261_122),
        ..Config::default()
    });
    let mut generated = 0;
    let mut lost = BTreeMap::new();
    for pattern in patterns.all() {
        let texts =
            proptest::string::bytes_regex(&format!("(?-u){}", printable(&pattern.expression))).unwrap();
        for _ in 0..64 {
            let text = texts.new_tree(&mut runner).unwrap().current();
            if patterns.name(&text).is_none() {
                // An anchor that the generator ignores.
                continue;
            }
            generated += 1;
            if patterns.next_suspect(&text).is_none() {
                lost.insert(&pattern.id, String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(generated > 5_000, "{generated}");
}

/// The generator knows no anchors.
fn printable(expression: &str) -> String {
    expression.replace("|$)", ")")
}

#[test]
fn faulty_patterns_are_refused_by_id() {
    let cases = [
        (
            "twice",
            FILE.replacen("id: x509-crl\n", "id: x509-expired\n", 1),
            "x509-expired`: stands twice",
        ),
        (
            "no such list",
            FILE.replacen(
                "says: {candidates: connection-terminated",
                "says: {candidates: nope",
                1,
            ),
            "flag-uc`: no candidates are called `nope`",
        ),
        (
            "a delivery",
            FILE.replacen(
                "{outcome: certificate-revoked, side: observer}",
                "{outcome: mtls}",
                1,
            ),
            "`mtls` is no failure",
        ),
        (
            "two statements",
            FILE.replacen(
                "{outcome: certificate-revoked, side: observer}",
                "{outcome: ca-expired, nothing: healthy}",
                1,
            ),
            "x509-crl-revoked`: it says an outcome, or",
        ),
        (
            "no expression",
            FILE.replacen("'verification[ _]", "'(verification[ _]", 1),
            "x509-crl-revoked`: regex parse error",
        ),
        (
            "unknown key",
            FILE.replacen("  meaning:", "  meening:", 1),
            "meening",
        ),
        (
            "unknown outcome",
            FILE.replacen("outcome: ca-expired", "outcome: ca-expird", 1),
            "ca-expird",
        ),
        (
            "unknown end",
            FILE.replacen("{client: default, server: custom}", "{caller: default}", 1),
            "`caller` shows nothing",
        ),
        (
            "empty gate",
            FILE.replacen("gate: [OPENSSL_internal,", "gate: ['',", 1),
            "the gate is empty",
        ),
    ];
    for (name, yaml, expected) in cases {
        let error = Patterns::parse(&yaml).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}
