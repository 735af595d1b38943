//! The fields that Istio's custom resources have. A field the API server does not know is refused or dropped, and with
//! it whatever its writer meant.
//!
//! `manifests/istio/schemas.json` holds the structural schemas of every CRD of Istio 1.30.3
//! (kubernetes/customresourcedefinitions.gen.yaml of istio/api@v1.30.3, which the charts carry), without descriptions: all
//! versions of a kind have one. What a schema preserves unread (`x-kubernetes-preserve-unknown-fields`) has no fields here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::reference::most_similar;

/// A field that the resource's schema does not have, or a value that it does not allow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SchemaMistake {
    /// Where, as `spec.http[0].mirrorHeaders`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// The part of a structural schema that is checked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Schema {
    properties: Option<BTreeMap<String, Schema>>,
    values: Option<Box<Schema>>,
    items: Option<Box<Schema>>,
    #[serde(rename = "enum", default)]
    allowed: Vec<String>,
}

/// By `group/Kind`. Parsing what is embedded and tested cannot fail; were it to, nothing would be checked.
static SCHEMAS: LazyLock<BTreeMap<String, Schema>> = LazyLock::new(|| parse().unwrap_or_default());

fn parse() -> Result<BTreeMap<String, Schema>, serde_json::Error> {
    serde_json::from_str(include_str!("../../../manifests/istio/schemas.json"))
}

/// The fields of an object itself.
const OF_OBJECTS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Checks an object and its `spec`, and takes out of it what the schema does not know, as the API server does. Nothing is
/// found in objects of kinds without schema.
pub(super) fn prune(object: &mut Value) -> Vec<SchemaMistake> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").split('/').next().unwrap_or_default();
    let Some(schema) = SCHEMAS.get(&format!("{group}/{}", text("kind"))) else {
        return Vec::new();
    };
    let mut mistakes = schema.misplaced(object);
    if let Some(spec) = object.get_mut("spec") {
        schema.check(spec, "spec", &mut mistakes);
    }
    mistakes
}

impl Schema {
    /// What is beside `spec`: most often a field that belongs into it.
    fn misplaced(&self, object: &mut Value) -> Vec<SchemaMistake> {
        let Some(fields) = object.as_object_mut() else {
            return Vec::new();
        };
        let unknown: Vec<String> = fields
            .keys()
            .filter(|it| !OF_OBJECTS.contains(&it.as_str()))
            .cloned()
            .collect();
        let mistake = |field: String| {
            fields.remove(&field);
            let belongs = self.properties.as_ref().is_some_and(|it| it.contains_key(&field));
            let meant = match belongs {
                true => Some(format!("spec.{field}")),
                false => most_similar(&field, OF_OBJECTS),
            };
            SchemaMistake {
                message: no_such_field(meant.as_deref()),
                path: field,
            }
        };
        unknown.into_iter().map(mistake).collect()
    }

