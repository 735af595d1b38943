//! Who may do what, by the roles and bindings among the objects.

use serde_json::Value;

use crate::kinds::Kind;
use crate::objects::Objects;
use crate::request::Asked;

/// Whether a binding lets the user do it.
pub(crate) fn allows(objects: &Objects, user: &str, asked: &Asked) -> bool {
    let bindings = of_kind(objects, "clusterrolebindings").chain(of_kind(objects, "rolebindings"));
    bindings
        .filter(|(_, it)| binds(it, user))
        .any(|(place, binding)| {
            // A RoleBinding, even one to a ClusterRole, is about its own namespace.
            let is_there = place.is_empty() || asked.namespace.as_deref() == Some(place);
            is_there
                && role(objects, place, binding).is_some_and(|it| rules(it).any(|rule| covers(rule, asked)))
        })
}

fn of_kind<'o>(objects: &'o Objects, plural: &'o str) -> impl Iterator<Item = (&'o str, &'o Value)> {
    objects
        .all()
        .filter(move |(key, _)| key.group == "rbac.authorization.k8s.io" && key.plural == plural)
        .map(|(key, value)| (key.namespace.as_str(), value))
}

fn binds(binding: &Value, user: &str) -> bool {
    let subjects = binding["subjects"].as_array().into_iter().flatten();
    let text = |it: &Value, field: &str| it[field].as_str().unwrap_or_default().to_owned();
    subjects.into_iter().any(|it| match it["kind"].as_str() {
        Some("ServiceAccount") => {
            user == format!(
                "system:serviceaccount:{}:{}",
                text(it, "namespace"),
                text(it, "name")
            )
        }
        Some("User") => user == text(it, "name"),
        _ => false,
    })
}

fn role<'o>(objects: &'o Objects, namespace: &str, binding: &Value) -> Option<&'o Value> {
    let name = binding.pointer("/roleRef/name")?.as_str()?;
    let (plural, namespace) = match binding.pointer("/roleRef/kind")?.as_str()? {
        "ClusterRole" => ("clusterroles", ""),
        _ => ("roles", namespace),
    };
    of_kind(objects, plural)
        .find(|(place, it)| *place == namespace && it["metadata"]["name"] == name)
        .map(|(_, it)| it)
}

fn rules(role: &Value) -> impl Iterator<Item = &Value> {
    role["rules"].as_array().into_iter().flatten()
}

fn covers(rule: &Value, asked: &Asked) -> bool {
    let has = |field: &str, wanted: &str| {
        let mut values = rule[field].as_array().into_iter().flatten();
        values.any(|it| it == "*" || it == wanted)
    };
    let names = rule["resourceNames"].as_array();
    has("verbs", asked.verb.as_str())
        && has("apiGroups", &asked.kind.group)
        && has("resources", &asked.resource())
        && names.is_none_or(|it| it.is_empty() || it.iter().any(|it| asked.name.as_deref() == it.as_str()))
}

/// The request that a SelfSubjectAccessReview is about.
pub(crate) fn review(attributes: &Value, kinds: &[Kind]) -> Option<Asked> {
    let text = |field: &str| attributes[field].as_str().unwrap_or_default();
    let optional = |field: &str| Some(text(field).to_owned()).filter(|it| !it.is_empty());
    let method = match text("verb") {
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        _ => "GET",
    };
    let kind = kinds
        .iter()
        .find(|it| it.group == text("group") && it.plural == text("resource"))?;
    let path = format!("/apis/{}/{}/{}", kind.group, kind.versions.first()?, kind.plural);
    let path = if kind.group.is_empty() {
        format!("/api/v1/{}", kind.plural)
    } else {
        path
    };
    let mut asked = Asked::parse(method, &path, None, kinds)?;
    asked.verb = match text("verb") {
        "get" => crate::request::Verb::Get,
        "watch" => crate::request::Verb::Watch,
        "delete" => crate::request::Verb::Delete,
        _ => asked.verb,
    };
    asked.namespace = optional("namespace");
    asked.name = optional("name");
    asked.subresource = optional("subresource");
    Some(asked)
}
