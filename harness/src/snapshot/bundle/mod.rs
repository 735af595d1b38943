//! A snapshot in one file, to be taken elsewhere and read in place of a cluster.
//!
//! A bundle is JSON lines compressed with zstd: a line that says the format, then one for each object, Helm value, mistake,
//! gap and note, and last of all one that says how many there were, without which a bundle is half a bundle. What is in
//! it went through the same redaction as what is read from a cluster.
//!
//! The archive of `istioctl bug-report` is read as a bundle too.

mod bug_report;
mod names;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// What the first line calls the format.
const FORMAT: &str = "meshproof.dev/snapshot";
/// The newest version of the format that this code reads, and the one that it writes.
const VERSION: u32 = 1;

/// What becomes of the names that people gave.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Names {
    /// They stay.
    #[default]
    Kept,
    /// Each becomes a hash: alike names stay alike within the bundle, and differ between bundles.
    Hashed,
}

/// A bundle could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "{} is no bundle: {why}. `{} snapshot` writes bundles, `istioctl bug-report` writes archives; name \
         manifests with -f",
        path.display(),
        crate::invocation::command()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// The bundle was written by a newer meshproof.
    #[error(
        "{} is a bundle of format {version}, and this meshproof reads formats up to {VERSION}: use a newer one, or write the \
         bundle anew with this one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// The file ends before the bundle does.
    #[error(
        "{} is half a bundle: its end is missing after line {lines}; write or copy it anew",
        path.display()
    )]
    Half {
        /// The file.
        path: PathBuf,
        /// The last line that could be read.
        lines: usize,
    },
    /// A line is not what it should be.
    #[error("{}, line {line} (uncompressed): {message}; write or copy the bundle anew", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An object cannot be written.
    #[error("cannot write the bundle: {0}")]
    Write(#[from] std::io::Error),
}

/// The first line.
#[derive(Debug, Deserialize, Serialize)]
struct Header {
    format: String,
    version: u32,
    /// When, as RFC 3339.
    written: String,
    /// Whether names are hashes.
    hashed: bool,
    kubernetes: Option<String>,
}

/// Any other line, which has exactly one of the first fields.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    object: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plain: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mistake: Option<WrittenMistake<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    gap: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    note: Option<Cow<'a, str>>,
    /// How many lines there were before this, the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<usize>,
    /// Where it was written, if in a file.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    file: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

#[derive(Debug, Deserialize, Serialize)]
struct WrittenMistake<'a> {
    #[serde(borrow)]
    object: Cow<'a, str>,
    path: String,
    message: String,
}
