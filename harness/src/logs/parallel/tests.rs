use std::io::Write;

use super::*;
use crate::logs::{Generator, Patterns};

#[test]
fn any_number_of_cores_finds_what_one_finds_in_the_same_order() {
    let mut file = tempfile::tempfile().unwrap();
    let mut generator = Generator::new(7, Patterns::embedded().unwrap());
    generator.write(&mut file, 2 * SEGMENT + 12_345).unwrap();
    file.write_all("x".repeat(2 * usize::try_from(SEGMENT).unwrap()).as_bytes())
        .unwrap();
    file.write_all(b"\n [x] 0 NR filter_chain_not_found\n\n").unwrap();
    let file = File {
        name: "log".to_owned(),
        file,
    };
    let scanner = Scanner::new(Patterns::embedded().unwrap());
    let run = |cores| {
        let mut found = Vec::new();
        let scanned = scan_file(scanner, &file, cores, &mut |it| found.push(it));
        assert!(scanned.broken.is_none());
        (scanned.counts, found)
    };
    let one = run(1);
    assert_eq!(one.0.bytes, file.file.metadata().unwrap().len());
    assert_eq!(one.1.len(), usize::try_from(one.0.failures).unwrap());
    assert!(one.1.len() > 500);
    for cores in [2, 3, 8] {
        assert!(run(cores) == one, "{cores} cores");
    }
}
