//! What is answered: an HTTP status and a body, errors as Kubernetes 1.36 words them (`tests/data/errors`).

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::request::Asked;

/// An answer whose body is complete.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Json(Value),
    Text(String),
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn json(code: u16, body: Value) -> Self {
        Self {
            code,
            body: Body::Json(body),
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self {
            code: 200,
            body: Body::Text(text.to_owned()),
        }
    }

    /// A group or version that is not served: no Status, but text.
    pub(crate) fn no_such_path() -> Self {
        Self {
            code: 404,
            body: Body::Text("404 page not found\n".to_owned()),
        }
    }

    pub(crate) fn failure(code: u16, reason: &str, message: &str, details: Option<Value>) -> Self {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        if let Some(details) = details {
            body["details"] = details;
        }
        Self::json(code, body)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized", None)
    }

    pub(crate) fn forbidden(user: &str, asked: &Asked) -> Self {
        let kind = &asked.kind;
        let place = match &asked.namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let (named, subject) = match &asked.name {
            Some(name) => (format!("{} \"{name}\"", kind.qualified()), asked.resource()),
            None => (kind.qualified(), asked.resource()),
        };
        let message = format!(
            "{named} is forbidden: User \"{user}\" cannot {} resource \"{subject}\" in API group \"{}\" {place}",
            asked.verb.as_str(),
            kind.group
        );
        Self::failure(
            403,
            "Forbidden",
            &message,
            Some(details(kind, asked.name.as_deref())),
        )
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.qualified());
        Self::failure(404, "NotFound", &message, Some(details(kind, Some(name))))
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.qualified());
        Self::failure(409, "AlreadyExists", &message, Some(details(kind, Some(name))))
    }

    pub(crate) fn stale(kind: &Kind, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to the latest version and try again",
            kind.qualified()
        );
        Self::failure(409, "Conflict", &message, Some(details(kind, Some(name))))
    }

    /// As the admission plugin NamespaceLifecycle words it; not among the recordings.
    pub(crate) fn terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let message = format!(
            "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
            kind.qualified()
        );
        Self::failure(403, "Forbidden", &message, Some(details(kind, Some(name))))
    }

    /// Fields that other managers own, as `(manager, field)`.
    pub(crate) fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let list: Vec<String> = conflicts
            .iter()
            .map(|(manager, field)| format!("conflict with \"{manager}\": {field}"))
            .collect();
        let message = match list.as_slice() {
            [one] => format!("Apply failed with 1 conflict: {one}"),
            many => format!("Apply failed with {} conflicts: {}", many.len(), many.join("\n")),
        };
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with \"{manager}\""), "field": field})
            })
            .collect();
        Self::failure(409, "Conflict", &message, Some(json!({"causes": causes})))
    }

    /// A continue token of a list whose history is gone; `next` goes on without consistency.
    pub(crate) fn continue_expired(next: &str) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new \
                       list without the continue parameter, or use the continue token in this response to retrieve the \
                       remainder of the results. Continuing with the provided token results in an inconsistent list - \
                       objects that were created, modified, or deleted between the time the first chunk was returned and \
                       now may show up in the list.";
        let mut answer = Self::failure(410, "Expired", message, None);
        if let Body::Json(body) = &mut answer.body {
            body["metadata"]["continue"] = next.into();
        }
        answer
    }

    pub(crate) fn bad_request(message: &str) -> Self {
        Self::failure(400, "BadRequest", message, None)
    }

    pub(crate) fn media_type() -> Self {
        let message = "the body of the request was in an unknown format - accepted media types include: \
                       application/json, application/yaml, application/vnd.kubernetes.protobuf";
        Self::failure(415, "UnsupportedMediaType", message, None)
    }
}

/// The ERROR event of a watch from before the history.
pub(crate) fn watch_expired(asked: u64, oldest: u64) -> Value {
    json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("too old resource version: {asked} ({oldest})"), "reason": "Expired", "code": 410,
    }})
}

fn details(kind: &Kind, name: Option<&str>) -> Value {
    let mut details = json!({"kind": kind.plural});
    if let Some(name) = name {
        details["name"] = name.into();
    }
    if !kind.group.is_empty() {
        details["group"] = kind.group.as_str().into();
    }
    details
}
