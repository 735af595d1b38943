//! What of a live object is kept: what an audit looks at. Everything else of a pod (its environment, commands, probes,
//! volumes' mounts), and whatever may be a credential, is dropped before anything can hold, save, or report it.

use serde_json::{Map, Value};

use super::secret;

/// What stands where something was that nobody needs to know.
pub(super) const REDACTED: &str = "redacted";

/// The container whose environment decides about mTLS.
const ISTIOD: &str = "discovery";
/// What of a container is kept; of istiod's also `env`.
const OF_CONTAINERS: &[&str] = &["image", "name", "ports", "restartPolicy", "securityContext"];
/// What of a pod's specification is dropped.
const OF_PODS: &[&str] = &[
    "affinity",
    "imagePullSecrets",
    "nodeSelector",
    "tolerations",
    "topologySpreadConstraints",
];

/// Takes out of an object what nobody needs to know.
pub(super) fn redact(object: &mut Value) {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let group = api_version
        .rsplit_once('/')
        .map_or("", |(group, _)| group)
        .to_owned();
    if let Some(metadata) = object.get_mut("metadata") {
        redact_metadata(metadata);
    }
    match (group.as_str(), kind.as_str()) {
        ("", "Secret") => secret::redact(object),
        ("", "ConfigMap") => redact_config_map(object),
        ("", "Node") => keep(object.get_mut("status"), &["nodeInfo"]),
        ("", "Pod") => {
            redact_pod(object.get_mut("spec"));
            keep(object.get_mut("status"), &["phase", "podIP"]);
            return;
        }
        ("apps" | "batch", _) => {
            if let Some(template) = object.pointer_mut("/spec/template/metadata") {
                redact_metadata(template);
            }
            redact_pod(object.pointer_mut("/spec/template/spec"));
        }
        ("networking.istio.io", "EnvoyFilter") => {
            for patch in list(object.pointer_mut("/spec/configPatches")) {
                remove(patch.get_mut("patch"), &["value"]);
            }
        }
        ("networking.istio.io", "VirtualService") => {
            for route in list(object.pointer_mut("/spec/http")) {
                redact_headers(route);
            }
        }
        ("extensions.istio.io", _) => remove(object.get_mut("spec"), &["pluginConfig", "vmConfig"]),
        ("helm.toolkit.fluxcd.io", _) => {
            redact_values(object);
            redact_conditions(object.get_mut("status"));
            return;
        }
        ("install.istio.io" | "argoproj.io", _) => redact_values(object),
        _ => {}
    }
    if kind != "Node" && kind != "Service" {
        remove(Some(object), &["status"]);
    }
}

/// Of a state, what kind it is; its message quotes what Helm was given.
fn redact_conditions(status: Option<&mut Value>) {
    let Some(status) = status else { return };
    keep(Some(status), &["conditions"]);
    for condition in list(status.get_mut("conditions")) {
        keep(Some(condition), &["reason", "status", "type"]);
    }
}

/// Blanks what Helm values call a credential.
pub(super) fn redact_values(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if value.is_string() && names_credential(key) {
                    *value = REDACTED.into();
                } else {
                    redact_values(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact_values),
        _ => {}
    }
}

/// Whether a key names a credential itself, rather than where one is (`secretName`, `credentialName`).
fn names_credential(key: &str) -> bool {
    let key = key.to_lowercase().replace(['-', '_'], "");
    [
        "password",
        "passwd",
        "token",
        "secret",
        "apikey",
        "privatekey",
        "secretkey",
        "accesskey",
    ]
    .iter()
    .any(|it| key.ends_with(it))
}

fn redact_metadata(metadata: &mut Value) {
    remove(Some(metadata), &["managedFields", "selfLink"]);
    // Also where kubectl apply keeps the whole object.
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| {
            let domain = key.split_once('/').map_or("", |(domain, _)| domain);
            domain == "istio.io" || domain.ends_with(".istio.io")
        });
    }
}

/// Configuration of others is none of our business; that of Istio is written as YAML in YAML.
fn redact_config_map(object: &mut Value) {
    let name = object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !name.starts_with("istio") {
        remove(Some(object), &["data"]);
    }
    remove(Some(object), &["binaryData"]);
    if let Some(Value::String(mesh)) = object.pointer_mut("/data/mesh") {
        let lines: Vec<String> = mesh.lines().map(redact_line).collect();
        *mesh = lines.join("\n");
    }
}

