use super::*;

const NR: &str = r#"[2026-11-22T04:49:58.658Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" - - 127.0.0.1:39063 127.0.0.1:54678 - -"#;

/// Gives at most `step` bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(self.0.len()).min(buffer.len());
        let (now, later) = self.0.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.0 = later;
        Ok(length)
    }
}

fn scan(bytes: &[u8], step: usize) -> (Counts, Vec<Finding>) {
    let mut findings = Vec::new();
    let scanner = Scanner::new(Patterns::embedded().unwrap());
    let scanned = scanner.scan("-", Drip(bytes, step), &mut |it| findings.push(it));
    assert!(scanned.broken.is_none());
    (scanned.counts, findings)
}

#[test]
fn however_the_bytes_arrive_the_lines_are_the_same() {
    let text = format!("healthy\n{NR}\n\n{NR}\r\nerror of nobody\n{NR}");
    let (counts, findings) = scan(text.as_bytes(), usize::MAX);
    assert_eq!((counts.lines, counts.examined, counts.failures), (6, 4, 3));
    assert_eq!(findings[0].sample, NR);
    for step in [1, 2, 7, 100] {
        assert_eq!(
            scan(text.as_bytes(), step),
            (counts, findings.clone()),
            "{step} bytes at a time"
        );
    }
}

#[test]
fn long_lines_are_read_up_to_a_bound_and_the_next_line_is_not_lost() {
    for (length, cut) in [(1 << 20, 0), (LONGEST - 200, 0), (3 * LONGEST, 1)] {
        let text = format!("{}{NR}\n{NR}\n", "x".repeat(length));
        let (counts, findings) = scan(text.as_bytes(), BLOCK);
        assert_eq!((counts.lines, counts.cut), (2, cut), "{length}");
        assert_eq!(findings.last().map(|it| it.sample.as_str()), Some(NR), "{length}");
        assert_eq!(counts.bytes, text.len() as u64);
    }
    // A pattern at the start of a line that is too long is found.
    let (counts, findings) = scan(format!("{NR}{}\n", "x".repeat(2 * LONGEST)).as_bytes(), BLOCK);
    assert_eq!((counts.lines, counts.cut, findings.len()), (1, 1, 1));
}

#[test]
fn nul_bytes_and_broken_utf8_are_counted_and_hide_nothing() {
    let mut bytes = b"\xff\xfe\0\0error\n".to_vec();
    bytes.extend(format!("\0{NR}\n").bytes());
    bytes.extend(NR.as_bytes());
    bytes.extend(b"\xc3\n");
    let (counts, findings) = scan(&bytes, usize::MAX);
    assert_eq!((counts.with_nul, counts.not_utf8), (2, 2));
    assert_eq!(findings.len(), 2);
}
