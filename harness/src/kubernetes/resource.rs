//! What is asked for.

use std::fmt;

/// A kind of objects, as paths name it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Resource {
    /// API group; empty for the core.
    pub group: &'static str,
    /// Versions in which this code can read it, the best first. The first that the server has is asked for.
    pub versions: &'static [&'static str],
    /// As in paths: `pods`.
    pub plural: &'static str,
    /// As in objects: `Pod`.
    pub kind: &'static str,
}

/// Objects of one resource: those of the whole cluster, of a namespace, or of one name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Selection<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// In this namespace only.
    pub namespace: Option<&'a str>,
    /// Of this name only, wherever they are. An authorizer sees the name, so that a role may be limited to it.
    pub name: Option<&'a str>,
}

impl<'a> Selection<'a> {
    /// All objects of a resource.
    #[must_use]
    pub const fn all(resource: &'a Resource) -> Self {
        Self {
            resource,
            namespace: None,
            name: None,
        }
    }

    /// The path of their collection in a version.
    pub(super) fn path(&self, version: &str) -> String {
        let group = match self.resource.group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        match self.namespace {
            None => format!("{group}/{}", self.resource.plural),
            Some(namespace) => format!("{group}/namespaces/{namespace}/{}", self.resource.plural),
        }
    }
}

impl Resource {
    /// `apiVersion` of its objects in a version.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        match self.group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            "" => f.write_str(self.plural),
            group => write!(f, "{}.{group}", self.plural),
        }
    }
}

impl fmt::Display for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.resource)?;
        if let Some(name) = self.name {
            write!(f, " named {name}")?;
        }
        match self.namespace {
            None => f.write_str(" in the cluster"),
            Some(namespace) => write!(f, " in the namespace {namespace}"),
        }
    }
}
