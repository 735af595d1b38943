//! Which contexts runs may create namespaces in.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::Deserialize;

use crate::snapshot::{YamlError, from_yaml};

/// The file with the contexts that a user allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowList {
    path: PathBuf,
}

/// Why it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AllowListError {
    /// There is no home folder.
    #[error("there is no home folder, and so no contexts.yaml; set HOME")]
    NoHome,
    /// The file.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is in it.
    #[error("the list of allowed contexts cannot be read; write it as `contexts: [NAME, NAME]`\n{0}")]
    Yaml(Box<YamlError>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    contexts: Vec<String>,
}

impl AllowList {
    /// `meshproof/contexts.yaml` of the user's configuration folder.
    ///
    /// # Errors
    /// When there is no home folder.
    pub fn user() -> Result<Self, AllowListError> {
        let folders = etcetera::choose_base_strategy().map_err(|_| AllowListError::NoHome)?;
        Ok(Self::at(
            folders.config_dir().join("meshproof").join("contexts.yaml"),
        ))
    }

    /// Another file.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it names the context. One that is not there names none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has(&self, context: &str) -> Result<bool, AllowListError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(source) => {
                return Err(AllowListError::Read {
                    path: self.path.clone(),
                    source,
                });
            }
        };
        let written: Written =
            from_yaml(&text, &self.path.display().to_string()).map_err(AllowListError::Yaml)?;
        Ok(written.contexts.iter().any(|it| it == context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_allowed_by_its_whole_name_and_a_mistake_is_shown_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let list = AllowList::at(folder.path().join("contexts.yaml"));
        assert!(!list.has("staging").unwrap());
        std::fs::write(list.path(), "contexts: [staging, dev]\n").unwrap();
        for (context, is_allowed) in [("staging", true), ("stag", false), ("production", false)] {
            assert_eq!(list.has(context).unwrap(), is_allowed, "{context}");
        }
        std::fs::write(list.path(), "# mine\ncontext: [staging]\n").unwrap();
        let error = list.has("staging").unwrap_err().to_string();
        assert!(error.contains("contexts.yaml:2"), "{error}");
        assert!(error.contains("contexts: [NAME, NAME]"), "{error}");
    }
}
