//! With [`tree`](super::tree) the only user of the YAML library: documents of a text, each read as its kind's type, and
//! errors with their place.

use std::fmt;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{MessageFormatter as _, Spanned};

use super::kind::{ByValue, Reader, WithMetadata, read_kind};
use super::mixed::Mistake;
use super::{Object, ObjectRef, Source, schema};

/// A text that is no YAML, or holds no object of the kind it says. Displayed with the line it is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct YamlError {
    /// File name, or what else the text is called.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line's text.
    pub excerpt: String,
}

impl std::error::Error for YamlError {}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = byte_of_column(&self.excerpt, self.column);
        let snippet = Snippet::source(self.excerpt.as_str())
            .path(self.file.as_str())
            .line_start(self.line)
            .fold(false)
            .annotation(AnnotationKind::Primary.span(start..start + word_length(&self.excerpt[start..])));
        let report = [Level::ERROR.primary_title(self.message.as_str()).element(snippet)];
        f.write_str(&Renderer::plain().render(&report))
    }
}

/// Writes a value as one document.
pub(crate) fn to_yaml(value: &impl Serialize) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

/// Reads every object of a text: several documents, and the items of `List` objects.
pub(super) fn objects(text: &str, file: &str) -> Result<Vec<(Object, Source)>, Box<YamlError>> {
    let mut found = Vec::new();
    for document in documents(text) {
        document.read_objects(file, &mut found)?;
    }
    Ok(found)
}

/// What a text holds, mistakes and all.
#[derive(Default)]
pub(super) struct Mixed {
    pub(super) objects: Vec<(Object, Source)>,
    /// Documents that are no Kubernetes objects.
    pub(super) plain: Vec<(Value, Source)>,
    pub(super) mistakes: Vec<Mistake>,
    /// Documents that could not be read.
    pub(super) unread: Vec<YamlError>,
}

/// Reads what can be read of a text, document by document and item by item. Fields that an object's schema does not
/// know are taken out and told.
pub(super) fn mixed(text: &str, file: &str) -> Mixed {
    let mut found = Mixed::default();
    for document in documents(text) {
        if let Err(error) = document.read_mixed(file, &mut found) {
            found.unread.push(*error);
        }
    }
    found
}

/// Reads one value of a text that is one document.
pub(crate) fn value<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, Box<YamlError>> {
    Document { text, first_line: 1 }.read(file)
}

/// One document of a text.
struct Document<'a> {
    text: &'a str,
    first_line: usize,
}

/// What every object begins with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    api_version: Option<Spanned<String>>,
    kind: Option<Spanned<String>>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Option<Vec<Spanned<Value>>>,
}

/// Splits at document markers. No marker can stand at the start of a line of content (YAML 1.2.2, 9.1.4).
fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut first_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let next = offset + line.len();
        if let Some(rest) = marker(line) {
            documents.push(Document {
                text: &text[start..offset],
                first_line,
            });
            start = next - rest.len();
            first_line = index + 1;
        }
        offset = next;
    }
    documents.push(Document {
        text: &text[start..],
        first_line,
    });
    documents.retain(|document| document.content_line().is_some());
    documents
}

/// What follows a document marker on its line.
fn marker(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."))?;
    rest.starts_with(char::is_whitespace)
        .then_some(rest)
        .or(rest.is_empty().then_some(rest))
}

