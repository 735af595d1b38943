//! A result directory: one JSON line per run of a scenario.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::scenario::verdict::ScenarioResult;

/// Name of the file with one result per line.
const RESULTS: &str = "results.jsonl";

/// Why a result directory could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It cannot be read.
    #[error("cannot read results from {path}: {source} (`scenario --report DIR` writes them)")]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no result.
    #[error("{path}:{line}: not a result that this version can read: {source}")]
    NoResult {
        /// The path.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The file or its folder.
    #[error("cannot write the report {path}: {source}")]
    Write {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A result that cannot be put into JSON.
    #[error("cannot put the result of {scenario} into JSON: {source}")]
    Json {
        /// The scenario.
        scenario: String,
        /// What the serializer said.
        source: serde_json::Error,
    },
}

/// Writes `results` into `folder`, which is made if it is missing. Earlier results there are replaced.
///
/// # Errors
/// See [`ReportError`].
pub fn write(folder: &Path, results: &[ScenarioResult]) -> Result<PathBuf, ReportError> {
    let path = folder.join(RESULTS);
    let failed = |source| ReportError::Write {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut lines = Vec::new();
    for result in results {
        serde_json::to_writer(&mut lines, result).map_err(|source| ReportError::Json {
            scenario: result.scenario.clone(),
            source,
        })?;
        lines.push(b'\n');
    }
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(&lines).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(path)
}

/// Reads the results in a folder, or in a file of them, in the order in which they were written.
///
/// # Errors
/// [`ReportError::Read`] or [`ReportError::NoResult`].
pub fn read(place: &Path) -> Result<Vec<ScenarioResult>, ReportError> {
    let path = if place.is_file() {
        place.to_owned()
    } else {
        place.join(RESULTS)
    };
    let text = std::fs::read_to_string(&path).map_err(|source| ReportError::Read {
        path: path.clone(),
        source,
    })?;
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| ReportError::NoResult {
                path: path.clone(),
                line: index + 1,
                source,
            })
        })
        .collect()
}
