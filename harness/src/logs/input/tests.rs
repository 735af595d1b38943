use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::logs::{Patterns, Scanner};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Lines, failures, and whether it broke.
fn scan(bytes: Vec<u8>) -> (u64, u64, bool) {
    let Input::Stream(stream) = Input::stream(Cursor::new(bytes)).unwrap() else {
        panic!("a cursor is no file");
    };
    let scanned = Scanner::new(Patterns::embedded().unwrap()).scan("-", stream, &mut |_| {});
    (
        scanned.counts.lines,
        scanned.counts.failures,
        scanned.broken.is_some(),
    )
}

#[test]
fn packed_logs_are_unpacked_and_what_is_broken_counts_as_far_as_it_goes() {
    let text = "healthy\n [x] 0 NR filter_chain_not_found\n".repeat(20_000);
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    assert_eq!(scan(text.clone().into_bytes()), (40_000, 20_000, false));
    assert_eq!(scan(packed.clone()), (40_000, 20_000, false));
    assert_eq!(scan([gzip(&text), gzip(&text)].concat()), (80_000, 40_000, false));
    for broken in [gzip(&text), packed] {
        let (lines, failures, is_broken) = scan(broken[..broken.len() - 9].to_vec());
        assert!(is_broken && lines > 1_000 && failures > 500, "{lines} {failures}");
        assert!(scan(broken[..5].to_vec()).2);
    }
    for short in ["", "\u{1f}", "("] {
        assert!(!scan(short.as_bytes().to_vec()).2);
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let error = Input::open(Path::new("/nowhere/access.log"))
        .err()
        .unwrap()
        .to_string();
    assert!(error.starts_with("cannot read /nowhere/access.log: "), "{error}");
    assert!(Input::open(Path::new("/")).is_err());
}

#[test]
fn a_plain_file_is_read_from_its_start() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[2026] line").unwrap();
    let Input::Plain(mut plain) = Input::open(file.path()).unwrap() else {
        panic!("it is not packed");
    };
    let mut text = String::new();
    plain.read_to_string(&mut text).unwrap();
    assert_eq!(text, "[2026] line");
}
