//! Writing a bundle.

use std::borrow::Cow;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::names::Pseudonyms;
use super::{BundleError, FORMAT, Header, Line, Names, VERSION, WrittenMistake};
use crate::snapshot::redact::{redact, redact_values};
use crate::snapshot::{Mixed, Snapshot, Source, Stored};

/// A mesh of 10,000 pods takes a second, and is hardly smaller at higher levels.
const LEVEL: i32 = 6;

impl Snapshot {
    /// Writes the snapshot, and what was found beside it, as one bundle.
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write_bundle(
        &self,
        found: &Mixed,
        names: Names,
        written: Timestamp,
        out: impl Write,
    ) -> Result<(), BundleError> {
        let mut lines = Lines {
            out: zstd::Encoder::new(out, LEVEL)?,
            count: 0,
        };
        lines.out.include_checksum(true)?;
        // As old as they were: what was applied first is older.
        let mut stored: Vec<&Stored> = self.objects().map(|(_, stored)| stored).collect();
        stored.sort_by_key(|it| it.age);
        let pseudonyms = match names {
            Names::Kept => Pseudonyms::none(),
            Names::Hashed => {
                let mut pseudonyms = Pseudonyms::new(&self.mesh.root_namespace)?;
                for it in &stored {
                    pseudonyms.gather(&redacted(it)?);
                }
                pseudonyms
            }
        };
        lines.put(&Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            written: written.to_string(),
            hashed: names == Names::Hashed,
            kubernetes: found.kubernetes.clone(),
        })?;
        // Files bear the names of people and of what they do.
        let at = |source: &Source| match names {
            Names::Kept if !source.file.is_empty() => (Some(source.file.clone().into()), Some(source.line)),
            _ => (None, None),
        };
        for it in stored {
            let mut value = redacted(it)?;
            pseudonyms.hide(&mut value);
            let object = serde_json::value::to_raw_value(&value).map_err(io::Error::other)?;
            let (file, line) = at(&it.source);
            lines.put(&Line {
                object: Some(&object),
                file,
                line,
                ..Line::default()
            })?;
        }
        for it in &found.plain {
            let mut value = it.value.clone();
            redact_values(&mut value);
            pseudonyms.hide(&mut value);
            let (file, line) = at(&it.source);
            lines.put(&Line {
                plain: Some(value),
                file,
                line,
                ..Line::default()
            })?;
        }
        for it in &found.mistakes {
            let (file, line) = at(&it.source);
            lines.put(&Line {
                mistake: Some(WrittenMistake {
                    object: pseudonyms.of_reference(&it.object).to_string().into(),
                    path: it.mistake.path.clone(),
                    message: it.mistake.message.clone(),
                }),
                file,
                line,
                ..Line::default()
            })?;
        }
        for it in &found.unread {
            let told = pseudonyms.of_text(&it.to_string());
            lines.put(&Line {
                gap: Some(Cow::Owned(told)),
                ..Line::default()
            })?;
        }
        for it in &found.notes {
            lines.put(&Line {
                note: Some(Cow::Owned(pseudonyms.of_text(it))),
                ..Line::default()
            })?;
        }
        let end = lines.count;
        lines.put(&Line {
            end: Some(end),
            ..Line::default()
        })?;
        lines.out.finish()?.flush()?;
        Ok(())
    }
}

fn redacted(stored: &Stored) -> Result<Value, BundleError> {
    let mut value = stored.object.to_value().map_err(io::Error::other)?;
    redact(&mut value);
    Ok(value)
}

struct Lines<W: Write> {
    out: zstd::Encoder<'static, W>,
    count: usize,
}

impl<W: Write> Lines<W> {
    fn put(&mut self, line: &impl Serialize) -> Result<(), BundleError> {
        serde_json::to_writer(&mut self.out, line).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        self.count += 1;
        Ok(())
    }
}
