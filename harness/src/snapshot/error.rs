//! What can go wrong when objects are read.

use std::path::PathBuf;

use super::{ObjectRef, YamlError};

/// Objects could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something that is not YAML, or no object of the kind it says.
    #[error(transparent)]
    Yaml(#[from] Box<YamlError>),
    /// A folder without any manifest.
    #[error("no .yaml, .yml or .json file in {}; name a folder that holds manifests", .0.display())]
    EmptyFolder(PathBuf),
    /// A part of a cluster that could not be read, now or when a bundle was written.
    #[error("{0}")]
    Gap(String),
}

/// An object to delete is not in the snapshot.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot delete {object}: no such object{}", nearest.as_ref().map(|it| format!("; did you mean {it}?")).unwrap_or_default())]
pub struct NoSuchObject {
    /// The object asked for.
    pub object: ObjectRef,
    /// The one whose name is nearest, if any is near.
    pub nearest: Option<ObjectRef>,
}
