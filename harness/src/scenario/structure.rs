//! Whether a document has the shape of the format: every mistake of it, not just the first.
//!
//! The shape is read from the JSON Schema, which is generated from the types that serde reads. So the types are
//! the only place where the format is written down.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, SourceText};
use crate::reference::most_similar;
use crate::snapshot::tree::{Entry, Node, Step, Yaml};

/// What a document's shape is wrong in.
pub(crate) struct Shape {
    /// The mistakes, in the order of the file.
    pub(crate) mistakes: Vec<Diagnostic>,
    /// Keys that do not belong there. Without them the rest can still be read and judged.
    pub(crate) strangers: Vec<Vec<Step>>,
}

/// Compares a document with a schema; `what` is what the document as a whole is called in a sentence.
pub(crate) fn check(document: &Node, schema: &Value, source: &Arc<SourceText>, what: &str) -> Shape {
    let mut checker = Checker {
        what,
        schema,
        source,
        path: Vec::new(),
        shape: Shape {
            mistakes: Vec::new(),
            strangers: Vec::new(),
        },
    };
    checker.node(document, schema);
    checker.shape
}

struct Checker<'a> {
    what: &'a str,
    schema: &'a Value,
    source: &'a Arc<SourceText>,
    path: Vec<Step>,
    shape: Shape,
}