fn redact_line(line: &str) -> String {
    match line.split_once(": ") {
        Some((key, _)) if names_credential(key.trim().trim_start_matches("- ")) => {
            format!("{key}: {REDACTED}")
        }
        _ => line.to_owned(),
    }
}

fn redact_pod(spec: Option<&mut Value>) {
    let Some(spec) = spec else { return };
    remove(Some(spec), OF_PODS);
    for kind in ["containers", "initContainers", "ephemeralContainers"] {
        for container in list(spec.get_mut(kind)) {
            let is_istiod = container["name"] == ISTIOD;
            let env = container.get_mut("env").filter(|_| is_istiod).map(Value::take);
            keep(Some(container), OF_CONTAINERS);
            if let Some(mut env) = env {
                for variable in list(Some(&mut env)) {
                    if names_credential(variable["name"].as_str().unwrap_or_default()) {
                        remove(Some(variable), &["value"]);
                    }
                }
                container["env"] = env;
            }
        }
    }
}

/// Headers that a route sets may be credentials.
fn redact_headers(route: &mut Value) {
    redact_header_values(route.get_mut("headers"));
    for destination in list(route.get_mut("route")) {
        redact_header_values(destination.get_mut("headers"));
    }
}

fn redact_header_values(headers: Option<&mut Value>) {
    let Some(headers) = headers else { return };
    for side in ["request", "response"] {
        for operation in ["set", "add"] {
            let values = headers.get_mut(side).and_then(|it| it.get_mut(operation));
            for value in values
                .and_then(Value::as_object_mut)
                .into_iter()
                .flat_map(Map::values_mut)
            {
                *value = REDACTED.into();
            }
        }
    }
}

fn keep(value: Option<&mut Value>, fields: &[&str]) {
    if let Some(kept) = value.and_then(Value::as_object_mut) {
        kept.retain(|key, _| fields.contains(&key.as_str()));
    }
}

fn remove(value: Option<&mut Value>, fields: &[&str]) {
    if let Some(kept) = value.and_then(Value::as_object_mut) {
        kept.retain(|key, _| !fields.contains(&key.as_str()));
    }
}

fn list(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_may_be_a_credential_stays_and_what_decides_does() {
        let cases = [
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "hunter2", "sidecar.istio.io/inject": "true"}},
                "spec": {"containers": [{"name": "app", "image": "app:1", "args": ["hunter2"],
                    "env": [{"name": "A", "value": "hunter2"}], "livenessProbe": {"httpGet": {"path": "/hunter2"}}}]},
                "status": {"phase": "Running", "message": "hunter2"}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "istiod"}, "spec": {"template": {
                "metadata": {"annotations": {"token": "hunter2"}},
                "spec": {"containers": [{"name": "discovery", "env": [
                    {"name": "PILOT_X", "value": "true"}, {"name": "API_TOKEN", "value": "hunter2"}]}]}}}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": {"a": "hunter2"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio"},
                "data": {"mesh": "trustDomain: corp\nlightstep:\n  accessToken: hunter2"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts"}, "stringData": {"ca-key.pem": "hunter2"}}),
            json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a"}, "spec": {"http": [{
                "headers": {"request": {"set": {"authorization": "hunter2"}}},
                "route": [{"destination": {"host": "a"}, "headers": {"response": {"add": {"x": "hunter2"}}}}]}]}}),
            json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "a"},
                "spec": {"configPatches": [{"applyTo": "CLUSTER", "patch": {"value": {"inline": "hunter2"}}}]}}),
            json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "a"},
                "spec": {"values": {"db": {"password": "hunter2"}, "global": {"tag": "1.30.3"}}},
                "status": {"history": [{"digest": "hunter2"}], "conditions": [
                    {"type": "Ready", "status": "False", "reason": "UpgradeFailed", "message": "hunter2"}]}}),
        ];
        let mut kept = cases.clone().map(|mut it| {
            redact(&mut it);
            it
        });
        let text = kept.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        assert!(!text.contains("hunter2"), "{text}");
        insta::assert_snapshot!(text);
        let once = kept.clone();
        kept.iter_mut().for_each(redact);
        assert_eq!(kept, once, "what is redacted stays as it is");
    }
}
