//! YAML as a tree that knows where everything stands.
//!
//! Types read by serde stop at the first mistake. This tree is read first, whatever it holds, so that all mistakes
//! can be reported together and each at its place.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer};
use serde_json::{Number, Value};
use serde_saphyr::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};

/// A node of a YAML document. Spans are byte ranges of the source.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Yaml,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node,
}

/// One step into a tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Text that is no YAML: what is wrong, and where.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) message: String,
    /// The key, where the mistake is that it is there twice.
    pub(crate) duplicate: Option<String>,
    pub(crate) span: Range<usize>,
}

impl Node {
    /// Reads the one document of `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        match serde_saphyr::from_str::<Spanned<Raw>>(text) {
            Ok(raw) => Ok(Self::place(raw, text)),
            Err(error) => Err(Malformed::of(&error, text)),
        }
    }

    /// The node that `path` leads to.
    pub(crate) fn at(&self, path: &[Step]) -> Option<&Self> {
        let Some((step, rest)) = path.split_first() else {
            return Some(self);
        };
        match (step, &self.value) {
            (Step::Key(key), Yaml::Map(entries)) => entries.iter().find(|e| e.key == *key)?.value.at(rest),
            (Step::Index(index), Yaml::List(items)) => items.get(*index)?.at(rest),
            _ => None,
        }
    }

    /// The most precise span there is for `path`: that of the deepest node on it that exists.
    pub(crate) fn span_near(&self, path: &[Step]) -> Range<usize> {
        (0..=path.len())
            .rev()
            .find_map(|len| self.at(path.get(..len)?))
            .map_or(0..0, |node| node.span.clone())
    }

    /// The span of the key of the last step of `path`, or of the node itself where that is no key.
    pub(crate) fn key_span(&self, path: &[Step]) -> Range<usize> {
        if let Some((Step::Key(key), parents)) = path.split_last()
            && let Some(Yaml::Map(entries)) = self.at(parents).map(|node| &node.value)
            && let Some(entry) = entries.iter().find(|e| e.key == *key)
        {
            return entry.key_span.clone();
        }
        self.span_near(path)
    }

    /// The same tree without the entries at these paths.
    pub(crate) fn without(mut self, paths: &[Vec<Step>]) -> Self {
        for path in paths {
            if let Some((Step::Key(key), parents)) = path.split_last()
                && let Some(Yaml::Map(entries)) = self.at_mut(parents).map(|node| &mut node.value)
            {
                entries.retain(|e| e.key != *key);
            }
        }
        self
    }

    fn at_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        let Some((step, rest)) = path.split_first() else {
            return Some(self);
        };
        match (step, &mut self.value) {
            (Step::Key(key), Yaml::Map(entries)) => {
                entries.iter_mut().find(|e| e.key == *key)?.value.at_mut(rest)
            }
            (Step::Index(index), Yaml::List(items)) => items.get_mut(*index)?.at_mut(rest),
            _ => None,
        }
    }

    /// The same content without places.
    pub(crate) fn to_json(&self) -> Value {
        match &self.value {
            Yaml::Scalar(value) => value.clone(),
            Yaml::List(items) => items.iter().map(Self::to_json).collect(),
            Yaml::Map(entries) => entries
                .iter()
                .map(|e| (e.key.clone(), e.value.to_json()))
                .collect(),
        }
    }

    fn place(raw: Spanned<Raw>, text: &str) -> Self {
        let start = bytes(raw.referenced, text);
        let value = match raw.value {
            Raw::Scalar(value) => Yaml::Scalar(value),
            Raw::List(items) => Yaml::List(items.into_iter().map(|item| Self::place(item, text)).collect()),
            Raw::Map(entries) => Yaml::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key_span: bytes(key.referenced, text),
                        key: key.value,
                        value: Self::place(value, text),
                    })
                    .collect(),
            ),
        };
        let last = match &value {
            Yaml::Scalar(_) => None,
            Yaml::List(items) => Some(items.last().map_or(start.start + 1, |item| item.span.end)),
            Yaml::Map(entries) => Some(
                entries
                    .last()
                    .map_or(start.start + 1, |e| e.value.span.end.max(e.key_span.end)),
            ),
        };
        let end = last
            .map_or(start.end, |last| closing(text, start.start, last))
            .max(start.end);
        Self {
            span: start.start..end.min(text.len()),
            value,
        }
    }
}

