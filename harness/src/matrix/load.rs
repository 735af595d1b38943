//! Reading `matrix.yaml`: either a matrix that can be run, or all of its mistakes.

use std::path::Path;
use std::sync::LazyLock;

use jiff::civil::Date;
use serde_json::Value;

use super::Matrix;
use super::check::check;
use super::format::MatrixFile;
use crate::istio::ReleaseTable;
use crate::scenario::schema::schema_of;
use crate::scenario::{Catalogue, Diagnostic, SourceText, no_yaml, structure};
use crate::snapshot::tree::Node;

/// The file, from the workspace root.
pub const MATRIX_FILE: &str = "matrix.yaml";
/// Its schema, for editors.
pub const SCHEMA_FILE: &str = "matrix.schema.json";

/// The matrix of the workspace at `root`, as of `today`.
///
/// # Errors
/// All mistakes: first those of the form, and where there is none, those of the meaning.
pub fn load(root: &Path, catalogue: &Catalogue, today: Date) -> Result<Matrix, Vec<Diagnostic>> {
    let path = root.join(MATRIX_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let source = SourceText::new(&path, root, "");
            let message = format!("cannot read the matrix: {error}");
            return Err(vec![Diagnostic::about(&source, message)]);
        }
    };
    of_text(text, &path, root, catalogue, today)
}

pub(super) fn of_text(
    text: String,
    path: &Path,
    root: &Path,
    catalogue: &Catalogue,
    today: Date,
) -> Result<Matrix, Vec<Diagnostic>> {
    let source = SourceText::new(path, root, text);
    let tree = Node::parse(&source.text).map_err(|malformed| vec![no_yaml(malformed, &source)])?;
    let shape = structure::check(&tree, schema(), &source, "a matrix");
    if !shape.mistakes.is_empty() {
        return Err(shape.mistakes);
    }
    let about = |message: String| vec![Diagnostic::about(&source, message)];
    let file: MatrixFile =
        serde_json::from_value(tree.to_json()).map_err(|error| about(error.to_string()))?;
    let releases = ReleaseTable::known().map_err(|error| about(error.to_string()))?;
    check(file, &tree, &source, catalogue, releases, today)
}

/// The text of [`SCHEMA_FILE`].
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| schema_of::<MatrixFile>("harness/src/matrix/format.rs"));
    &SCHEMA
}
