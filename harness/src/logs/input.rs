//! Where logs come from: files and standard input, as they are or packed with gzip or zstandard.

use std::fs;
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// A log that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}")]
pub struct InputError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// An opened log.
pub enum Input {
    /// A file that is not packed: it can be read by several at a time.
    Plain(fs::File),
    /// Anything else: read from its start to its end, unpacked on the way.
    Stream(Box<dyn Read + Send>),
}

impl Input {
    /// Opens a file. Whether it is packed is told by its first bytes, not by its name.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        let failed = |source| InputError {
            path: path.to_owned(),
            source,
        };
        let mut file = fs::File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        if !metadata.is_file() {
            return unpacked(file).map_err(failed);
        }
        let mut magic = [0; 4];
        let length = fill(&mut file, &mut magic).map_err(failed)?;
        if Packing::of(&magic[..length]).is_none() {
            // Whoever reads it from its position shall not miss what was looked at.
            file.rewind().map_err(failed)?;
            return Ok(Self::Plain(file));
        }
        unpacked(Cursor::new(magic[..length].to_vec()).chain(file)).map_err(failed)
    }

    /// A stream, unpacked if it is packed.
    ///
    /// # Errors
    /// When its first bytes cannot be read.
    pub fn stream(input: impl Read + Send + 'static) -> std::io::Result<Self> {
        unpacked(input)
    }
}

fn unpacked(mut input: impl Read + Send + 'static) -> std::io::Result<Input> {
    let mut magic = [0; 4];
    let length = fill(&mut input, &mut magic)?;
    let packing = Packing::of(&magic[..length]);
    let whole = Cursor::new(magic[..length].to_vec()).chain(input);
    Ok(Input::Stream(match packing {
        None => Box::new(whole),
        // A log that is rotated into one archive after the other is several members in one file.
        Some(Packing::Gzip) => Box::new(MultiGzDecoder::new(whole)),
        Some(Packing::Zstandard) => Box::new(zstd::stream::read::Decoder::new(whole)?),
    }))
}

enum Packing {
    Gzip,
    Zstandard,
}

impl Packing {
    fn of(magic: &[u8]) -> Option<Self> {
        match magic {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Self::Zstandard),
            _ => None,
        }
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
