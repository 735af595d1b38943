//! Whether a pod gets, or has, a sidecar.
//!
//! Source: pkg/kube/inject/inject.go@1.30.3 (`injectRequired`, `IgnoredNamespaces`) and the webhook selectors of
//! manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml@1.30.3.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use semver::Version;

use super::policy::{NoSidecar, Sidecar};

const INJECT: &str = "sidecar.istio.io/inject";
const REVISION: &str = "istio.io/rev";
const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
const PROXY_IMAGE: &str = "sidecar.istio.io/proxyImage";
const TLS_MODE: &str = "security.istio.io/tlsMode";
/// The sidecar's container.
pub(crate) const PROXY: &str = "istio-proxy";
const NEVER_INJECTED: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

type Labels = BTreeMap<String, String>;

/// Whether a MutatingWebhookConfiguration has the API server ask istiod about new pods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Webhook {
    Registered,
    Removed,
}

/// What the injection webhook makes of a pod that is created in `namespace` now.
pub(crate) fn on_creation(
    metadata: &ObjectMeta,
    spec: &PodSpec,
    namespace: &str,
    namespace_labels: &Labels,
    control_plane: &Version,
) -> Sidecar {
    if let Some(own) = brought_along(spec, control_plane) {
        return own;
    }
    match refusal(metadata, spec, namespace, namespace_labels) {
        Some(reason) => Sidecar::Absent { reason },
        None => {
            let image = annotation(metadata, PROXY_IMAGE);
            Sidecar::Injected {
                release: release_of(image, control_plane),
            }
        }
    }
}

/// Annotations that take traffic past the sidecar or replace its certificate, which is not modelled.
pub(super) fn unmodelled_annotations(metadata: &ObjectMeta) -> Vec<String> {
    let bypasses = |key: &str, value: &str| {
        let interception = key.starts_with("traffic.sidecar.istio.io/") && !matches!(value, "" | "*");
        let mode = key == "sidecar.istio.io/interceptionMode" && value != "REDIRECT" && value != "TPROXY";
        let certificate = key == "proxy.istio.io/config" && value.contains("ISTIO_META_TLS_CLIENT");
        interception || mode || certificate
    };
    let annotations = metadata.annotations.iter().flatten();
    annotations
        .filter(|(key, value)| bypasses(key, value))
        .map(|(key, _)| format!("annotation {key}"))
        .collect()
}

/// What a pod has that no webhook looks at (any more): its istio-proxy container, whether classic or native, decides.
pub(super) fn as_written(spec: &PodSpec, control_plane: &Version, otherwise: NoSidecar) -> Sidecar {
    brought_along(spec, control_plane).unwrap_or(Sidecar::Absent { reason: otherwise })
}

/// The sidecar that is in the pod's own specification.
fn brought_along(spec: &PodSpec, control_plane: &Version) -> Option<Sidecar> {
    let proxy = proxy_container(spec)?;
    Some(Sidecar::Injected {
        release: release_of(proxy.image.as_deref(), control_plane),
    })
}

/// Whether clients see the pod as one that speaks mTLS: its label `security.istio.io/tlsMode` is `istio`
/// (pilot/pkg/serviceregistry/kube/conversion.go@1.30.3: `PodTLSMode`). The injection template sets the label unless
/// the pod brings its own.
pub(super) fn tls_mode(metadata: &ObjectMeta, sidecar: &Sidecar, live: bool) -> bool {
    match label(metadata, TLS_MODE) {
        Some(mode) => mode == "istio",
        None => !live && matches!(sidecar, Sidecar::Injected { .. }),
    }
}

/// Whether a pod without sidecar belongs to an ambient mesh.
pub(crate) fn is_ambient(metadata: &ObjectMeta, namespace_labels: &Labels) -> bool {
    let of_namespace = namespace_labels.get(DATAPLANE_MODE).map(String::as_str);
    label(metadata, DATAPLANE_MODE).or(of_namespace) == Some("ambient")
}

/// Whether the proxy of a pod is a gateway: injected from the gateway template, or labelled as the charts label gateways.
pub(crate) fn is_gateway(metadata: &ObjectMeta) -> bool {
    let template = annotation(metadata, "inject.istio.io/templates");
    template.is_some_and(|it| it.split(',').any(|name| name.trim() == "gateway"))
        || label(metadata, "gateway.networking.k8s.io/gateway-name").is_some()
        || label(metadata, "istio").is_some_and(|it| it.ends_with("gateway"))
}

/// The Istio release of an image reference: its tag without digest and variant.
pub(crate) fn release_of_image(image: &str) -> Option<Version> {
    let name = image.split('@').next().unwrap_or(image);
    let (_, tag) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    let tag = tag
        .trim_end_matches("-distroless")
        .trim_end_matches("-debug")
        .trim_start_matches('v');
    Version::parse(tag)
        .or_else(|_| Version::parse(&format!("{tag}.0")))
        .ok()
}

fn release_of(image: Option<&str>, control_plane: &Version) -> Version {
    image
        .and_then(release_of_image)
        .unwrap_or_else(|| control_plane.clone())
}

pub(crate) fn proxy_container(spec: &PodSpec) -> Option<&Container> {
    let native = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(native)
        .find(|container| container.name == PROXY)
}

/// Why the webhook leaves the pod alone. The namespace's `istio-injection` label outranks everything on the pod but a
/// no; a pod's label outranks its annotation.
fn refusal(
    metadata: &ObjectMeta,
    spec: &PodSpec,
    namespace: &str,
    namespace_labels: &Labels,
) -> Option<NoSidecar> {
    if let Some(reason) = not_selected(metadata, namespace_labels) {
        return Some(reason);
    }
    if spec.host_network == Some(true) {
        return Some(NoSidecar::HostNetwork);
    }
    if NEVER_INJECTED.contains(&namespace) {
        return Some(NoSidecar::SystemNamespace);
    }
    let wish = label(metadata, INJECT)
        .or_else(|| annotation(metadata, INJECT))
        .unwrap_or_default();
    (wish == "false").then_some(NoSidecar::PodDisabled)
}

/// The webhook's namespace and object selectors. Every `istio.io/rev` counts as the revision of the control plane.
fn not_selected(metadata: &ObjectMeta, namespace_labels: &Labels) -> Option<NoSidecar> {
    let pod = label(metadata, INJECT);
    let says_no = || (pod == Some("false")).then_some(NoSidecar::PodDisabled);
    match namespace_labels.get("istio-injection").map(String::as_str) {
        Some("enabled") => says_no(),
        Some("disabled") => Some(NoSidecar::NamespaceDisabled),
        Some(_) => Some(NoSidecar::NotRequested),
        None if namespace_labels.contains_key(REVISION) => says_no(),
        None if label(metadata, REVISION).is_some() => says_no(),
        None => match pod {
            Some("true") => None,
            Some("false") => Some(NoSidecar::PodDisabled),
            _ => Some(NoSidecar::NotRequested),
        },
    }
}

fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}
