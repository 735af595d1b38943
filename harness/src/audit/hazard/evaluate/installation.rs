//! Conditions on how and on what Istio runs.

use k8s_openapi::api::core::v1::PodSpec;
use semver::{Version, VersionReq};
use serde_json::Value;

use super::Holds;
use crate::audit::hazard::condition::Image;
use crate::audit::installation::{Answer, is_root};
use crate::audit::view::View;
use crate::istio::injection;
use crate::snapshot::{Object, ObjectRef};

pub(super) fn kubernetes(versions: &VersionReq, view: &View<'_>) -> Holds {
    if view.kubernetes.is_empty() {
        return Holds::CannotTell("the Kubernetes version (Node objects, or --kubernetes)".to_owned());
    }
    // A kubelet's suffix is no pre-release here.
    match view.kubernetes.values().all(|it| versions.matches(it)) {
        true => Holds::Yes(Vec::new()),
        false => Holds::No,
    }
}

pub(super) fn runs_image(wanted: &Image, view: &View<'_>) -> Holds {
    let is_wanted = |image: &str| {
        let name = image.split(['@', ':']).next().unwrap_or_default();
        let is_named = name.rsplit('/').next() == Some(wanted.name.as_str());
        is_named && injection::release_of_image(image).is_some_and(|it: Version| it < wanted.before)
    };
    let users = view.templates().filter(|(.., spec)| images(spec).any(is_wanted));
    Holds::some(users.map(|(name, ..)| name))
}

pub(super) fn image_from(registries: &[String], view: &View<'_>) -> Holds {
    let is_from = |image: &str| {
        registries.iter().any(|registry| {
            image
                .strip_prefix(registry.as_str())
                .is_some_and(|it| it.is_empty() || it.starts_with('/'))
        })
    };
    let users = view.templates().filter(|(_, _, metadata, spec)| {
        let annotated = metadata
            .annotations
            .as_ref()
            .and_then(|it| it.get("sidecar.istio.io/proxyImage"));
        images(spec).any(is_from) || annotated.is_some_and(|it| is_from(it))
    });
    let mut found: Vec<ObjectRef> = users.map(|(name, ..)| name.clone()).collect();
    let operators = view.of_kind("IstioOperator").filter(|(.., it)| {
        it.pointer("/spec/hub")
            .and_then(Value::as_str)
            .is_some_and(is_from)
    });
    found.extend(operators.map(|(name, ..)| name.clone()));
    let hub = |at: &str| {
        let hubs = view
            .installation
            .values
            .iter()
            .filter_map(|it| it.tree.pointer(at)?.as_str());
        hubs.into_iter().any(is_from)
    };
    if found.is_empty() && (hub("/global/hub") || hub("/hub") || hub("/pilot/hub")) {
        return Holds::Yes(Vec::new());
    }
    Holds::some(found.iter())
}

pub(super) fn volume_of_driver(driver: &str, view: &View<'_>) -> Holds {
    let mounts = |spec: &PodSpec| {
        let volumes = spec.volumes.iter().flatten();
        volumes
            .filter_map(|it| it.csi.as_ref())
            .any(|it| it.driver == driver)
    };
    Holds::some(
        view.templates()
            .filter(|(.., spec)| mounts(spec))
            .map(|(name, ..)| name),
    )
}

/// The chart's ConfigMap has the templates sidecar, gateway, grpc-simple, grpc-agent, waypoint, and agents of ztunnel.
pub(super) fn custom_injection_template(view: &View<'_>) -> Holds {
    const OWN: [&str; 8] = [
        "sidecar",
        "gateway",
        "grpc-simple",
        "grpc-agent",
        "waypoint",
        "kube-gateway",
        "agentgateway",
        "agentgateway-waypoint",
    ];
    let of_injector = view
        .snapshot
        .objects()
        .filter_map(|(name, stored)| match &stored.object {
            Object::ConfigMap(it) if name.name.starts_with("istio-sidecar-injector") => {
                let config: Value =
                    crate::snapshot::from_yaml(it.data.as_ref()?.get("config")?, "config").ok()?;
                let templates = config.get("templates")?.as_object()?;
                templates
                    .keys()
                    .any(|it| !OWN.contains(&it.as_str()))
                    .then_some(name)
            }
            _ => None,
        });
    match Holds::some(of_injector) {
        Holds::No => {}
        found => return found,
    }
    match view.installation.value("/sidecarInjectorWebhook/templates", None) {
        Answer::Yes => Holds::Yes(Vec::new()),
        Answer::No => Holds::No,
        Answer::Unknown if has_injector(view) => Holds::No,
        Answer::Unknown => {
            Holds::CannotTell("the ConfigMap istio-sidecar-injector, or the Helm values".to_owned())
        }
    }
}

fn has_injector(view: &View<'_>) -> bool {
    let mut names = view.snapshot.objects().map(|(name, _)| name);
    names.any(|it| it.kind == "ConfigMap" && it.name.starts_with("istio-sidecar-injector"))
}

pub(super) fn several_clusters(view: &View<'_>) -> Holds {
    let remotes = view.of_kind("Secret").filter(|(name, stored, _)| {
        let labels = stored.object.metadata().labels.as_ref();
        is_root(&view.snapshot.mesh, name)
            && labels
                .and_then(|it| it.get("istio/multiCluster"))
                .map(String::as_str)
                == Some("true")
    });
    Holds::some(remotes.map(|(name, ..)| name))
}

pub(super) fn several_networks(view: &View<'_>) -> Holds {
    let label = "topology.istio.io/network";
    let labelled = view.snapshot.objects().filter(|(_, stored)| {
        stored
            .object
            .metadata()
            .labels
            .as_ref()
            .is_some_and(|it| it.contains_key(label))
    });
    let labelled: Vec<_> = labelled.collect();
    let networks: std::collections::BTreeSet<_> = labelled
        .iter()
        .filter_map(|(_, stored)| stored.object.metadata().labels.as_ref()?.get(label))
        .collect();
    match networks.len() {
        0 | 1 => Holds::No,
        _ => Holds::some(labelled.into_iter().map(|(name, _)| name)),
    }
}

fn images(spec: &PodSpec) -> impl Iterator<Item = &str> {
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    containers.filter_map(|it| it.image.as_deref())
}