impl Document<'_> {
    /// Index of the first line that is neither blank nor a comment nor a directive.
    fn content_line(&self) -> Option<usize> {
        self.text
            .lines()
            .position(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['#', '%']))
    }

    fn line(&self) -> usize {
        self.first_line + self.content_line().unwrap_or_default()
    }

    fn read_objects(&self, file: &str, found: &mut Vec<(Object, Source)>) -> Result<(), Box<YamlError>> {
        let Some((api_version, kind)) = self.envelope(file)? else {
            return Err(self.error(
                file,
                self.line(),
                1,
                "no Kubernetes object: `apiVersion` or `kind` is missing".to_owned(),
            ));
        };
        if kind == "List" || (kind.ends_with("List") && self.has_items(file)) {
            return self.read_list(file, found);
        }
        let object = read_kind(&api_version, &kind, &mut ByDocument { document: self, file })?;
        found.push((object, self.source(file, self.line())));
        Ok(())
    }

    /// `apiVersion` and `kind`, where the document has both.
    fn envelope(&self, file: &str) -> Result<Option<(String, String)>, Box<YamlError>> {
        if let (Some(api_version), Some(kind)) = (self.plain_key("apiVersion"), self.plain_key("kind")) {
            return Ok(Some((api_version.to_owned(), kind.to_owned())));
        }
        let envelope: Option<Envelope> = self.read(file)?;
        let both = envelope.and_then(|it| Some((it.api_version?, it.kind?)));
        Ok(both.map(|(api_version, kind)| (api_version.value, kind.value)))
    }

    /// The value of a key that stands at the start of a line and is a plain word, as in nearly every manifest. Reading a
    /// document once more for two words takes as long as reading it. What is inside of a value never starts a line.
    fn plain_key(&self, key: &str) -> Option<&str> {
        let mut values = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let value = values.next()?.trim();
        let is_plain = !value.eq_ignore_ascii_case("null")
            && value.starts_with(|c: char| c.is_ascii_alphabetic())
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-'));
        (is_plain && values.next().is_none()).then_some(value)
    }

    fn read_mixed(&self, file: &str, found: &mut Mixed) -> Result<(), Box<YamlError>> {
        let source = self.source(file, self.line());
        let envelope: Option<Envelope> = self.read(file)?;
        let (Some(api_version), Some(kind)) = envelope.map_or((None, None), |it| (it.api_version, it.kind))
        else {
            found.plain.push((self.read(file)?, source));
            return Ok(());
        };
        let (api_version, kind) = (api_version.value, kind.value);
        if kind == "List" || (kind.ends_with("List") && self.has_items(file)) {
            let list: List = self.read(file)?;
            for item in list.items.into_iter().flatten() {
                let (line, column) = self.place(&item);
                if let Err(problem) = read_item(item.value, self.source(file, line), found) {
                    found.unread.push(*self.error(file, line, column, problem));
                }
            }
            return Ok(());
        }
        if !has_schema(&api_version) {
            let object = read_kind(&api_version, &kind, &mut ByDocument { document: self, file })?;
            found.objects.push((object, source));
            return Ok(());
        }
        let told = found.mistakes.len();
        let Err(problem) = read_item(self.read(file)?, source, found) else {
            return Ok(());
        };
        // Read again as its type, the mistake is shown where it stands, unless the schema has taken it out.
        match read_kind(&api_version, &kind, &mut ByDocument { document: self, file }) {
            Err(error) if found.mistakes.len() == told => Err(error),
            _ => Err(self.error(file, self.line(), 1, problem)),
        }
    }

    fn place(&self, item: &Spanned<Value>) -> (usize, usize) {
        let line = usize::try_from(item.referenced.line()).unwrap_or(1);
        let column = usize::try_from(item.referenced.column()).unwrap_or(1);
        (self.first_line + line.saturating_sub(1), column)
    }

    fn has_items(&self, file: &str) -> bool {
        self.read::<List>(file).is_ok_and(|list| list.items.is_some())
    }

    fn read_list(&self, file: &str, found: &mut Vec<(Object, Source)>) -> Result<(), Box<YamlError>> {
        let list: List = self.read(file)?;
        for item in list.items.into_iter().flatten() {
            let (line, column) = self.place(&item);
            let text_of = |key: &str| item.value.get(key).and_then(Value::as_str).map(str::to_owned);
            let (Some(api_version), Some(kind)) = (text_of("apiVersion"), text_of("kind")) else {
                let message = "no Kubernetes object: `apiVersion` or `kind` is missing".to_owned();
                return Err(self.error(file, line, column, message));
            };
            let object = read_kind(&api_version, &kind, &mut ByValue(item.value))
                .map_err(|problem| self.error(file, line, column, format!("no valid {kind}: {problem}")))?;
            found.push((object, self.source(file, line)));
        }
        Ok(())
    }

    fn source(&self, file: &str, line: usize) -> Source {
        Source {
            file: file.to_owned(),
            line,
        }
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<T, Box<YamlError>> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            // Anchors save a hand-written manifest some lines; a million repeats are an attack, and take half a minute.
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: 50_000,
            },
            budget: serde_saphyr::budget! {
                // A `List` of a whole cluster (5,000 pods) has some 3 million nodes.
                max_nodes: 20_000_000,
                max_events: 60_000_000,
            },
        };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |at| {
                (
                    usize::try_from(at.line()).unwrap_or(1),
                    usize::try_from(at.column()).unwrap_or(1),
                )
            });
            let message = serde_saphyr::DefaultMessageFormatter
                .format_message(&error)
                .into_owned();
            self.error(file, self.first_line + line.max(1) - 1, column.max(1), message)
        })
    }

    fn error(&self, file: &str, line: usize, column: usize, message: String) -> Box<YamlError> {
        // A line of a Secret may hold what nobody must read.
        let is_secret = self.text.contains("Secret");
        let line_text = self.text.lines().nth(line.saturating_sub(self.first_line));
        let excerpt = line_text.filter(|_| !is_secret).unwrap_or_default().to_owned();
        Box::new(YamlError {
            file: file.to_owned(),
            line,
            column,
            message,
            excerpt,
        })
    }
}

