//! From bytes to findings: block by block, most of it rejected unread.

use std::io::{ErrorKind, Read};
use std::ops::AddAssign;

use memchr::{memchr, memchr_iter, memrchr};
use serde::Serialize;

use super::finding::Finding;
use super::patterns::{Patterns, Silence};
use super::read::{Reading, read};

/// How much is read at a time. Small enough to stay in a core's cache between reading, counting and searching.
const BLOCK: usize = 256 << 10;
/// The longest line that is read whole; of a longer one the rest is skipped. Bounds the memory.
const LONGEST: usize = 4 << 20;

/// Reads logs.
#[derive(Clone, Copy, Debug)]
pub struct Scanner {
    patterns: &'static Patterns,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Bytes, unpacked.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// Lines that the search for words did not reject.
    pub examined: u64,
    /// Lines that tell of a failure.
    pub failures: u64,
    /// Lines with a known text that is no failure.
    pub harmless: u64,
    /// Of the examined lines, those that were cut because they are longer than 4 MiB.
    pub cut: u64,
    /// Of the examined lines, those with NUL bytes.
    pub with_nul: u64,
    /// Of the examined lines, those that are not UTF-8.
    pub not_utf8: u64,
    /// Inputs that ended in an error, such as truncated archives.
    pub broken_inputs: u64,
}

/// What became of an input.
#[derive(Debug)]
pub struct Scanned {
    /// What was read.
    pub counts: Counts,
    /// Why it could not be read to its end; what came before it counts.
    pub broken: Option<std::io::Error>,
}

impl Scanner {
    /// A scanner for these patterns.
    #[must_use]
    pub const fn new(patterns: &'static Patterns) -> Self {
        Self { patterns }
    }

    /// Reads `input` to its end, in memory that does not depend on its length. `source` is what findings call it.
    pub fn scan(self, source: &str, input: impl Read, found: &mut dyn FnMut(Finding)) -> Scanned {
        self.scan_observed(source, input, found, &mut |_| {})
    }

    /// The same, telling after each block what has been read so far: for inputs that may never end.
    pub fn scan_observed(
        self,
        source: &str,
        mut input: impl Read,
        found: &mut dyn FnMut(Finding),
        progress: &mut dyn FnMut(Counts),
    ) -> Scanned {
        let mut counts = Counts::default();
        let mut buffer = vec![0; BLOCK];
        let mut held = 0;
        let mut is_skipping = false;
        let broken = loop {
            if held == buffer.len() {
                buffer.resize(buffer.len() * 2, 0);
            }
            let end = (held + BLOCK).min(buffer.len());
            let read = match input.read(&mut buffer[held..end]) {
                Ok(0) => break None,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => break Some(error),
            };
            counts.bytes += read as u64;
            let filled = held + read;
            // What was held has no newline.
            let Some(last) = memrchr(b'\n', &buffer[held..filled]).map(|at| held + at) else {
                held = filled;
                if held >= LONGEST {
                    if !is_skipping {
                        counts.cut += 1;
                        self.block(&buffer[..held], source, &mut counts, found);
                    }
                    is_skipping = true;
                    held = 0;
                }
                continue;
            };
            let mut start = 0;
            if is_skipping {
                is_skipping = false;
                start = memchr(b'\n', &buffer[..=last]).map_or(0, |end| end + 1);
                counts.lines += 1;
            }
            let block = &buffer[start..=last];
            counts.lines += memchr_iter(b'\n', block).count() as u64;
            self.block(block, source, &mut counts, found);
            buffer.copy_within(last + 1..filled, 0);
            held = filled - last - 1;
            progress(counts);
            if buffer.len() > BLOCK && held < BLOCK {
                buffer.truncate(BLOCK);
                buffer.shrink_to(BLOCK);
            }
        };
        if held > 0 || is_skipping {
            counts.lines += 1;
        }
        if held > 0 && !is_skipping {
            self.block(&buffer[..held], source, &mut counts, found);
        }
        counts.broken_inputs = u64::from(broken.is_some());
        Scanned { counts, broken }
    }

    /// Whole lines.
    fn block(self, block: &[u8], source: &str, counts: &mut Counts, found: &mut dyn FnMut(Finding)) {
        let mut from = 0;
        while let Some(at) = self.patterns.next_suspect(&block[from..]).map(|at| from + at) {
            let start = memrchr(b'\n', &block[from..at]).map_or(from, |newline| from + newline + 1);
            let end = memchr(b'\n', &block[at..]).map_or(block.len(), |newline| at + newline);
            self.line(&block[start..end], source, counts, found);
            if end >= block.len() {
                break;
            }
            from = end + 1;
        }
    }

    fn line(self, line: &[u8], source: &str, counts: &mut Counts, found: &mut dyn FnMut(Finding)) {
        counts.examined += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        counts.with_nul += u64::from(memchr(0, line).is_some());
        let text = String::from_utf8_lossy(line);
        counts.not_utf8 += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
        match read(self.patterns, text.trim_matches('\0'), source) {
            Reading::Failure(finding) => {
                counts.failures += 1;
                found(*finding);
            }
            Reading::Nothing(Silence::Healthy | Silence::Aftermath | Silence::Context) => {
                counts.harmless += 1
            }
            Reading::Unnamed => {}
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.examined += other.examined;
        self.failures += other.failures;
        self.harmless += other.harmless;
        self.cut += other.cut;
        self.with_nul += other.with_nul;
        self.not_utf8 += other.not_utf8;
        self.broken_inputs += other.broken_inputs;
    }
}

#[cfg(test)]
mod tests;
