//! A scenario to begin with.

use std::path::{Path, PathBuf};

/// Why no scenario was written.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonError {
    /// A name that no file and no id could have.
    #[error(
        "{0:?} cannot name a scenario: use lower-case letters, digits, dots and dashes, for example skew-1.24.0"
    )]
    Name(String),
    /// There is one already.
    #[error("{} is there already: choose another name, or edit it", .0.display())]
    Exists(PathBuf),
    /// The file.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A scenario that lints and holds, with comments that say what is to be changed.
///
/// # Errors
/// [`SkeletonError::Name`].
pub fn skeleton(name: &str) -> Result<String, SkeletonError> {
    let allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '.';
    let ends = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    if !(name.chars().all(allowed) && name.starts_with(ends) && name.ends_with(ends)) {
        return Err(SkeletonError::Name(name.to_owned()));
    }
    Ok(include_str!("skeleton.yaml").replace("name: NAME", &format!("name: {name}")))
}

/// Writes it into `folder`, and says where. What is there already stays.
///
/// # Errors
/// See [`SkeletonError`].
pub fn write_skeleton(folder: &Path, name: &str) -> Result<PathBuf, SkeletonError> {
    let text = skeleton(name)?;
    let path = folder.join(format!("{name}.yaml"));
    let written = std::fs::File::create_new(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    match written {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(SkeletonError::Exists(path)),
        Err(source) => Err(SkeletonError::Write { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::Tier;
    use crate::scenario::verdict::Verdict;
    use crate::scenario::{Options, load, predict_only};

    #[test]
    fn it_lints_and_is_predicted_to_hold() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my-incident.yaml");
        std::fs::write(&file, skeleton("my-incident").unwrap()).unwrap();
        let scenario = load(&file, &root).map_err(|found| format!("{found:#?}")).unwrap();
        let result = predict_only(&scenario, &Options::on(Tier::Local)).unwrap();
        assert_eq!(result.verdict, Verdict::Held, "{result:#?}");
    }

    #[test]
    fn a_name_that_would_leave_the_folder_is_refused() {
        for name in ["../evil", "Upper", "", "-x", "a b", ".hidden", "trailing."] {
            assert!(skeleton(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_skeleton(folder.path(), "mine").unwrap();
        std::fs::write(&path, "edited").unwrap();
        assert!(matches!(
            write_skeleton(folder.path(), "mine"),
            Err(SkeletonError::Exists(_))
        ));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "edited");
    }
}
