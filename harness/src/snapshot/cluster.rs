//! A live cluster, read page by page. What may not be read, or is not there, is listed.

use serde_json::Value;

use super::redact::redact;
use super::{LoadError, Mixed, Snapshot, Source, yaml};
use crate::kubernetes::{Context, KubernetesError, Resource, Selection};

/// Which part of a cluster is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    /// These namespaces, and those of the control plane and of mesh-wide policies; empty: all.
    pub namespaces: Vec<String>,
    /// Where istiod is.
    pub control_plane: String,
    /// Also the Secrets that hold istiod's signing bundle. Of them, public certificates alone are kept.
    pub secrets: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            control_plane: "istio-system".to_owned(),
            secrets: false,
        }
    }
}

/// Where objects of a kind are looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// In no namespace.
    Cluster,
    /// In the namespaces of the scope.
    Namespaces,
    /// In the namespaces of the scope, those of this name alone.
    Named(&'static str),
    /// Where the control plane is.
    ControlPlane,
    /// There, those of this name alone, where Secrets are asked for.
    Secret(&'static str),
}

/// What it means if the server has no such resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Absence {
    /// Something is wrong, and the mesh cannot be judged.
    Gap,
    /// There are no such objects.
    None,
}

const CORE: &[&str] = &["v1"];
const NETWORKING: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const SECURITY: &[&str] = &["v1", "v1beta1"];

