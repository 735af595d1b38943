//! How Istio is delivered.

use serde_json::Value;

use super::View;
use crate::diagnose::check::{Category, Check, Status, Step};
use crate::snapshot::Object;

pub(super) static FLUX: Step = Step {
    id: "delivery.helm-releases",
    category: Category::Delivery,
    title: "flux has delivered what its HelmReleases say",
    looks_at: "HelmReleases whose chart is one of Istio's, wherever they are",
    means: "A release that failed halfway leaves charts of different versions; one that is suspended delivers nothing.",
    corrected_by: &["R10"],
};

/// Istio's charts (manifests/charts of istio/istio).
const CHARTS: [&str; 5] = ["base", "istiod", "cni", "gateway", "ztunnel"];

pub(super) fn flux(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    for (name, stored) in view.snapshot.objects() {
        let Object::Other(release) = &stored.object else {
            continue;
        };
        let is_flux = release.api_version.starts_with("helm.toolkit.fluxcd.io/");
        if release.kind != "HelmRelease" || !is_flux {
            continue;
        }
        let text = |pointer: &str| release.value.pointer(pointer).and_then(Value::as_str);
        let chart = text("/spec/chart/spec/chart").unwrap_or_default();
        if !CHARTS.contains(&chart) && !chart.starts_with("istio") {
            continue;
        }
        check.look_at(name.to_string());
        if release.value.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
            check.tell(
                Status::Warning,
                format!("{name} is suspended: nothing of it is delivered"),
            );
        }
        let conditions = release
            .value
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().find(|it| it["type"] == "Ready");
        let word = |field: &str| ready.and_then(|it| it[field].as_str()).unwrap_or_default();
        match word("status") {
            "True" => check.tell(Status::Ok, format!("{name} is ready")),
            "" => check.tell(Status::CannotTell, format!("{name} says nothing of its state")),
            _ => {
                check.tell(
                    Status::Warning,
                    format!("{name} is not ready: {}", word("reason")),
                );
                let namespace = name.namespace.as_deref().unwrap_or_default();
                check.hint(format!("flux get helmreleases {} -n {namespace}", name.name));
            }
        }
    }
    if check.found.is_empty() {
        return check.not_applicable("the input holds no HelmRelease of Istio's charts");
    }
    check
}
