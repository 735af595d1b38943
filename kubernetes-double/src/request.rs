//! What is asked: verb, resource, place and parameters, as the authorizer sees them.

use std::collections::BTreeMap;

use crate::kinds::Kind;

/// A request that reached the server, for a test to look at.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Seen {
    /// Who asked.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group; empty for the core.
    pub group: String,
    /// `pods`, or `pods/status`.
    pub resource: String,
    /// The namespace, where the request is about one.
    pub namespace: Option<String>,
    /// The object, where the request is about one: by path, or by a field selector on its name.
    pub name: Option<String>,
    /// Path and query.
    pub path: String,
    /// What was answered; 0: nothing.
    pub code: u16,
}

/// What a request does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// A request about a resource.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) verb: Verb,
    pub(crate) kind: Kind,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    /// In the path, or the only one that a field selector lets through.
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    pub(crate) query: BTreeMap<String, String>,
}

impl Asked {
    /// Reads a method, path and query; `None`: no such path.
    pub(crate) fn parse(method: &str, path: &str, query: Option<&str>, kinds: &[Kind]) -> Option<Self> {
        let query: BTreeMap<String, String> = query
            .unwrap_or_default()
            .split('&')
            .filter_map(|it| it.split_once('='))
            .map(|(key, value)| (decode(key), decode(value)))
            .collect();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..]
                if !rest.is_empty() && !matches!(rest, ["status" | "finalize"]) =>
            {
                (Some((*namespace).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some((*name).to_owned()), None),
            [plural, name, subresource] => {
                (*plural, Some((*name).to_owned()), Some((*subresource).to_owned()))
            }
            _ => return None,
        };
        let kind = kinds.iter().find(|it| {
            it.group == group && it.plural == plural && it.versions.iter().any(|served| served == version)
        })?;
        let is_watch = matches!(query.get("watch").map(String::as_str), Some("1" | "true"));
        let verb = match (method, &name) {
            ("GET", None) if is_watch => Verb::Watch,
            ("GET", None) => Verb::List,
            ("GET", Some(_)) => Verb::Get,
            ("POST", _) => Verb::Create,
            ("PUT", _) => Verb::Update,
            ("PATCH", _) => Verb::Patch,
            ("DELETE", None) => Verb::DeleteCollection,
            ("DELETE", Some(_)) => Verb::Delete,
            _ => return None,
        };
        let selected = query
            .get("fieldSelector")
            .and_then(|it| it.strip_prefix("metadata.name="));
        Some(Self {
            verb,
            kind: kind.clone(),
            version: version.to_owned(),
            // A namespace is in no namespace, whatever the path looks like.
            namespace,
            name: name.or_else(|| selected.map(str::to_owned)),
            subresource,
            query,
        })
    }

    /// The same about the object itself.
    pub(crate) fn of_object(&self) -> Self {
        Self {
            subresource: None,
            ..self.clone()
        }
    }

    /// `pods`, or `pods/log`.
    pub(crate) fn resource(&self) -> String {
        match &self.subresource {
            None => self.kind.plural.clone(),
            Some(subresource) => format!("{}/{subresource}", self.kind.plural),
        }
    }

    pub(crate) fn seen(&self, user: &str, path: &str, code: u16) -> Seen {
        Seen {
            user: user.to_owned(),
            verb: self.verb.as_str().to_owned(),
            group: self.kind.group.clone(),
            resource: self.resource(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            path: path.to_owned(),
            code,
        }
    }
}

/// Percent-decoded, with `+` for a space.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                u8::from_str_radix(&digits, 16).unwrap_or(b'%')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
