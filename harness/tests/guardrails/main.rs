//! The guardrails turn away what they say and nothing else: their expressions are evaluated over their cases, over the
//! manifests, and over every phase of every scenario of the catalogue.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod admission;
mod cluster;
mod kyverno;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use admission::{Admission, Request};
use cluster::Cluster;
use meshproof::guardrails::Guardrail;
use meshproof::scenario::{Catalogue, Scenario};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// `manifests/guardrails/cases/NAME.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    params: Option<Value>,
    accept: Vec<Case>,
    reject: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    because: String,
    /// Part of the one message that refuses it.
    says: Option<String>,
    object: Value,
    old: Option<Value>,
    /// The labels of the object's namespace.
    #[serde(default)]
    namespace: Map<String, Value>,
    params: Option<Value>,
}

/// What a guardrail is against, though it is done on purpose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deliberate {
    /// A file below `manifests/apps`, or the control or a remedy of a scenario, as `SCENARIO::PHASE`.
    what: String,
    guardrails: Vec<String>,
    because: String,
    /// Whether what is refused is what goes wrong in the scenario.
    #[serde(default)]
    incident: bool,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn cases(guardrail: &str) -> Cases {
    let file = root().join(format!("manifests/guardrails/cases/{guardrail}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn deliberate() -> Vec<Deliberate> {
    let listed: Vec<Deliberate> =
        serde_saphyr::from_str(include_str!("../data/guardrails-deliberate.yaml")).unwrap();
    assert!(listed.iter().all(|it| !it.because.is_empty()));
    listed
}

fn is_deliberate(refused: &Refused) -> bool {
    deliberate().iter().any(|it| it.what == refused.name())
}

/// A phase that does what guardrails are against.
struct Refused {
    scenario: String,
    phase: String,
    is_control: bool,
    guardrails: BTreeSet<String>,
}

impl Refused {
    fn name(&self) -> String {
        format!("{}::{}", self.scenario, self.phase)
    }
}

/// Of the whole catalogue, in its order.
static REFUSED: LazyLock<Vec<Refused>> = LazyLock::new(|| {
    let admission = Admission::new();
    let catalogue = Catalogue::load(root()).unwrap().scenarios;
    let phases = catalogue.iter().flat_map(|it| phases(&admission, it));
    phases.filter(|it| !it.guardrails.is_empty()).collect()
});

fn phases(admission: &Admission, scenario: &Scenario) -> Vec<Refused> {
    let mut cluster = Cluster::with_images_of(&scenario.file.spec.istio);
    let start = scenario.file.spec.manifests.iter();
    let mut requests: Vec<Request> = start
        .flat_map(|it| cluster.apply_file(&scenario.manifest_path(it)))
        .collect();
    let mut phases = Vec::new();
    for phase in &scenario.file.spec.phases {
        for reference in &phase.delete {
            cluster.delete(reference);
        }
        for file in &phase.manifests {
            requests.extend(cluster.apply_file(&scenario.manifest_path(file)));
        }
        for object in &phase.apply {
            requests.push(cluster.apply(object.0.clone()));
        }
        let refusals = requests.drain(..).flat_map(|it| admission.refusals(&it));
        phases.push(Refused {
            scenario: scenario.name().to_owned(),
            phase: phase.name.clone(),
            is_control: phases.is_empty(),
            guardrails: refusals.map(|it| it.guardrail.to_owned()).collect(),
        });
    }
    phases
}

#[test]
fn every_case_is_accepted_or_refused_as_it_says() {
    let admission = Admission::new();
    let mut wrong = Vec::new();
    for guardrail in Guardrail::all().unwrap() {
        let cases = cases(guardrail.name);
        let accepted = cases.accept.iter().map(|it| (it, false));
        for (case, is_refused) in accepted.chain(cases.reject.iter().map(|it| (it, true))) {
            let mut refusals = admission.refusals(&Request {
                object: case.object.clone(),
                old: case.old.clone(),
                namespace: case.namespace.clone(),
                params: case.params.clone().or_else(|| cases.params.clone()),
            });
            refusals.retain(|it| it.guardrail == guardrail.name);
            let said: Vec<&str> = refusals.iter().map(|it| it.message.as_str()).collect();
            let as_it_says = match &said[..] {
                [] => !is_refused,
                [one] => case.says.as_ref().is_some_and(|part| one.contains(part.as_str())),
                _ => false,
            };
            if !as_it_says {
                wrong.push(format!("{}: {}: {said:#?}", guardrail.name, case.because));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_has_a_case_that_it_refuses() {
    for guardrail in Guardrail::all().unwrap() {
        let cases = cases(guardrail.name);
        for message in guardrail.summary().messages {
            let parts = cases.reject.iter().filter_map(|it| it.says.as_deref());
            assert!(
                parts.clone().any(|part| message.contains(part)),
                "{}: nothing shows {message:?}",
                guardrail.name
            );
        }
    }
}

#[test]
fn each_guardrail_stops_the_scenarios_it_names_and_no_other() {
    let mut stopped: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // The control is a healthy mesh.
    for it in REFUSED.iter().filter(|it| !it.is_control && !is_deliberate(it)) {
        for guardrail in &it.guardrails {
            let scenarios = stopped.entry(guardrail.clone()).or_default();
            scenarios.insert(it.scenario.clone());
        }
    }
    for it in deliberate().into_iter().filter(|it| it.incident) {
        let scenario = it.what.split("::").next().unwrap();
        for guardrail in it.guardrails {
            stopped.entry(guardrail).or_default().insert(scenario.to_owned());
        }
    }
    let named = |it: &Guardrail| (it.name.to_owned(), it.scenarios.iter().cloned().collect());
    let named: BTreeMap<String, BTreeSet<String>> = Guardrail::all().unwrap().iter().map(named).collect();
    assert_eq!(stopped, named);
}

#[test]
fn what_of_the_catalogue_is_refused_is_known() {
    let line = |it: &Refused| {
        let guardrails: Vec<&str> = it.guardrails.iter().map(String::as_str).collect();
        format!("{}: {}", it.name(), guardrails.join(", "))
    };
    let lines: Vec<String> = REFUSED.iter().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn healthy_meshes_are_accepted_but_for_what_is_refused_on_purpose() {
    let admission = Admission::new();
    let healthy = REFUSED.iter().filter(|it| it.is_control || is_deliberate(it));
    let mut refused: BTreeMap<String, BTreeSet<String>> =
        healthy.map(|it| (it.name(), it.guardrails.clone())).collect();
    for folder in ["manifests/apps", "manifests/policies", "manifests/visibility"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
            let mut cluster = Cluster::with_images_of("1.30.3");
            for request in cluster.apply_file(&path) {
                for refusal in admission.refusals(&request) {
                    let guardrails = refused.entry(name.clone()).or_default();
                    guardrails.insert(refusal.guardrail.to_owned());
                }
            }
        }
    }
    let listed = deliberate().into_iter();
    let listed: BTreeMap<String, BTreeSet<String>> = listed
        .map(|it| (it.what, it.guardrails.into_iter().collect()))
        .collect();
    assert_eq!(refused, listed);
}

#[test]
fn the_fields_that_are_known_are_those_of_the_schemas() {
    let schemas: Value = serde_json::from_str(include_str!("../../../manifests/istio/schemas.json")).unwrap();
    let admission = Admission::new();
    let refused = |version: &str, kind: &str, spec: &Value| {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
        let request = Request {
            object,
            ..Request::default()
        };
        let refusals = admission.refusals(&request);
        let texts = refusals.iter().filter(|it| it.guardrail == "known-fields");
        texts.map(|it| it.message.clone()).collect::<Vec<String>>()
    };
    // Where fields decide about mTLS.
    let places = [
        (
            "security.istio.io",
            "PeerAuthentication",
            &["", "/mtls", "/portLevelMtls/8080", "/selector"][..],
        ),
        (
            "networking.istio.io",
            "DestinationRule",
            &[
                "",
                "/workloadSelector",
                "/trafficPolicy",
                "/trafficPolicy/tls",
                "/trafficPolicy/portLevelSettings/0",
                "/trafficPolicy/portLevelSettings/0/tls",
                "/subsets/0",
                "/subsets/0/trafficPolicy",
                "/subsets/0/trafficPolicy/tls",
                "/subsets/0/trafficPolicy/portLevelSettings/0",
                "/subsets/0/trafficPolicy/portLevelSettings/0/tls",
            ][..],
        ),
    ];
    for (group, kind, places) in places {
        let version = format!("{group}/v1");
        let everything = with_every_field(&schemas[format!("{group}/{kind}")]);
        assert_eq!(refused(&version, kind, &everything), [""; 0], "{everything}");
        for place in places {
            let mut one_more = everything.clone();
            let fields = one_more.pointer_mut(place).and_then(Value::as_object_mut);
            fields.unwrap().insert("nobodyReadsThis".to_owned(), json!(1));
            assert_eq!(refused(&version, kind, &one_more).len(), 1, "{place}");
        }
    }
}

/// A value with every field that a schema has.
fn with_every_field(schema: &Value) -> Value {
    if let Some(fields) = schema["properties"].as_object() {
        let every = fields
            .iter()
            .map(|(field, schema)| (field.clone(), with_every_field(schema)));
        return every.collect::<Map<String, Value>>().into();
    }
    if !schema["items"].is_null() {
        return json!([with_every_field(&schema["items"])]);
    }
    if !schema["values"].is_null() {
        return json!({"8080": with_every_field(&schema["values"])});
    }
    schema["enum"].get(0).cloned().unwrap_or_else(|| json!("any"))
}