struct ByDocument<'a> {
    document: &'a Document<'a>,
    file: &'a str,
}

impl Reader for ByDocument<'_> {
    type Error = Box<YamlError>;

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Self::Error> {
        self.document.read(self.file)
    }
}

/// Reads one object that is there as a value.
fn read_item(mut value: Value, source: Source, found: &mut Mixed) -> Result<(), String> {
    let text_of = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let (Some(api_version), Some(kind)) = (text_of("apiVersion"), text_of("kind")) else {
        return Err("no Kubernetes object: `apiVersion` or `kind` is missing".to_owned());
    };
    let mistakes = schema::prune(&mut value);
    let metadata = WithMetadata::deserialize(&value)
        .ok()
        .and_then(|it| it.metadata)
        .unwrap_or_default();
    let name = ObjectRef::new(
        &kind,
        metadata.namespace.as_deref(),
        metadata.name.unwrap_or_default(),
    );
    found.mistakes.extend(mistakes.into_iter().map(|mistake| Mistake {
        object: name.clone(),
        source: source.clone(),
        mistake,
    }));
    let object = read_kind(&api_version, &kind, &mut ByValue(value))
        .map_err(|problem| format!("no valid {kind}: {problem}"))?;
    found.objects.push((object, source));
    Ok(())
}

/// The object that a server has given as a value; it knows no field that the schema does not know.
pub(super) fn item(value: Value) -> Result<Object, String> {
    let text_of = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let (Some(api_version), Some(kind)) = (text_of("apiVersion"), text_of("kind")) else {
        return Err("no Kubernetes object: `apiVersion` or `kind` is missing".to_owned());
    };
    let name = value
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    read_kind(&api_version, &kind, &mut ByValue(value))
        .map_err(|problem| format!("no valid {kind} {name}: {problem}"))
}

fn has_schema(api_version: &str) -> bool {
    api_version
        .split('/')
        .next()
        .is_some_and(|group| group.ends_with(".istio.io"))
}

/// Whether a file is a manifest by its name.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|it| it == "yaml" || it == "yml" || it == "json")
}

fn byte_of_column(line: &str, column: usize) -> usize {
    line.char_indices()
        .nth(column.saturating_sub(1))
        .map_or(line.len(), |(at, _)| at)
}

fn word_length(rest: &str) -> usize {
    rest.find(|c: char| c.is_whitespace() || ":,}]".contains(c))
        .unwrap_or(rest.len())
        .max(rest.chars().next().map_or(0, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_at_a_character_of_several_bytes_is_shown() {
        for character in ['\u{2028}', '\u{a0}', 'é', '𝄞'] {
            let error = YamlError {
                file: "mesh.yaml".to_owned(),
                line: 1,
                column: 1,
                message: "wrong".to_owned(),
                excerpt: format!("{character}a"),
            };
            assert!(error.to_string().contains(" --> mesh.yaml:1:1"));
        }
    }

    #[test]
    fn aliases_may_repeat_but_not_without_end() {
        let bomb = |levels: usize| {
            (0..levels).fold("a0: &a0 [x, x, x]\n".to_owned(), |text, n| {
                format!("{text}a{}: &a{} [*a{n}, *a{n}, *a{n}]\n", n + 1, n + 1)
            })
        };
        assert!(value::<Value>(&bomb(3), "mesh.yaml").is_ok());
        assert!(value::<Value>(&bomb(30), "mesh.yaml").is_err());
    }
}