/// The parser gives only the start of a collection. It ends with its last element, or with the bracket behind that.
fn closing(text: &str, start: usize, last: usize) -> usize {
    let bracket = match text.as_bytes().get(start) {
        Some(b'{') => '}',
        Some(b'[') => ']',
        _ => return last,
    };
    let behind = text.get(last..).unwrap_or_default();
    let skipped = behind.len() - behind.trim_start_matches([' ', '\n', '\r', ',']).len();
    if behind[skipped..].starts_with(bracket) {
        last + skipped + 1
    } else {
        last
    }
}

fn bytes(location: Location, text: &str) -> Range<usize> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or(0))
        .unwrap_or(0)
        .min(text.len());
    let len = usize::try_from(span.byte_len().unwrap_or(0)).unwrap_or(0);
    let end = (start + len).min(text.len());
    let covered = text.get(start..end).unwrap_or_default().trim_end();
    start..start + covered.len()
}

impl Malformed {
    fn of(error: &serde_saphyr::Error, text: &str) -> Self {
        let place = error.location().filter(|location| *location != Location::UNKNOWN);
        let duplicate = match error.without_snippet() {
            serde_saphyr::Error::DuplicateMappingKey { key, .. } => key.clone(),
            _ => None,
        };
        Self {
            duplicate,
            message: UserMessageFormatter
                .format_message(error.without_snippet())
                .into_owned(),
            span: place.map_or(text.len()..text.len(), |location| place_of(location, text)),
        }
    }
}

/// Where an error is. The scanner gives no bytes, only line and column.
fn place_of(location: Location, text: &str) -> Range<usize> {
    if location.span().byte_offset().is_some() {
        return bytes(location, text);
    }
    let number = |n: u64| usize::try_from(n).unwrap_or(1).saturating_sub(1);
    let (line, column) = (number(location.line()), number(location.column()));
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let behind = text.get(start..).unwrap_or_default();
    let skipped: usize = behind.chars().take(column).map(char::len_utf8).sum();
    let start = start + skipped;
    let marked = text.get(start..).and_then(|rest| rest.chars().next());
    start..start + marked.map_or(0, char::len_utf8)
}

enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> de::Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(
            Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number),
        ))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_covers_exactly_its_text() {
        let text = "a: {b: [1, x y ], c: 'é'}\nlist:\n  - one\n  - k: v\n    l: \"w\"\ne: {f: { }, g: []}\n";
        let tree = Node::parse(text).unwrap();
        let covered = |path: &[Step]| &text[tree.at(path).unwrap().span.clone()];
        assert_eq!(covered(&["a".into()]), "{b: [1, x y ], c: 'é'}");
        assert_eq!(covered(&["a".into(), "b".into()]), "[1, x y ]");
        assert_eq!(covered(&["a".into(), "b".into(), 1.into()]), "x y");
        assert_eq!(covered(&["a".into(), "c".into()]), "'é'");
        assert_eq!(covered(&["e".into()]), "{f: { }, g: []}");
        assert_eq!(covered(&["e".into(), "f".into()]), "{ }");
        assert_eq!(covered(&["list".into(), 0.into()]), "one");
        assert_eq!(covered(&["list".into(), 1.into()]), "k: v\n    l: \"w\"");
        assert_eq!(&text[tree.key_span(&["list".into(), 1.into(), "l".into()])], "l");
    }

    #[test]
    fn the_tree_holds_what_serde_would_read() {
        let text = "a: {b: [1, -2, 2.5, true, null, '1'], c: ~}\n";
        let direct: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(Node::parse(text).unwrap().to_json(), direct);
    }
}
