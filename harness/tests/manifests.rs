//! Every manifest that is shipped, and every object that the catalogue's scenarios would create in a cluster, has the fields
//! that Kubernetes and Istio know and no other: as the types of Kubernetes and as the CRDs of Istio 1.30.3 have them
//! (`data/crds`, of manifests/charts/base/files/crd-all.gen.yaml@1.30.3). The rules in CEL of those CRDs are not evaluated.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kubernetes_double::{Double, ISTIO, Setup};
use meshproof::kubernetes::Context;
use meshproof::mesh::kubernetes::{KubernetesMesh, Place, Revision};
use meshproof::mesh::{Settings, Tier};
use meshproof::scenario::{Catalogue, Options, plan, runnable};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Kinds that no schema is at hand for.
const UNCHECKED: [&str; 2] = ["AuthorizationPolicy", "ClusterPolicy"];

/// A CRD, less its descriptions.
#[derive(serde::Deserialize)]
struct Definition {
    group: String,
    kind: String,
    versions: Vec<String>,
    schema: Value,
}

/// By `group/version, Kind`.
static ISTIO_SCHEMAS: LazyLock<BTreeMap<(String, String), Validator>> = LazyLock::new(|| {
    let folder = root().join("harness/tests/data/crds");
    let mut schemas = BTreeMap::new();
    for file in files_below(&folder, "json") {
        let text = std::fs::read_to_string(file).unwrap();
        let mut definition: Definition = serde_json::from_str(&text).unwrap();
        for field in ["apiVersion", "kind", "metadata"] {
            definition.schema["properties"][field] = serde_json::json!({});
        }
        close(&mut definition.schema);
        for version in &definition.versions {
            let key = (format!("{}/{version}", definition.group), definition.kind.clone());
            schemas.insert(key, jsonschema::validator_for(&definition.schema).unwrap());
        }
    }
    schemas
});

/// Lets objects have no field but those that are named: the API server would drop the others silently.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let keeps = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            if fields.get("type").is_some_and(|it| it == "object")
                && fields.contains_key("properties")
                && !keeps
            {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is wrong with an object; `None` where there is no schema for it.
fn wrong(object: &Value) -> Option<Vec<String>> {
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if let Some(schema) = ISTIO_SCHEMAS.get(&(version.clone(), kind.clone())) {
        let found = schema.iter_errors(object);
        return Some(found.map(|it| format!("{}: {it}", it.instance_path())).collect());
    }
    match (version.as_str(), kind.as_str()) {
        ("v1", "Namespace") => Some(lost::<Namespace>(object)),
        ("v1", "ServiceAccount") => Some(lost::<ServiceAccount>(object)),
        ("v1", "Secret") => Some(lost::<Secret>(object)),
        ("v1", "ConfigMap") => Some(lost::<ConfigMap>(object)),
        ("v1", "Service") => Some(lost::<Service>(object)),
        ("v1", "Pod") => Some(lost::<Pod>(object)),
        ("apps/v1", "Deployment") => Some(lost::<Deployment>(object)),
        ("apps/v1", "StatefulSet") => Some(lost::<StatefulSet>(object)),
        ("apps/v1", "DaemonSet") => Some(lost::<DaemonSet>(object)),
        ("batch/v1", "Job") => Some(lost::<Job>(object)),
        ("batch/v1", "CronJob") => Some(lost::<CronJob>(object)),
        ("rbac.authorization.k8s.io/v1", "Role") => Some(lost::<Role>(object)),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => Some(lost::<RoleBinding>(object)),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => Some(lost::<ClusterRole>(object)),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => Some(lost::<ClusterRoleBinding>(object)),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy") => {
            Some(lost::<ValidatingAdmissionPolicy>(object))
        }
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding") => {
            Some(lost::<ValidatingAdmissionPolicyBinding>(object))
        }
        _ => None,
    }
}

/// The fields that the type does not have, or why it cannot be read at all.
fn lost<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    match serde_json::from_value::<T>(object.clone()) {
        Err(error) => vec![error.to_string()],
        Ok(known) => {
            let mut found = Vec::new();
            missing(object, &serde_json::to_value(known).unwrap(), "", &mut found);
            found
        }
    }
}