/// Everything an audit looks at in a cluster. `manifests/rbac/preflight.yaml` grants exactly this.
#[rustfmt::skip]
const READ: &[(Resource, Place, Absence)] = &[
    (resource("", CORE, "namespaces", "Namespace"), Place::Cluster, Absence::Gap),
    (resource("", CORE, "nodes", "Node"), Place::Cluster, Absence::Gap),
    (resource("admissionregistration.k8s.io", CORE, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"), Place::Cluster, Absence::Gap),
    // First of all the mesh configuration, by which others are read.
    (resource("", CORE, "configmaps", "ConfigMap"), Place::ControlPlane, Absence::Gap),
    (resource("", CORE, "configmaps", "ConfigMap"), Place::Named("istio-ca-root-cert"), Absence::Gap),
    (resource("", CORE, "configmaps", "ConfigMap"), Place::Named("istio-ca-crl"), Absence::Gap),
    (resource("", CORE, "secrets", "Secret"), Place::Secret("cacerts"), Absence::Gap),
    (resource("", CORE, "secrets", "Secret"), Place::Secret("istio-ca-secret"), Absence::Gap),
    (resource("", CORE, "pods", "Pod"), Place::Namespaces, Absence::Gap),
    (resource("", CORE, "services", "Service"), Place::Namespaces, Absence::Gap),
    (resource("apps", CORE, "daemonsets", "DaemonSet"), Place::Namespaces, Absence::Gap),
    (resource("apps", CORE, "deployments", "Deployment"), Place::Namespaces, Absence::Gap),
    (resource("apps", CORE, "statefulsets", "StatefulSet"), Place::Namespaces, Absence::Gap),
    (resource("batch", CORE, "jobs", "Job"), Place::Namespaces, Absence::Gap),
    (resource("discovery.k8s.io", CORE, "endpointslices", "EndpointSlice"), Place::ControlPlane, Absence::Gap),
    (resource("networking.istio.io", NETWORKING, "destinationrules", "DestinationRule"), Place::Namespaces, Absence::Gap),
    (resource("networking.istio.io", &["v1alpha3"], "envoyfilters", "EnvoyFilter"), Place::Namespaces, Absence::Gap),
    (resource("networking.istio.io", NETWORKING, "gateways", "Gateway"), Place::Namespaces, Absence::Gap),
    (resource("networking.istio.io", NETWORKING, "serviceentries", "ServiceEntry"), Place::Namespaces, Absence::Gap),
    (resource("networking.istio.io", NETWORKING, "sidecars", "Sidecar"), Place::Namespaces, Absence::Gap),
    (resource("networking.istio.io", NETWORKING, "virtualservices", "VirtualService"), Place::Namespaces, Absence::Gap),
    (resource("networking.istio.io", NETWORKING, "workloadentries", "WorkloadEntry"), Place::Namespaces, Absence::Gap),
    (resource("security.istio.io", SECURITY, "authorizationpolicies", "AuthorizationPolicy"), Place::Namespaces, Absence::Gap),
    (resource("security.istio.io", SECURITY, "peerauthentications", "PeerAuthentication"), Place::Namespaces, Absence::Gap),
    (resource("gateway.networking.k8s.io", &["v1", "v1alpha3"], "backendtlspolicies", "BackendTLSPolicy"), Place::Namespaces, Absence::None),
    (resource("gateway.networking.k8s.io", &["v1", "v1beta1"], "gateways", "Gateway"), Place::Namespaces, Absence::None),
    // Where flux is, the control plane is as its releases say, wherever they are.
    (resource("helm.toolkit.fluxcd.io", &["v2", "v2beta2", "v2beta1"], "helmreleases", "HelmRelease"), Place::Cluster, Absence::None),
    (resource("install.istio.io", &["v1alpha1"], "istiooperators", "IstioOperator"), Place::ControlPlane, Absence::None),
];

const fn resource(
    group: &'static str,
    versions: &'static [&'static str],
    plural: &'static str,
    kind: &'static str,
) -> Resource {
    Resource {
        group,
        versions,
        plural,
        kind,
    }
}

impl Snapshot {
    /// Applies the objects of a cluster that an audit looks at, without what nobody needs to know of them. What may not be read, and resources of Istio that the server
    /// does not have, are listed in `found`.
    ///
    /// # Errors
    /// When nothing more can be read: the server is gone, or refuses the credentials.
    pub async fn load_cluster(
        &mut self,
        context: &Context,
        scope: &Scope,
        found: &mut Mixed,
    ) -> Result<(), KubernetesError> {
        found.kubernetes = Some(context.release().to_owned());
        if !scope.namespaces.is_empty() {
            found.notes.push(format!(
                "only of {}: nothing is known of calls from and to other namespaces",
                scope.namespaces.join(", ")
            ));
        }
        for (resource, place, absence) in READ {
            for (namespace, name) in selected(*place, scope, &self.mesh.root_namespace) {
                let selection = Selection {
                    resource,
                    namespace: namespace.as_deref(),
                    name: name.as_deref(),
                };
                match context.list(&selection, |value| self.take(value, found)).await {
                    Ok(_) => {}
                    Err(KubernetesError::NotServed { .. }) if *absence == Absence::None => break,
                    Err(error) if error.is_partial() => {
                        found.unread.push(LoadError::Gap(told(&error)));
                        // What is not served is not served anywhere.
                        if matches!(error, KubernetesError::NotServed { .. }) {
                            break;
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, mut value: Value, found: &mut Mixed) {
        redact(&mut value);
        match yaml::item(value) {
            Ok(object) => self.apply_from(object, Source::default()),
            Err(problem) => found.unread.push(LoadError::Gap(problem)),
        }
    }
}

/// An error, and what to do about it.
fn told(error: &KubernetesError) -> String {
    match error {
        KubernetesError::Forbidden { .. } => format!("{error}; manifests/rbac/preflight.yaml grants it"),
        _ => error.to_string(),
    }
}

/// Namespace and name of each list.
fn selected(place: Place, scope: &Scope, root: &String) -> Vec<(Option<String>, Option<String>)> {
    let everywhere = |name: Option<&str>| match scope.namespaces.as_slice() {
        [] => vec![(None, name.map(str::to_owned))],
        some => {
            let mut namespaces: Vec<String> = some.to_vec();
            for other in [&scope.control_plane, root] {
                if !namespaces.contains(other) {
                    namespaces.push(other.clone());
                }
            }
            let each = |it| (Some(it), name.map(str::to_owned));
            namespaces.into_iter().map(each).collect()
        }
    };
    let istiod = || Some(scope.control_plane.clone());
    match place {
        Place::Cluster => vec![(None, None)],
        Place::Namespaces => everywhere(None),
        Place::Named(name) => everywhere(Some(name)),
        Place::ControlPlane => vec![(istiod(), None)],
        Place::Secret(name) if scope.secrets => vec![(istiod(), Some(name.to_owned()))],
        Place::Secret(_) => Vec::new(),
    }
}
