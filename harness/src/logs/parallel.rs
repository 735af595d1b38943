//! A file read by several cores: cut into segments at line ends, findings in the order of the file.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use memchr::memchr;

use super::finding::Finding;
use super::scan::{Counts, Scanned, Scanner};

/// How much of the file one core takes at a time.
const SEGMENT: u64 = 8 << 20;

/// A log file that is not packed.
#[derive(Debug)]
pub struct File {
    /// What findings call it.
    pub name: String,
    /// The file.
    pub file: std::fs::File,
}

/// Scans a file on `cores` cores. The result is that of one.
pub fn scan_file(scanner: Scanner, file: &File, cores: usize, found: &mut dyn FnMut(Finding)) -> Scanned {
    let length = match file.file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) => return broken(error),
    };
    let segments = length.div_ceil(SEGMENT).max(1);
    let next = AtomicU64::new(0);
    let cores = cores.clamp(1, usize::try_from(segments).unwrap_or(usize::MAX));
    // Bounded: whoever is ahead waits for the one that holds the order up.
    let (sender, receiver) = sync_channel(cores);
    let mut whole = Scanned {
        counts: Counts::default(),
        broken: None,
    };
    std::thread::scope(|scope| {
        for _ in 0..cores {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= segments {
                        break;
                    }
                    let mut findings = Vec::new();
                    let scanned = match segment(&file.file, number, segments) {
                        Ok(input) => scanner.scan(&file.name, input, &mut |it| findings.push(it)),
                        Err(error) => broken(error),
                    };
                    if sender.send((number, scanned, findings)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut ahead = BTreeMap::new();
        let mut due = 0;
        for (number, scanned, findings) in receiver {
            ahead.insert(number, (scanned, findings));
            while let Some((scanned, findings)) = ahead.remove(&due) {
                whole.counts += scanned.counts;
                whole.broken = whole.broken.take().or(scanned.broken);
                findings.into_iter().for_each(&mut *found);
                due += 1;
            }
        }
    });
    whole
}

fn broken(error: std::io::Error) -> Scanned {
    Scanned {
        counts: Counts {
            broken_inputs: 1,
            ..Counts::default()
        },
        broken: Some(error),
    }
}

/// A stretch of a file.
struct Stretch<'a> {
    file: &'a std::fs::File,
    at: u64,
    end: u64,
}

impl Read for Stretch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..length], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The lines that begin in a segment. The last one reads on to the end of the file, however long that is by now.
fn segment(file: &std::fs::File, number: u64, segments: u64) -> std::io::Result<Stretch<'_>> {
    let at = first_line(file, number * SEGMENT)?;
    let end = if number + 1 == segments {
        u64::MAX
    } else {
        first_line(file, (number + 1) * SEGMENT)?
    };
    Ok(Stretch { file, at, end })
}

/// Where the first line begins that does not begin before `from`.
fn first_line(file: &std::fs::File, from: u64) -> std::io::Result<u64> {
    if from == 0 {
        return Ok(0);
    }
    let mut at = from - 1;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok(at);
        }
        if let Some(newline) = memchr(b'\n', &buffer[..read]) {
            return Ok(at + newline as u64 + 1);
        }
        at += read as u64;
    }
}

#[cfg(test)]
mod tests;
