//! A result directory: one JSON line per run of a scenario, where they were made, and the same as JUnit XML.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Provenance;
use super::board::{Board, JunitError, junit};
use crate::scenario::verdict::ScenarioResult;

/// Name of the file with one result per line.
const RESULTS: &str = "results.jsonl";
/// Name of the file that says where they were made.
const PROVENANCE: &str = "provenance.json";
/// Name of the file for test reports.
const JUNIT: &str = "junit.xml";

/// What a result directory holds.
#[derive(Clone, Debug)]
pub struct Run {
    /// The results, in the order in which they were written.
    pub results: Vec<ScenarioResult>,
    /// Where they were made; absent where only the results were kept.
    pub provenance: Option<Provenance>,
}

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
    /// The file that says where results were made says nothing that this version can read.
    #[error("{path}: not a provenance that this version can read: {source} (remove it to go without)")]
    NoProvenance {
        /// The path.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Test reports.
    #[error(transparent)]
    Junit(#[from] JunitError),
    /// A result that cannot be put into JSON.
    #[error("cannot put the result of {scenario} into JSON: {source}")]
    Json {
        /// The scenario.
        scenario: String,
        /// What the serializer said.
        source: serde_json::Error,
    },
}

/// Writes a run into `folder`, which is made if it is missing. An earlier run there is replaced.
///
/// # Errors
/// See [`ReportError`].
pub fn write(folder: &Path, run: &Run) -> Result<PathBuf, ReportError> {
    let json = |scenario: &str| {
        let scenario = scenario.to_owned();
        move |source| ReportError::Json { scenario, source }
    };
    let mut lines = Vec::new();
    for result in &run.results {
        serde_json::to_writer(&mut lines, result).map_err(json(&result.scenario))?;
        lines.push(b'\n');
    }
    let path = folder.join(RESULTS);
    std::fs::create_dir_all(folder).map_err(|source| ReportError::Write {
        path: path.clone(),
        source,
    })?;
    replace(folder, &path, &lines)?;
    let provenance = folder.join(PROVENANCE);
    match &run.provenance {
        Some(known) => {
            let text = serde_json::to_vec_pretty(known).map_err(json("the run"))?;
            replace(folder, &provenance, &text)?;
        }
        None => remove(&provenance)?,
    }
    replace(folder, &folder.join(JUNIT), junit(&Board::of([run]))?.as_bytes())?;
    Ok(path)
}

/// Reads the run in a folder, or in a file of results.
///
/// # Errors
/// [`ReportError::Read`], [`ReportError::NoResult`], or [`ReportError::NoProvenance`].
pub fn read(place: &Path) -> Result<Run, ReportError> {
    if place.is_file() {
        return Ok(Run {
            results: results(place)?,
            provenance: None,
        });
    }
    Ok(Run {
        results: results(&place.join(RESULTS))?,
        provenance: provenance(place.join(PROVENANCE))?,
    })
}

/// Nobody ever reads half a file, and whoever may read other files here may read it: what copies the volume of a Job is a
/// pod of its own, and rarely of the same user.
fn replace(folder: &Path, path: &Path, content: &[u8]) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write {
        path: path.to_owned(),
        source,
    };
    // The umask takes from it, as from any file.
    let readable = std::fs::Permissions::from_mode(0o666);
    let mut builder = tempfile::Builder::new();
    let mut file = builder
        .permissions(readable)
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// What an earlier run said of itself is not true of this one.
fn remove(path: &Path) -> Result<(), ReportError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(ReportError::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn results(path: &Path) -> Result<Vec<ScenarioResult>, ReportError> {
    let text = std::fs::read_to_string(path).map_err(|source| ReportError::Read {
        path: path.to_owned(),
        source,
    })?;
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| ReportError::NoResult {
                path: path.to_owned(),
                line: index + 1,
                source,
            })
        })
        .collect()
}

fn provenance(path: PathBuf) -> Result<Option<Provenance>, ReportError> {
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| ReportError::NoProvenance { path, source }),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_as_readable_as_any_file_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let run = Run {
            results: Vec::new(),
            provenance: None,
        };
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();

        let results = write(folder.path(), &run).unwrap();

        assert_eq!(mode(&results), mode(&plain));
        assert_eq!(mode(&folder.path().join(JUNIT)), mode(&plain));
    }
}
