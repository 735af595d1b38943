//! Who has a sidecar, and why not.

use super::View;
use crate::diagnose::check::{Category, Check, Status, Step};
use crate::istio::policy::{NoSidecar, Sidecar};
use crate::istio::{Workload, injection};
use crate::snapshot::{Object, ObjectRef};

pub(super) static SIDECARS: Step = Step {
    id: "injection.sidecars",
    category: Category::Injection,
    title: "both ends have a sidecar, in all of their pods",
    looks_at: "containers and init containers of running pods (native sidecars are init containers since Istio 1.27)",
    means: "A caller without a sidecar speaks plaintext; a server without one takes nothing else. One pod without one turns mTLS \
            off for a whole headless Service.",
    corrected_by: &["R01", "R08"],
};

pub(super) static LABELS: Step = Step {
    id: "injection.labels",
    category: Category::Injection,
    title: "labels ask for sidecars, and pods were created since",
    looks_at: "labels of namespaces and pods: istio-injection, istio.io/rev, sidecar.istio.io/inject, istio.io/dataplane-mode",
    means: "Pods are injected when they are created: a label changes none that runs. istio-injection hides istio.io/rev.",
    corrected_by: &["R07", "R12", "R13"],
};

pub(super) static WEBHOOK: Step = Step {
    id: "webhook.ready",
    category: Category::Webhook,
    title: "the injection webhook is there, trusted, and answers",
    looks_at: "MutatingWebhookConfigurations of every revision, their caBundle, and EndpointSlices of their Services",
    means: "A webhook that cannot be called keeps pods from being created, or creates them without a sidecar. A ready endpoint \
            is no proof that the API server reaches it.",
    corrected_by: &["R20", "R21"],
};

pub(super) fn sidecars(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    for workload in workloads(view) {
        check.look_at(workload.object.to_string());
        let name = &workload.name;
        if workload.gateway {
            check.tell(
                Status::CannotTell,
                format!("{name} is a gateway, which is not modelled"),
            );
            continue;
        }
        match &workload.sidecar {
            Sidecar::Injected { release } => {
                check.tell(Status::Ok, format!("{name} has a sidecar ({release})"));
                if !workload.tls_mode {
                    check.tell(
                        Status::Warning,
                        format!("{name} lacks the label security.istio.io/tlsMode=istio: callers speak plaintext to it"),
                    );
                }
            }
            Sidecar::Absent { .. } if is_ambient(view, workload) => {
                check.tell(
                    Status::CannotTell,
                    format!("{name} is of an ambient mesh: ztunnel speaks for it, which is not modelled"),
                );
            }
            Sidecar::Absent { reason } => {
                check.tell(
                    Status::Warning,
                    format!("{name} has no sidecar: {}", why(*reason)),
                );
                check.hint(format!(
                    "kubectl label namespace {} istio-injection=enabled, then restart the pods",
                    name.namespace
                ));
            }
        }
    }
    if check.found.is_empty() {
        return check.not_applicable("there are no workloads");
    }
    check
}

pub(super) fn labels(step: &'static Step, view: &View<'_>) -> Check {
    let mut check = Check::of(step);
    let mut namespaces: Vec<&str> = view.workloads.iter().map(|it| it.namespace.as_str()).collect();
    namespaces.dedup();
    for namespace in namespaces {
        let object = ObjectRef::new("Namespace", None, namespace);
        let Some(stored) = view.snapshot.get(&object) else {
            check.tell(Status::CannotTell, format!("the input does not hold {object}"));
            continue;
        };
        check.look_at(object.to_string());
        let labels = stored.object.metadata().labels.clone().unwrap_or_default();
        let asks: Vec<String> = ["istio-injection", "istio.io/rev", "istio.io/dataplane-mode"]
            .into_iter()
            .filter_map(|key| Some(format!("{key}={}", labels.get(key)?)))
            .collect();
        match asks.is_empty() {
            true => check.tell(Status::Ok, format!("{namespace} asks for nothing")),
            false => check.tell(Status::Ok, format!("{namespace} says {}", asks.join(", "))),
        }
        if labels.contains_key("istio-injection") && labels.contains_key("istio.io/rev") {
            check.tell(
                Status::Warning,
                format!("in {namespace} istio-injection hides istio.io/rev"),
            );
            check.hint(format!("kubectl label namespace {namespace} istio-injection-"));
        }
    }
    for workload in workloads(view) {
        let Some(on_creation) = on_creation(view, workload) else {
            continue;
        };
        let has = matches!(workload.sidecar, Sidecar::Injected { .. });
        let would = matches!(on_creation, Sidecar::Injected { .. });
        if has != would {
            let (is, will) = if would {
                ("no sidecar", "one")
            } else {
                ("a sidecar", "none")
            };
            let name = &workload.name;
            check.tell(
                Status::Warning,
                format!("{name} has {is}, and would get {will} if it were restarted"),
            );
        }
    }
    check
}

fn workloads<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a Workload> {
    view.workloads
        .iter()
        .filter_map(|it| view.topology.workloads.get(it))
}

/// What injection would make of the workload's pods today.
fn on_creation(view: &View<'_>, workload: &Workload) -> Option<Sidecar> {
    let template = match &view.snapshot.get(&workload.object)?.object {
        Object::Deployment(it) => &it.spec.template,
        Object::StatefulSet(it) => &it.spec.template,
        Object::DaemonSet(it) => &it.spec.template,
        _ => return None,
    };
    let namespace = &workload.name.namespace;
    let labels = namespace_labels(view, namespace);
    let metadata = template.metadata.clone().unwrap_or_default();
    let spec = template.spec.as_ref()?;
    let release = &view.topology.release;
    Some(injection::on_creation(
        &metadata, spec, namespace, &labels, release,
    ))
}

fn is_ambient(view: &View<'_>, workload: &Workload) -> bool {
    let labels = namespace_labels(view, &workload.name.namespace);
    let stored = view.snapshot.get(&workload.object);
    stored.is_some_and(|it| injection::is_ambient(it.object.metadata(), &labels))
}

fn namespace_labels(view: &View<'_>, namespace: &str) -> std::collections::BTreeMap<String, String> {
    let stored = view.snapshot.get(&ObjectRef::new("Namespace", None, namespace));
    stored
        .and_then(|it| it.object.metadata().labels.clone())
        .unwrap_or_default()
}

const fn why(reason: NoSidecar) -> &'static str {
    match reason {
        NoSidecar::NotRequested => "nobody asks for one",
        NoSidecar::NamespaceDisabled => "its namespace says istio-injection=disabled",
        NoSidecar::PodDisabled => "its pods opt out (sidecar.istio.io/inject)",
        NoSidecar::HostNetwork => "it uses the host's network",
        NoSidecar::SystemNamespace => "its namespace is the system's",
        NoSidecar::NoWebhook => "no injection webhook was registered when its pods were made",
        NoSidecar::NotInPod => "its running pods have no container istio-proxy",
    }
}