impl<'a> Checker<'a> {
    fn node(&mut self, node: &Node, schema: &'a Value) {
        let (schema, definition) = self.resolve(schema);
        if let Some(alternatives) = schema.get("oneOf").and_then(Value::as_array) {
            if alternatives.iter().all(|a| a.get("const").is_some()) {
                self.word(node, alternatives, definition);
            } else {
                self.tagged(node, alternatives, definition);
            }
        } else if let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) {
            self.any_of(node, alternatives, schema, definition);
        } else {
            self.typed(node, schema, definition);
        }
    }

    fn resolve(&self, schema: &'a Value) -> (&'a Value, Option<&'a str>) {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let name = reference.and_then(|r| r.strip_prefix("#/$defs/"));
        match name.and_then(|name| self.schema.get("$defs")?.get(name)) {
            Some(found) => (found, name),
            None => (schema, name),
        }
    }

    fn typed(&mut self, node: &Node, schema: &'a Value, definition: Option<&str>) {
        match (schema.get("type").and_then(Value::as_str), &node.value) {
            (Some("object"), Yaml::Map(entries)) => self.object(node, entries, schema, definition),
            (Some("array"), Yaml::List(items)) => self.list(node, items, schema),
            (Some("string"), Yaml::Scalar(Value::String(_)))
            | (Some("boolean"), Yaml::Scalar(Value::Bool(_)))
            | (None, _) => {}
            (Some("integer"), Yaml::Scalar(Value::Number(number))) if is_within(number, schema) => {}
            (Some("integer"), Yaml::Scalar(_)) => self.no_such_number(node, schema),
            (Some(_), found) if schema.get("pattern").is_some() => self.misfit(node, schema, found),
            (Some(expected), found) => self.mismatch(node, expected, found),
        }
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &'a Value) {
        if items.is_empty() && schema.get("minItems").is_some() {
            let mistake = self
                .at(node, format!("{} is empty", self.here()))
                .label("needs at least one entry");
            self.report(mistake);
        }
        if let Some(schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.below(index, |checker| checker.node(item, schema));
            }
        }
    }

    fn object(&mut self, node: &Node, entries: &[Entry], schema: &'a Value, definition: Option<&str>) {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties.unwrap_or(&none).keys().map(String::as_str).collect();
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        for entry in entries {
            match properties.and_then(|p| p.get(&entry.key)) {
                Some(schema) => self.below(entry.key.as_str(), |checker| checker.node(&entry.value, schema)),
                None if closed => self.stranger(entry, &known, entries, definition),
                None => {}
            }
        }
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for key in required.filter_map(Value::as_str) {
            if entries.iter().all(|e| e.key != key) && !self.misspelt(key, entries, &known) {
                let description = properties.and_then(|p| p.get(key)?.get("description")?.as_str());
                self.missing(node, key, definition, description);
            }
        }
    }

    /// A required key that is there under a wrong spelling is one mistake, not two.
    fn misspelt(&self, key: &str, entries: &[Entry], known: &[&str]) -> bool {
        let strangers = entries.iter().filter(|e| !known.contains(&e.key.as_str()));
        strangers
            .into_iter()
            .any(|e| meant(&e.key, known, entries).as_deref() == Some(key))
    }

    fn stranger(&mut self, entry: &Entry, known: &[&str], siblings: &[Entry], definition: Option<&str>) {
        let mut path = self.path.clone();
        path.push(entry.key.as_str().into());
        self.shape.strangers.push(path);
        let place = self.place(definition);
        let mistake = Diagnostic::at(
            self.source,
            entry.key_span.clone(),
            format!("unknown key `{}` in {place}", entry.key),
        );
        let mistake = match meant(&entry.key, known, siblings) {
            Some(key) => mistake.label(format!("did you mean `{key}`?")),
            None => mistake.label("no such key"),
        };
        self.report(mistake.help(format!("{place} takes {}", listed(known))));
    }

    fn missing(&mut self, node: &Node, key: &str, definition: Option<&str>, description: Option<&str>) {
        let place = self.place(definition);
        let mistake = self
            .at(node, format!("{place} lacks `{key}`"))
            .label(format!("`{key}` is missing"));
        let help = description.map(|text| format!("`{key}`: {}", text.replace('\n', " ")));
        self.report(mistake.maybe_help(help));
    }

    fn word(&mut self, node: &Node, alternatives: &'a [Value], definition: Option<&str>) {
        let words: Vec<&str> = alternatives
            .iter()
            .filter_map(|a| a.get("const")?.as_str())
            .collect();
        let Yaml::Scalar(Value::String(written)) = &node.value else {
            return self.mismatch(node, "string", &node.value);
        };
        if words.contains(&written.as_str()) {
            return;
        }
        let mistake = self.at(node, format!("`{written}` is no {}", noun(definition)));
        self.report(suggest(mistake, written, &words));
    }

    /// One key that names the kind, its value the parameters.
    fn tagged(&mut self, node: &Node, alternatives: &'a [Value], definition: Option<&str>) {
        let kinds: Vec<(&str, &'a Value)> = alternatives
            .iter()
            .filter_map(|a| a.get("properties")?.as_object()?.iter().next())
            .map(|(kind, schema)| (kind.as_str(), schema))
            .collect();
        let names: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        let what = noun(definition);
        match &node.value {
            Yaml::Map(entries) => match entries.as_slice() {
                [entry] => match kinds.iter().find(|(kind, _)| *kind == entry.key) {
                    Some((kind, schema)) => self.below(*kind, |checker| checker.node(&entry.value, schema)),
                    None => {
                        let message = format!("`{}` is no {what}", entry.key);
                        let mistake = Diagnostic::at(self.source, entry.key_span.clone(), message);
                        self.report(suggest(mistake, &entry.key, &names));
                    }
                },
                _ => {
                    let message = format!(
                        "a {what} is one key with its parameters, found {} keys",
                        entries.len()
                    );
                    let found: Vec<&str> = entries.iter().map(|e| e.key.as_str()).collect();
                    let mistake = self.at(node, message).label(format!("found {}", listed(&found)));
                    let first = found.first().copied().unwrap_or(what);
                    let help = format!("indent parameters deeper than their {what}: `- {first}: {{…}}`");
                    self.report(mistake.help(help));
                }
            },
            Yaml::Scalar(Value::String(written)) if names.contains(&written.as_str()) => {
                let mistake = self.at(node, format!("the {what} `{written}` lacks its parameters"));
                self.report(mistake.label(format!("write `{written}: {{…}}`")));
            }
            other => self.mismatch(node, "object", other),
        }
    }

    fn any_of(
        &mut self,
        node: &Node,
        alternatives: &'a [Value],
        schema: &'a Value,
        definition: Option<&str>,
    ) {
        let is_list = |schema: &Value| schema.get("type").and_then(Value::as_str) == Some("array");
        if alternatives.iter().any(is_list) {
            self.one_or_many(node, alternatives);
        } else if let Some(schema) = alternatives.iter().find(|it| self.is_of_type(node, it)) {
            self.node(node, schema);
        } else {
            let message = format!("{} gives no {}", self.here(), noun(definition));
            let mistake = self.at(node, message).label("not of the form asked for");
            let description = schema.get("description").and_then(Value::as_str);
            self.report(mistake.maybe_help(description.map(|text| text.replace('\n', " "))));
        }
    }

    fn is_of_type(&self, node: &Node, schema: &'a Value) -> bool {
        let (schema, _) = self.resolve(schema);
        let wanted = schema.get("type").and_then(Value::as_str).unwrap_or("string");
        let found = match &node.value {
            Yaml::Map(_) => "object",
            Yaml::List(_) => "array",
            Yaml::Scalar(Value::Number(_)) => "integer",
            Yaml::Scalar(Value::String(_)) => "string",
            Yaml::Scalar(_) => return false,
        };
        wanted == found
    }

    fn one_or_many(&mut self, node: &Node, alternatives: &'a [Value]) {
        let wants_list = matches!(node.value, Yaml::List(_));
        let is_list = |schema: &Value| schema.get("type").and_then(Value::as_str) == Some("array");
        if let Some(schema) = alternatives.iter().find(|schema| is_list(schema) == wants_list) {
            self.node(node, schema);
        }
    }

    /// Text of a certain form that YAML read as something else, such as `1.30`.
    fn misfit(&mut self, node: &Node, schema: &Value, found: &Yaml) {
        if !matches!(found, Yaml::Scalar(Value::Number(_))) {
            return self.mismatch(node, "string", found);
        }
        let written = self.source.text.get(node.span.clone()).unwrap_or_default();
        let description = schema.get("description").and_then(Value::as_str);
        let mistake = self.at(
            node,
            format!("{} must be text, found the number {written}", self.here()),
        );
        let help = description.map(|text| format!("{}: {}", self.here(), text.replace('\n', " ")));
        self.report(mistake.label("not of the form asked for").maybe_help(help));
    }

    fn no_such_number(&mut self, node: &Node, schema: &Value) {
        let written = self.source.text.get(node.span.clone()).unwrap_or_default();
        let bound = |name| schema.get(name).and_then(Value::as_i64);
        let range = match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
            (Some(least), None) => format!("a whole number, {least} or more"),
            (None, _) => "a whole number".to_owned(),
        };
        let mistake = self.at(node, format!("{} must be {range}, found {written}", self.here()));
        self.report(mistake.label(format!("expected {range}")));
    }

    fn mismatch(&mut self, node: &Node, expected: &str, found: &Yaml) {
        let expected = match expected {
            "object" => "a mapping",
            "array" => "a list",
            "boolean" => "true or false",
            "integer" => "a whole number",
            _ => "text",
        };
        let (found, quote) = match found {
            Yaml::List(_) => ("a list", false),
            Yaml::Map(_) => ("a mapping", false),
            Yaml::Scalar(Value::Null) => ("nothing", false),
            Yaml::Scalar(Value::Bool(_)) => ("a truth value", true),
            Yaml::Scalar(Value::Number(_)) => ("a number", true),
            Yaml::Scalar(_) => ("text", false),
        };
        let mut mistake = self.at(node, format!("{} must be {expected}, found {found}", self.here()));
        if node.span.is_empty()
            && let Some(Step::Key(key)) = self.path.last()
        {
            mistake = mistake.label(format!("expected {expected} after `{key}:`"));
        } else {
            mistake = mistake.label(format!("expected {expected}"));
        }
        let written = self.source.text.get(node.span.clone()).unwrap_or_default();
        let help = (quote && expected == "text").then(|| format!("write it in quotes: \"{written}\""));
        self.report(mistake.maybe_help(help));
    }

    fn below(&mut self, step: impl Into<Step>, check: impl FnOnce(&mut Self)) {
        self.path.push(step.into());
        check(self);
        self.path.pop();
    }

    fn at(&self, node: &Node, message: String) -> Diagnostic {
        Diagnostic::at(self.source, node.span.clone(), message)
    }

    fn report(&mut self, mistake: Diagnostic) {
        self.shape.mistakes.push(mistake);
    }

    /// What the object at hand is called in a sentence.
    fn place(&self, definition: Option<&str>) -> String {
        match definition {
            Some("Expectation") => "an expectation".to_owned(),
            Some("Phase") => "a phase".to_owned(),
            Some("InlineObject") => "an object".to_owned(),
            _ => self.here(),
        }
    }

    fn here(&self) -> String {
        match self.path.as_slice() {
            [] => self.what.to_owned(),
            [.., Step::Key(key)] => format!("`{key}`"),
            [.., Step::Key(key), Step::Index(_)] => format!("an entry of `{key}`"),
            [.., Step::Index(_)] => "an entry".to_owned(),
        }
    }
}

