//! A mistake in an input file, shown where it stands.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// A file that was read: what it is called in messages, and its text.
#[derive(Debug, Eq, PartialEq)]
pub struct SourceText {
    /// Its path as shown: from the workspace root where it lies in it.
    pub name: String,
    /// Its content.
    pub text: String,
}

impl SourceText {
    /// A source shown by its path from `root`.
    #[must_use]
    pub fn new(path: &Path, root: &Path, text: impl Into<String>) -> Arc<Self> {
        let shown = path.strip_prefix(root).unwrap_or(path);
        Arc::new(Self {
            name: shown.display().to_string(),
            text: text.into(),
        })
    }

    /// Line and column, from 1, of a byte of the text. Columns count characters.
    #[must_use]
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    /// The bytes of a line counted from 1, without its indentation and line end.
    #[must_use]
    pub fn line(&self, number: usize) -> Range<usize> {
        let mut start = 0;
        for (index, line) in self.text.split_inclusive('\n').enumerate() {
            if index + 1 == number {
                let text = line.trim_end();
                let indent = text.len() - text.trim_start().len();
                return start + indent..start + text.len();
            }
            start += line.len();
        }
        self.text.len()..self.text.len()
    }
}

/// One mistake: what is wrong, where, and what to do about it. Displays like a compiler's message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// What is wrong, in a line.
    pub message: String,
    /// What is said at the marked text; may be empty.
    pub label: String,
    /// What to do about it, each a sentence.
    pub help: Vec<String>,
    /// The file.
    pub source: Arc<SourceText>,
    /// The marked bytes; `None` where the file as a whole is meant.
    pub span: Option<Range<usize>>,
    /// Other places of the same file that explain this one.
    pub related: Vec<(Range<usize>, String)>,
}

impl Diagnostic {
    /// A mistake at `span`.
    #[must_use]
    pub fn at(source: &Arc<SourceText>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span: Some(span),
            ..Self::about(source, message)
        }
    }

    /// A mistake of the file as a whole.
    #[must_use]
    pub fn about(source: &Arc<SourceText>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            label: String::new(),
            help: Vec::new(),
            source: Arc::clone(source),
            span: None,
            related: Vec::new(),
        }
    }

    /// With words at the marked text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// With advice, if there is any.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help.extend(help);
        self
    }

    /// With another place that explains this one.
    #[must_use]
    pub fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Line and column of the mistake, from 1; `None` where the file as a whole is meant.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.span.as_ref().map(|span| self.source.position(span.start))
    }

    /// The message with its picture, coloured for a terminal if asked.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let title = Level::ERROR.primary_title(self.message.as_str());
        let mut group = match &self.span {
            None => title.element(Origin::path(self.source.name.as_str())),
            Some(span) => title.element(self.snippet(span)),
        };
        let help = self.help.iter().map(|help| Level::HELP.message(help.as_str()));
        group = group.elements(help);
        let report: [Group<'_>; 1] = [group];
        renderer.decor_style(DecorStyle::Ascii).render(&report)
    }

    fn snippet(&self, span: &Range<usize>) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let label = (!self.label.is_empty()).then_some(self.label.as_str());
        let primary = AnnotationKind::Primary
            .span(first_line(&self.source.text, span))
            .label(label);
        let context = self.related.iter().map(|(span, label)| {
            AnnotationKind::Context
                .span(first_line(&self.source.text, span))
                .label(label.as_str())
        });
        Snippet::source(self.source.text.as_str())
            .path(self.source.name.as_str())
            .annotation(primary)
            .annotations(context)
    }
}

/// A mark over several lines draws a bracket and drowns the words; the first line says where it is.
fn first_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let covered = text.get(span.clone()).unwrap_or_default();
    let line = covered.lines().next().unwrap_or_default().trim_end();
    span.start..span.start + line.len()
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostic {}

impl Serialize for Diagnostic {
    /// `{"file","line","column","message","label","help"}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let position = self.position();
        let mut object = serializer.serialize_struct("Diagnostic", 6)?;
        object.serialize_field("file", &self.source.name)?;
        object.serialize_field("line", &position.map(|(line, _)| line))?;
        object.serialize_field("column", &position.map(|(_, column)| column))?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("label", &self.label)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}
