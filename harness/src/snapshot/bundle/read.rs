//! Reading a bundle.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use serde::Deserialize;

use super::{BundleError, FORMAT, Header, Line, VERSION, bug_report};
use crate::snapshot::kind::{ByJson, read_kind};
use crate::snapshot::{LoadError, Mistake, Mixed, ObjectRef, Plain, SchemaMistake, Snapshot, Source};

/// How a frame of zstd begins (RFC 8878, 3.1.1).
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// How a member of gzip begins (RFC 1952, 2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b];

impl Snapshot {
    /// Applies the objects of a bundle, or of an archive of `istioctl bug-report`. What it says could not be read is
    /// listed in `found`, as if it had been read now.
    ///
    /// # Errors
    /// When the file is no bundle, half of one, or one of a newer format. Some objects may have been applied.
    pub fn load_bundle(&mut self, path: &Path, found: &mut Mixed) -> Result<(), BundleError> {
        let read = |source| BundleError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(read)?;
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic).map_err(read)?;
        file.rewind().map_err(read)?;
        if magic.starts_with(ZSTD) {
            Bundle {
                path,
                into: self,
                found,
            }
            .read(file)
        } else if magic.starts_with(GZIP) {
            bug_report::read(self, path, file, found)
        } else {
            Err(BundleError::Other {
                path: path.to_owned(),
                why: "it is neither compressed with zstd nor with gzip",
            })
        }
    }
}

struct Bundle<'a> {
    path: &'a Path,
    into: &'a mut Snapshot,
    found: &'a mut Mixed,
}

/// What every object begins with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

impl Bundle<'_> {
    fn read(mut self, file: File) -> Result<(), BundleError> {
        let unreadable = |source| BundleError::Read {
            path: self.path.to_owned(),
            source,
        };
        let mut text = BufReader::with_capacity(1 << 17, zstd::Decoder::new(file).map_err(unreadable)?);
        let mut buffer = String::new();
        let mut lines = 0;
        loop {
            buffer.clear();
            let length = match text.read_line(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                // Anything else that is wrong with the bytes is told as such.
                Err(error) => return Err(self.malformed(lines + 1, error.to_string())),
            };
            if length == 0 || !buffer.ends_with('\n') {
                return Err(BundleError::Half {
                    path: self.path.to_owned(),
                    lines,
                });
            }
            lines += 1;
            if lines == 1 {
                self.header(&buffer)?;
                continue;
            }
            let line: Line<'_> =
                serde_json::from_str(&buffer).map_err(|error| self.malformed(lines, error.to_string()))?;
            match line.end {
                None => self
                    .take(line)
                    .map_err(|problem| self.malformed(lines, problem))?,
                Some(before) if before + 1 == lines => return Ok(()),
                Some(_) => return Err(self.malformed(lines, "lines are missing before it".to_owned())),
            }
        }
    }

    fn header(&mut self, text: &str) -> Result<(), BundleError> {
        // A newer format may have other fields: these two stay.
        #[derive(Deserialize)]
        struct Format {
            format: String,
            version: u32,
        }
        let other = || BundleError::Other {
            path: self.path.to_owned(),
            why: "it does not begin with a line that says its format",
        };
        let format: Format = serde_json::from_str(text).map_err(|_| other())?;
        if format.format != FORMAT {
            return Err(other());
        }
        if format.version > VERSION {
            return Err(BundleError::Newer {
                path: self.path.to_owned(),
                version: format.version,
            });
        }
        let header: Header =
            serde_json::from_str(text).map_err(|error| self.malformed(1, error.to_string()))?;
        self.found.kubernetes = header.kubernetes;
        Ok(())
    }

    fn take(&mut self, line: Line<'_>) -> Result<(), String> {
        let source = Source {
            file: line.file.map(Cow::into_owned).unwrap_or_default(),
            line: line.line.unwrap_or_default(),
        };
        if let Some(object) = line.object {
            let envelope: Envelope<'_> =
                serde_json::from_str(object.get()).map_err(|error| error.to_string())?;
            let object = read_kind(&envelope.api_version, &envelope.kind, &mut ByJson(object.get()))
                .map_err(|error| format!("no valid {}: {error}", envelope.kind))?;
            self.into.apply_from(object, source);
        } else if let Some(value) = line.plain {
            self.found.plain.push(Plain { value, source });
        } else if let Some(it) = line.mistake {
            let object: ObjectRef = it.object.parse().map_err(|error| format!("{error}"))?;
            let mistake = SchemaMistake {
                path: it.path,
                message: it.message,
            };
            self.found.mistakes.push(Mistake {
                object,
                source,
                mistake,
            });
        } else if let Some(gap) = line.gap {
            self.found.unread.push(LoadError::Gap(gap.into_owned()));
        } else if let Some(note) = line.note {
            self.found.notes.push(note.into_owned());
        } else {
            return Err("it says nothing".to_owned());
        }
        Ok(())
    }

    fn malformed(&self, line: usize, message: String) -> BundleError {
        BundleError::Malformed {
            path: self.path.to_owned(),
            line,
            message,
        }
    }
}
