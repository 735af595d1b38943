//! How Istio was installed, as far as the input tells: Helm values, IstioOperators, HelmReleases, and istiod itself.

use k8s_openapi::api::core::v1::Container;
use serde_json::{Map, Value};

use crate::snapshot::{MeshConfig, Mixed, Object, ObjectRef, Snapshot, Source, Stored, from_yaml};

/// Everything the input tells about the installation.
pub(super) struct Installation<'a> {
    /// Trees of Helm values, wherever they were written.
    pub(super) values: Vec<Values<'a>>,
    /// istiod's containers.
    pub(super) istiod: Vec<(&'a ObjectRef, &'a Stored, &'a Container)>,
    /// Mesh configurations as they were written.
    mesh: Vec<Value>,
}

/// Helm values of Istio's charts.
pub(super) struct Values<'a> {
    /// What they belong to, as findings name it.
    pub(super) name: String,
    pub(super) source: &'a Source,
    pub(super) tree: &'a Value,
    /// Where hub and tag stand: beside the values in an IstioOperator, below `global` elsewhere.
    pub(super) release_at: &'static str,
}

/// What a question about the installation is answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    Yes,
    No,
    /// The input says nothing about the installation.
    Unknown,
}

impl<'a> Installation<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, mixed: &'a Mixed) -> Self {
        let plain = mixed.plain.iter().filter(|it| is_istio_values(&it.value));
        let mut values: Vec<Values<'_>> = plain
            .map(|it| Values {
                name: format!("HelmValues/{}", it.source.file),
                source: &it.source,
                tree: &it.value,
                release_at: "/global",
            })
            .collect();
        let mut istiod = Vec::new();
        let mut mesh = Vec::new();
        for (name, stored) in snapshot.objects() {
            match &stored.object {
                Object::Other(it) => {
                    if let Some((tree, release_at)) = values_of(&it.kind, &it.value) {
                        values.push(Values {
                            name: name.to_string(),
                            source: &stored.source,
                            tree,
                            release_at,
                        });
                    }
                    mesh.extend(
                        it.value
                            .pointer("/spec/meshConfig")
                            .filter(|_| it.kind == "IstioOperator")
                            .cloned(),
                    );
                }
                Object::Deployment(it) => {
                    let containers = it.spec.template.spec.iter().flat_map(|it| &it.containers);
                    let discovery = containers.filter(|it| it.name == "discovery");
                    istiod.extend(discovery.map(|it| (name, stored, it)));
                }
                Object::ConfigMap(it) if name.name == "istio" || name.name.starts_with("istio-") => {
                    let text = it.data.as_ref().and_then(|it| it.get("mesh"));
                    mesh.extend(text.and_then(|it| from_yaml::<Value>(it, "data.mesh").ok()));
                }
                _ => {}
            }
        }
        mesh.extend(values.iter().filter_map(|it| {
            it.tree
                .get("meshConfig")
                .or_else(|| it.tree.pointer("/global/meshConfig"))
                .cloned()
        }));
        Self { values, istiod, mesh }
    }

    /// Whether Helm values set something: to `is`, or to anything but nothing and `false`.
    pub(super) fn value(&self, pointer: &str, is: Option<&str>) -> Answer {
        if self.values.is_empty() {
            return Answer::Unknown;
        }
        let mut set = self.values.iter().filter_map(|it| it.tree.pointer(pointer));
        answer(set.any(|value| matches_text(value, is)))
    }

    /// Whether the mesh configuration sets something.
    pub(super) fn mesh_setting(&self, pointer: &str) -> Answer {
        if self.mesh.is_empty() {
            return Answer::Unknown;
        }
        answer(
            self.mesh
                .iter()
                .filter_map(|it| it.pointer(pointer))
                .any(|it| matches_text(it, None)),
        )
    }

    /// Whether istiod's environment has a variable, set to `is` if that is given.
    pub(super) fn environment(&self, variable: &str, is: Option<&str>) -> Answer {
        if self.istiod.is_empty() && self.values.is_empty() {
            return Answer::Unknown;
        }
        let running = self.istiod.iter().flat_map(|(.., it)| it.env.iter().flatten());
        let running = running
            .filter(|it| it.name == variable)
            .map(|it| Value::from(it.value.clone().unwrap_or_default()));
        let to_be = self.values.iter().filter_map(|it| {
            let chart = it.tree.pointer("/pilot/env").and_then(|it| it.get(variable));
            chart.or_else(|| it.tree.get("env")?.get(variable)).cloned()
        });
        answer(running.chain(to_be).any(|value| matches_text(&value, is)))
    }
}

/// The Helm values that an object of a kind carries, and where hub and tag stand in them.
fn values_of<'v>(kind: &str, object: &'v Value) -> Option<(&'v Value, &'static str)> {
    match kind {
        // Hub and tag are of the spec itself, values below it.
        "IstioOperator" => Some((object.pointer("/spec/values").or(object.get("spec"))?, "/global")),
        "HelmRelease" => {
            let chart = object.pointer("/spec/chart/spec/chart").and_then(Value::as_str);
            let is_istio = chart.is_some_and(is_istio_chart);
            let values = object.pointer("/spec/values")?;
            (is_istio || is_istio_values(values)).then_some((values, "/global"))
        }
        "Application" => {
            let values = object.pointer("/spec/source/helm/valuesObject")?;
            is_istio_values(values).then_some((values, "/global"))
        }
        _ => None,
    }
}

fn is_istio_chart(chart: &str) -> bool {
    matches!(
        chart,
        "base" | "istiod" | "gateway" | "cni" | "ztunnel" | "istio" | "istio-discovery"
    )
}

/// Whether values are for Istio's charts: they have a part that only these know.
fn is_istio_values(values: &Value) -> bool {
    let known = [
        "meshConfig",
        "pilot",
        "istiod",
        "sidecarInjectorWebhook",
        "revisionTags",
        "istio_cni",
    ];
    let global = [
        "proxy",
        "istioNamespace",
        "pilotCertProvider",
        "caAddress",
        "meshID",
    ];
    let has = |map: Option<&Map<String, Value>>, keys: &[&str]| {
        map.is_some_and(|it| keys.iter().any(|key| it.contains_key(*key)))
    };
    let of_global = values.get("global").and_then(Value::as_object);
    has(values.as_object(), &known)
        || has(of_global, &global)
        || of_global.is_some_and(|it| it.contains_key("hub") && it.contains_key("tag"))
}

fn matches_text(value: &Value, is: Option<&str>) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match is {
        Some(is) => text == is,
        None => !matches!(text.as_str(), "" | "null" | "false" | "[]" | "{}"),
    }
}

const fn answer(yes: bool) -> Answer {
    if yes { Answer::Yes } else { Answer::No }
}

/// The root namespace that the mesh configuration says.
pub(super) fn is_root(mesh: &MeshConfig, name: &ObjectRef) -> bool {
    name.namespace.as_deref() == Some(mesh.root_namespace.as_str())
        || name.namespace.as_deref() == Some("istio-system")
}
