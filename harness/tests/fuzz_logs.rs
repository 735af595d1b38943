//! The fuzz target `logs` of `fuzz/`, as a bounded property test: the same function on mutated lines, for machines
//! without a nightly compiler. It bounds what it tries, says so in its name, and does not replace the fuzzer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use meshproof::logs::Patterns;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

#[path = "../../fuzz/logs_entry.rs"]
#[expect(unreachable_pub, reason = "the fuzz target is a crate of its own")]
mod logs_entry;

use logs_entry::read_log;

/// What readers of logs stumble over.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[20",
    b"] \"",
    b"\" 0 ",
    b"|",
    b":",
    b"\xff",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x92\xa9",
    b"\x1b[",
    b"\x1b[31m",
    b"[pod/",
    b"] ",
    b"2026-11-22T04:50:42.383Z ",
    b"stdout F ",
    b"{\"log\":\"",
    b"{\"response_flags\":\"UC\",",
    b"\"stream\":1}",
    b"outbound|",
    b"outbound_.8080_._.",
    b"inbound|",
    b"?",
    b"\x1f\x8b\x08\0",
    b"\x28\xb5\x2f\xfd",
    b"TLS_error:|",
    b":TLS_error_end",
    b"error",
    b"-9223372036854775808",
    b"99999999999999999999",
];

static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let samples = Patterns::embedded()
        .unwrap()
        .all()
        .iter()
        .flat_map(|it| &it.samples);
    samples.map(|sample| sample.clone().into_bytes()).collect()
});

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_261_122),
        ..ProptestConfig::with_cases(3_000)
    })]

    #[test]
    fn no_bytes_make_the_reader_panic_in_three_thousand_mutations(
        lines in prop::collection::vec(any::<Index>(), 1..4),
        changes in prop::collection::vec((any::<Index>(), 0..30_usize, any::<Index>()), 0..8),
    ) {
        let mut bytes: Vec<u8> = lines.iter().map(|it| it.get(&LINES).clone()).collect::<Vec<_>>().join(&b'\n');
        for (at, length, token) in &changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, token.get(TOKENS).iter().copied());
        }
        let is_packed = bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\x28\xb5\x2f\xfd");
        let counts = read_log(&bytes);
        prop_assert!(is_packed || counts.bytes == bytes.len() as u64);
        prop_assert!(counts.failures + counts.harmless <= counts.examined && counts.examined <= counts.lines);
    }
}

#[test]
fn texts_that_are_made_to_hurt_are_read_in_time() {
    let start = std::time::Instant::now();
    for text in [
        "error\"".repeat(300_000),
        "{".repeat(1_000_000) + "error",
        "{\"log\":\"".repeat(10_000) + "error",
        "[20\" 0 ".repeat(200_000) + "error",
        "\u{1b}[".repeat(500_000) + "error",
        "a b c ".repeat(200_000) + "error",
        "error\n".repeat(300_000),
    ] {
        read_log(text.as_bytes());
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
