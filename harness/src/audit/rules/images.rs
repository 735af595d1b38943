//! Images that are not the same tomorrow.

use serde_json::Value;

use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Rule};
use crate::audit::view::View;
use crate::istio::injection;
use crate::snapshot::Source;

/// The rules of this file, in the order of the report.
pub(super) const RULES: &[Rule] = &[UNPINNED, NO_DIGEST];

/// Tags that move.
const UNPINNED: Rule = Rule {
    code: "versions.unpinned",
    category: Category::Versions,
    severity: Severity::Medium,
    title: "every Istio image and chart is of an exact release",
    explanation: "A floating tag (latest, 1.30, none at all) is another release whenever a node pulls it: sidecars of one \
                  workload differ, and nobody upgraded.",
    remedy: "Write all three numbers of the release.",
    source: "pkg/kube/inject/webhook.go@1.30.3 (image resolution)",
    check: Check::Mesh(|view, found| {
        for image in images(view) {
            if let Some(problem) = image.floats() {
                found
                    .about(
                        &image.object,
                        &image.source,
                        format!("{}: {problem}", image.place),
                    )
                    .detail(&image.place);
            }
        }
    }),
};

/// Images without digest.
const NO_DIGEST: Rule = Rule {
    code: "versions.no-digest",
    category: Category::Versions,
    severity: Severity::Info,
    title: "every proxy image that is pinned by hand has a digest",
    explanation: "A tag can be pushed again; a digest cannot.",
    remedy: "Append @sha256:… to the image.",
    source: "pkg/kube/inject/webhook.go@1.30.3 (image resolution)",
    check: Check::Mesh(|view, found| {
        for image in images(view) {
            if image.is_by_hand && !image.reference.contains("@sha256:") && image.floats().is_none() {
                let message = format!("{}: {} has no digest", image.place, image.reference);
                found
                    .about(&image.object, &image.source, message)
                    .detail(&image.place);
            }
        }
    }),
};

/// An image, or the tag of one, as somebody wrote it.
struct Image {
    object: String,
    source: Source,
    place: String,
    /// The whole reference, or a tag with a colon before it.
    reference: String,
    /// Whether somebody pinned a proxy by hand, past what the installation says.
    is_by_hand: bool,
}

impl Image {
    /// What is wrong with its tag, if that may move.
    fn floats(&self) -> Option<String> {
        if self.reference.contains("@sha256:") {
            return None;
        }
        let tag = match self.reference.rsplit_once(':') {
            Some((_, tag)) if !tag.contains('/') => tag,
            _ => return Some(format!("{} has no tag", self.reference)),
        };
        let numbers = tag.trim_start_matches('v').split('-').next().unwrap_or_default();
        let is_exact =
            numbers.split('.').count() == 3 && injection::release_of_image(&self.reference).is_some();
        (!is_exact).then(|| format!("`{tag}` is no exact release"))
    }
}

fn images(view: &View<'_>) -> Vec<Image> {
    let mut all = Vec::new();
    for (name, stored, metadata, spec) in view.templates() {
        let mut add = |place: &str, reference: &str, is_by_hand| {
            all.push(Image {
                object: name.to_string(),
                source: stored.source.clone(),
                place: place.to_owned(),
                reference: reference.to_owned(),
                is_by_hand,
            });
        };
        let annotated = metadata
            .annotations
            .as_ref()
            .and_then(|it| it.get("sidecar.istio.io/proxyImage"));
        match annotated {
            Some(image) => add("sidecar.istio.io/proxyImage", image, true),
            None => {
                // `auto` stands for what the webhook puts there.
                let proxy = injection::proxy_container(spec).and_then(|it| it.image.as_deref());
                if let Some(image) = proxy.filter(|it| *it != "auto") {
                    add(injection::PROXY, image, false);
                }
            }
        }
    }
    for values in &view.installation.values {
        let mut add = |place: &str, tag: Option<&Value>| {
            let Some(tag) = tag else { return };
            let tag = tag.as_str().map_or_else(|| tag.to_string(), str::to_owned);
            if !tag.is_empty() {
                all.push(Image {
                    object: values.name.clone(),
                    source: values.source.clone(),
                    place: place.to_owned(),
                    reference: format!(":{tag}"),
                    is_by_hand: false,
                });
            }
        };
        add("global.tag", values.tree.pointer("/global/tag"));
        add("pilot.tag", values.tree.pointer("/pilot/tag"));
    }
    for (name, stored, value) in view.of_kind("IstioOperator") {
        if let Some(tag) = value.pointer("/spec/tag").and_then(Value::as_str) {
            all.push(Image {
                object: name.to_string(),
                source: stored.source.clone(),
                place: "spec.tag".to_owned(),
                reference: format!(":{tag}"),
                is_by_hand: false,
            });
        }
    }
    for (name, stored, value) in view.of_kind("HelmRelease") {
        let chart = value.pointer("/spec/chart/spec/chart").and_then(Value::as_str);
        let version = value.pointer("/spec/chart/spec/version").and_then(Value::as_str);
        if chart.is_some_and(|it| matches!(it, "istiod" | "base" | "cni" | "gateway" | "ztunnel")) {
            all.push(Image {
                object: name.to_string(),
                source: stored.source.clone(),
                place: "spec.chart.spec.version".to_owned(),
                reference: format!(":{}", version.unwrap_or("*")),
                is_by_hand: false,
            });
        }
    }
    all.extend(kustomized(view));
    all
}

/// `images` of kustomizations that are about Istio's own.
fn kustomized(view: &View<'_>) -> Vec<Image> {
    let plain = view
        .mixed
        .plain
        .iter()
        .map(|it| (format!("Kustomization/{}", it.source.file), &it.source, &it.value));
    let typed = view
        .of_kind("Kustomization")
        .map(|(name, stored, value)| (name.to_string(), &stored.source, value));
    let mut all = Vec::new();
    for (object, source, value) in plain.chain(typed) {
        for image in value
            .get("images")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |key: &str| image.get(key).and_then(Value::as_str);
            let name = text("newName").or(text("name")).unwrap_or_default();
            let is_istio = ["proxyv2", "pilot", "install-cni", "ztunnel"]
                .iter()
                .any(|it| name.ends_with(&format!("/{it}")));
            if is_istio {
                let suffix = text("digest").map_or_else(
                    || text("newTag").map(|it| format!(":{it}")).unwrap_or_default(),
                    |it| format!("@{it}"),
                );
                all.push(Image {
                    object: object.clone(),
                    source: source.clone(),
                    place: format!("images[{name}]"),
                    reference: format!("{name}{suffix}"),
                    is_by_hand: true,
                });
            }
        }
    }
    all
}