/// The key that was probably meant: known, similar, and not there already.
fn meant(written: &str, known: &[&str], siblings: &[Entry]) -> Option<String> {
    let free = known.iter().filter(|key| siblings.iter().all(|e| e.key != **key));
    most_similar(written, free)
}

/// Points to the word that was meant; lists all of them where none is near, or where they are few.
fn suggest(mistake: Diagnostic, written: &str, words: &[&str]) -> Diagnostic {
    const FEW: usize = 7;
    let known = || format!("known are {}", listed(words));
    match (words, most_similar(written, words)) {
        ([only], _) => mistake.label(format!("expected `{only}`")),
        (_, Some(word)) => {
            let mistake = mistake.label(format!("did you mean `{word}`?"));
            mistake.maybe_help((words.len() <= FEW).then(known))
        }
        (_, None) => mistake.label("not known").help(known()),
    }
}

fn listed(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn noun(definition: Option<&str>) -> &'static str {
    match definition {
        Some("OutcomeId") => "outcome",
        Some("CallKind") => "kind of call",
        Some("Capability") => "capability",
        Some("Fault") => "fault",
        Some("Rotation") => "rotation step",
        Some("Payload") => "payload",
        Some("Side") => "side",
        Some("Tier") => "tier",
        Some("Platform") => "platform",
        Some("Failures" | "SomeFailures") => "number of failures",
        Some("CipherSuite") => "cipher suite of TLS 1.2",
        Some("KeyExchangeGroup") => "key exchange group",
        Some("ApiVersion") => "`apiVersion` of this format",
        Some("Kind") => "`kind` of this format",
        _ => "word that fits here",
    }
}

/// Whether a number is whole and within what the schema allows.
fn is_within(number: &serde_json::Number, schema: &Value) -> bool {
    let bound = |name| schema.get(name).and_then(Value::as_i64);
    number.as_i64().is_some_and(|number| {
        bound("minimum").is_none_or(|least| number >= least)
            && bound("maximum").is_none_or(|most| number <= most)
    })
}
