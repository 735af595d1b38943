//! Loading a scenario file: either a scenario that can run, or all of its mistakes.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semver::Version;

use super::check;
use super::diagnostic::{Diagnostic, SourceText};
use super::draft::Draft;
use super::format::ScenarioFile;
use super::schema::json_schema;
use super::structure;
use crate::snapshot::tree::{Malformed, Node, Step};

/// A scenario that was loaded: every name in it leads somewhere.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the file says.
    pub file: ScenarioFile,
    /// `spec.istio`.
    pub release: Version,
    /// Its path.
    pub path: PathBuf,
    /// The workspace root, from which manifest paths start.
    pub root: PathBuf,
    /// Its text, for messages that point into it.
    pub source: Arc<SourceText>,
    tree: Node,
}

/// Loads the scenario at `path`; `root` is the workspace root, from which manifest paths start.
///
/// # Errors
/// All mistakes, in the order of the file, those of manifests last.
pub fn load(path: &Path, root: &Path) -> Result<Scenario, Vec<Diagnostic>> {
    match std::fs::read_to_string(path) {
        Ok(text) => load_text(text, path, root),
        Err(error) => {
            let source = SourceText::new(path, root, "");
            Err(vec![Diagnostic::about(
                &source,
                format!("cannot read the scenario: {error}"),
            )])
        }
    }
}

fn load_text(text: String, path: &Path, root: &Path) -> Result<Scenario, Vec<Diagnostic>> {
    let source = SourceText::new(path, root, text);
    let tree = Node::parse(&source.text).map_err(|malformed| vec![no_yaml(malformed, &source)])?;
    let shape = structure::check(&tree, json_schema(), &source, "a scenario file");
    let known = tree.without(&shape.strangers);
    let draft = Draft::of(&known.to_json());
    let place = Place {
        path,
        root,
        source: &source,
        tree: &known,
    };
    let mut mistakes = shape.mistakes;
    mistakes.extend(check::check(&draft, &place));
    if mistakes.is_empty() {
        // The schema is made from the types, so this cannot refuse what the schema let pass; if it does, say so.
        match (serde_json::from_value(known.to_json()), draft.release) {
            (Ok(file), Some(release)) => {
                return Ok(Scenario {
                    file,
                    release,
                    path: path.to_owned(),
                    root: root.to_owned(),
                    source,
                    tree: known,
                });
            }
            (Err(error), _) => mistakes.push(Diagnostic::about(&source, error.to_string())),
            (Ok(_), None) => mistakes.push(Diagnostic::about(&source, "`spec.istio` is no version")),
        }
    }
    mistakes.sort_by_key(|m| (m.source.name != source.name, m.span.as_ref().map(|s| s.start)));
    mistakes.dedup();
    Err(mistakes)
}

/// Says that a file is no YAML, and where it stops to be.
pub(crate) fn no_yaml(malformed: Malformed, source: &Arc<SourceText>) -> Diagnostic {
    if let Some(key) = malformed.duplicate {
        let mistake = Diagnostic::at(source, malformed.span, format!("the key `{key}` is given twice"));
        return mistake.label("again here");
    }
    let mistake = Diagnostic::at(source, malformed.span, "invalid YAML").label(malformed.message);
    mistake.help("the cause may stand above: an open bracket or quote, a wrong indentation, a tab")
}

impl Scenario {
    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.file.metadata.name
    }

    /// Where a manifest lies: paths that start with `.` are relative to the scenario file, others to the root.
    #[must_use]
    pub fn manifest_path(&self, written: &str) -> PathBuf {
        manifest_path(written, &self.path, &self.root)
    }

    /// What the ids of a phase's calls begin with.
    #[must_use]
    pub fn id_prefix(&self, phase: usize) -> String {
        let name = self
            .file
            .spec
            .phases
            .get(phase)
            .map_or("", |phase| phase.name.as_str());
        format!("{}::{name}", self.name())
    }

    /// The bytes of an expectation in [`Scenario::source`].
    #[must_use]
    pub fn expectation_span(&self, phase: usize, expectation: usize) -> Range<usize> {
        self.tree.span_near(&steps(phase, "expect", expectation))
    }

    pub(super) fn span_of(&self, path: &[Step]) -> Range<usize> {
        self.tree.span_near(path)
    }

    /// An inline object of `apply` as a YAML text in which it stands on the lines it has in the file.
    pub(super) fn inline_object(&self, phase: usize, number: usize) -> String {
        in_place(
            &self.source.text,
            self.tree.span_near(&steps(phase, "apply", number)),
        )
    }
}

/// The file that a check is about.
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) root: &'a Path,
    pub(super) source: &'a Arc<SourceText>,
    pub(super) tree: &'a Node,
}

/// The path to an entry of a list of a phase.
pub(super) fn steps(phase: usize, key: &str, index: usize) -> [Step; 5] {
    [
        "spec".into(),
        "phases".into(),
        phase.into(),
        key.into(),
        index.into(),
    ]
}

pub(super) fn manifest_path(written: &str, scenario: &Path, root: &Path) -> PathBuf {
    let from = if written.starts_with('.') {
        scenario.parent().unwrap_or(root)
    } else {
        root
    };
    let relative = Path::new(written);
    from.join(relative.strip_prefix(".").unwrap_or(relative))
}

/// Blanks all but `span`, so that a parser's lines and columns are those of the file.
pub(super) fn in_place(text: &str, span: Range<usize>) -> String {
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    let before = text.get(..span.start).unwrap_or_default().chars().map(blank);
    before
        .chain(text.get(span.clone()).unwrap_or_default().chars())
        .collect()
}
