//! SHA-256 of files and of streams on their way.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Bytes read at a time: large enough to be cheap, small enough to notice an interruption at once.
pub(super) const CHUNK: usize = 1 << 20;

/// The SHA-256 of a file, lower-case hexadecimal.
pub(crate) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut digest = Digesting::new(io::sink());
    let mut file = io::BufReader::with_capacity(CHUNK, std::fs::File::open(path)?);
    io::copy(&mut file, &mut digest)?;
    Ok(digest.finish().1)
}

/// The SHA-256 of a text, lower-case hexadecimal.
#[cfg(test)]
pub(super) fn sha256_of_bytes(bytes: &[u8]) -> String {
    let mut digest = Digesting::new(io::sink());
    digest.write_all(bytes).unwrap();
    digest.finish().1
}

/// A writer that digests what passes through.
pub(super) struct Digesting<W> {
    inner: W,
    sha256: Sha256,
}

impl<W: Write> Digesting<W> {
    pub(super) fn new(inner: W) -> Self {
        Self {
            inner,
            sha256: Sha256::new(),
        }
    }

    /// The writer, and the digest in lower-case hexadecimal.
    pub(super) fn finish(self) -> (W, String) {
        let mut hex = String::with_capacity(64);
        for byte in self.sha256.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        (self.inner, hex)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sha256.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