fn missing(written: &Value, known: &Value, path: &str, found: &mut Vec<String>) {
    match (written, known) {
        (Value::Object(written), known) => {
            for (key, value) in written.iter().filter(|(_, value)| !value.is_null()) {
                let path = format!("{path}/{key}");
                match known.get(key) {
                    Some(known) => missing(value, known, &path, found),
                    // What is empty is left out when it is written again.
                    None if *value == serde_json::json!({}) || *value == serde_json::json!([]) => {}
                    None => found.push(format!("{path}: there is no such field")),
                }
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (index, (written, known)) in written.iter().zip(known).enumerate() {
                missing(written, known, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The Kubernetes objects in a text of YAML.
fn objects(text: &str) -> Vec<Value> {
    let documents = serde_saphyr::from_multiple::<Value>(text).unwrap();
    documents
        .into_iter()
        .filter(|it| it["apiVersion"].is_string() && it["metadata"].is_object())
        .collect()
}

/// What is found of objects from several places.
#[derive(Default)]
struct Check {
    checked: BTreeSet<String>,
    unchecked: BTreeSet<String>,
    wrong: BTreeSet<String>,
}

impl Check {
    fn take(&mut self, place: &str, object: &Value) {
        let kind = object["kind"].as_str().unwrap().to_owned();
        match wrong(object) {
            None => self.unchecked.insert(kind),
            Some(found) => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let found = found
                    .into_iter()
                    .map(|it| format!("{place}: {kind} {name}: {it}"));
                self.wrong.extend(found);
                self.checked.insert(kind)
            }
        };
    }

    fn assert(&self, kinds: &[&str]) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        let unknown = self
            .unchecked
            .iter()
            .filter(|it| !UNCHECKED.contains(&it.as_str()));
        assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&String>::new());
        for kind in kinds {
            assert!(self.checked.contains(*kind), "no {kind} among {:?}", self.checked);
        }
    }
}

#[test]
fn every_manifest_that_is_shipped_is_as_its_schema_wants_it() {
    let mut check = Check::default();
    let folder = root().join("manifests");
    for file in files_below(&folder, "yaml") {
        // What is refused on purpose.
        if file.starts_with(folder.join("guardrails/cases")) {
            continue;
        }
        let place = file.strip_prefix(&folder).unwrap().display().to_string();
        for object in objects(&std::fs::read_to_string(&file).unwrap()) {
            check.take(&place, &object);
        }
    }
    check.assert(&[
        "Deployment",
        "ClusterRole",
        "EnvoyFilter",
        "ValidatingAdmissionPolicy",
    ]);
}

#[tokio::test]
async fn every_object_of_a_run_in_a_cluster_is_as_its_schema_wants_it() {
    let double = Double::start(Setup::default());
    double.serve(ISTIO);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    std::fs::write(&kubeconfig, double.kubeconfig("staging", "token")).unwrap();
    let context = Context::open("staging", Some(&kubeconfig)).await.unwrap();
    let place = Place::new(
        Tier::Kind,
        context,
        "meshproof-agent:dev".to_owned(),
        Revision::OfRelease,
        Some(folder.path().join("bundles")),
    );
    let settings = Settings {
        place: Some(place),
        ..Settings::default()
    };
    let mut check = Check::default();
    let catalogue = Catalogue::load(&root()).unwrap();
    for scenario in &catalogue.scenarios {
        if runnable(scenario, Tier::Kind).is_err() {
            continue;
        }
        let mut mesh = KubernetesMesh::new(Tier::Kind, &settings).unwrap();
        for phase in plan(scenario, &Options::on(Tier::Kind)).unwrap() {
            for object in mesh.would_create(&phase.desired).unwrap() {
                let place = format!("{} in {}", scenario.name(), phase.name);
                objects(&object).iter().for_each(|it| check.take(&place, it));
            }
        }
    }
    check.assert(&[
        "Deployment",
        "Secret",
        "PeerAuthentication",
        "DestinationRule",
        "EnvoyFilter",
    ]);
}

#[test]
fn a_field_that_nobody_knows_and_a_value_that_nobody_takes_are_found() {
    let cases = [
        (
            "Deployment",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {}, template: {spec: {containers: [{name: a, imag: b}]}}}",
            "/spec/template/spec/containers/0/imag",
        ),
        (
            "type",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: 8080}",
            "invalid type",
        ),
        (
            "mode",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {mtls: {mode: STRCT}}",
            "/spec/mtls/mode",
        ),
        (
            "field",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {mtls: {mod: STRICT}}",
            "mod",
        ),
    ];
    for (name, text, expected) in cases {
        let found = wrong(&objects(text)[0]).unwrap();
        assert!(found.iter().any(|it| it.contains(expected)), "{name}: {found:?}");
    }
}