    fn check(&self, value: &mut Value, path: &str, mistakes: &mut Vec<SchemaMistake>) {
        match value {
            Value::Object(fields) => {
                if let Some(known) = &self.properties {
                    let unknown: Vec<String> = fields
                        .keys()
                        .filter(|it| !known.contains_key(*it))
                        .cloned()
                        .collect();
                    for field in unknown {
                        fields.remove(&field);
                        let meant = most_similar(&field, known.keys());
                        mistakes.push(SchemaMistake {
                            path: format!("{path}.{field}"),
                            message: no_such_field(meant.as_deref()),
                        });
                    }
                    for (field, schema) in known {
                        if let Some(value) = fields.get_mut(field) {
                            schema.check(value, &format!("{path}.{field}"), mistakes);
                        }
                    }
                } else if let Some(schema) = &self.values {
                    for (key, value) in fields {
                        schema.check(value, &format!("{path}.{key}"), mistakes);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for (index, item) in items.iter_mut().enumerate() {
                        schema.check(item, &format!("{path}[{index}]"), mistakes);
                    }
                }
            }
            Value::String(text) if !self.allowed.is_empty() && !self.allowed.contains(text) => {
                mistakes.push(SchemaMistake {
                    path: path.to_owned(),
                    message: format!("`{text}` is none of {}", self.allowed.join(", ")),
                });
            }
            _ => {}
        }
    }
}

fn no_such_field(meant: Option<&str>) -> String {
    let hint = meant.map(|it| format!("; did you mean `{it}`?"));
    format!("no such field{}", hint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_embedded_schemas_are_read() {
        assert_eq!(parse().unwrap().len(), 15);
    }

    #[test]
    fn unknown_fields_are_found_and_taken_out() {
        let mut object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "spec": {"hosts": ["a"], "http": [{"mirrorHeaders": {}, "route": [{"destination": {"host": "a"}}]}]},
        });
        let found = prune(&mut object);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "spec.http[0].mirrorHeaders");
        assert_eq!(prune(&mut object), []);
    }

    #[test]
    fn every_kind_of_istio_is_checked() {
        let cases = [
            (
                "security.istio.io",
                "AuthorizationPolicy",
                json!({"rules": [{"from": [{"source": {"principal": ["a"]}}]}]}),
                "principals",
            ),
            (
                "security.istio.io",
                "RequestAuthentication",
                json!({"jwtRules": [{"jwksURI": "a"}]}),
                "jwksUri",
            ),
            (
                "networking.istio.io",
                "Gateway",
                json!({"servers": [{"tls": {"credential": "a"}}]}),
                "credentialName",
            ),
            (
                "networking.istio.io",
                "Sidecar",
                json!({"outboundTrafficPolicies": {}}),
                "outboundTrafficPolicy",
            ),
            (
                "networking.istio.io",
                "WorkloadEntry",
                json!({"serviceAcount": "a"}),
                "serviceAccount",
            ),
            (
                "networking.istio.io",
                "WorkloadGroup",
                json!({"template": {"label": {}}}),
                "labels",
            ),
            (
                "networking.istio.io",
                "ProxyConfig",
                json!({"environmentVariable": {}}),
                "environmentVariables",
            ),
            (
                "extensions.istio.io",
                "WasmPlugin",
                json!({"pluginConfig": {"anything": 1}, "phases": "AUTHN"}),
                "phase",
            ),
        ];
        for (group, kind, spec, meant) in cases {
            let mut object = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec});
            let found = prune(&mut object);
            let told: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
            assert_eq!(
                told,
                [format!("no such field; did you mean `{meant}`?")],
                "{kind}"
            );
        }
    }

    #[test]
    fn what_is_beside_the_spec_is_found_and_taken_out() {
        let mut object = json!({
            "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "a"},
            "mtls": {"mode": "STRICT"}, "specs": {}, "status": {}, "data": {},
        });
        let found = prune(&mut object);
        let told: Vec<(&str, &str)> = found
            .iter()
            .map(|it| (it.path.as_str(), it.message.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("data", "no such field"),
                ("mtls", "no such field; did you mean `spec.mtls`?"),
                ("specs", "no such field; did you mean `spec`?"),
            ]
        );
        assert_eq!(prune(&mut object), []);
    }

    #[test]
    fn values_outside_of_an_enumeration_are_found_at_any_depth() {
        let mut object = json!({
            "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "spec": {"portLevelMtls": {"8080": {"mode": "STRIKT"}}},
        });
        assert_eq!(
            prune(&mut object),
            [SchemaMistake {
                path: "spec.portLevelMtls.8080.mode".to_owned(),
                message: "`STRIKT` is none of UNSET, DISABLE, PERMISSIVE, STRICT".to_owned(),
            }]
        );
    }

    #[test]
    fn kinds_without_schema_and_free_form_fields_are_left_alone() {
        for mut object in [
            json!({"apiVersion": "example.com/v1", "kind": "VirtualService", "spec": {"anything": 1}}),
            json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                   "spec": {"host": "a", "subsets": [{"name": "v1", "labels": {"any": "label"}}]}}),
        ] {
            assert_eq!(prune(&mut object), []);
        }
    }
}
