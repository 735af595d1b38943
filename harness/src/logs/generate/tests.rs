use super::*;
use crate::logs::Scanner;

#[test]
fn a_seed_gives_one_log_and_the_scanner_finds_each_of_its_failures() {
    let patterns = Patterns::embedded().unwrap();
    let write = |seed| {
        let mut log = Vec::new();
        let failing = Generator::new(seed, patterns).write(&mut log, 3_000_000).unwrap();
        (log, failing)
    };
    let (log, failing) = write(1);
    assert!(write(1) == (log.clone(), failing) && write(2).0 != log);
    let counts = Scanner::new(patterns)
        .scan("-", log.as_slice(), &mut |_| {})
        .counts;
    assert_eq!((counts.failures, counts.examined), (failing, failing));
    let share = failing * 1_000 / counts.lines;
    assert!((15..25).contains(&share), "{share} in a thousand lines");
}
