//! The webhook that injects sidecars.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use serde_json::Value;

use crate::audit::certificates::Role;
use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Findings, Rule};
use crate::audit::view::View;
use crate::snapshot::{ObjectRef, Stored};

const WEBHOOK: &str = "manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml@1.30.3";
const NEEDS: &str = "MutatingWebhookConfiguration objects";

/// The rules of this file, in the order of the report.
pub(super) const RULES: &[Rule] = &[MISSING, REVISION, CA_BUNDLE, FAILURE_POLICY, NO_ENDPOINT];

/// Nobody injects.
const MISSING: Rule = Rule {
    code: "injection.webhook-missing",
    category: Category::Injection,
    severity: Severity::High,
    title: "there is a webhook that injects sidecars",
    explanation: "Namespaces ask for sidecars and no webhook injects them: new pods run without.",
    remedy: "Install istiod's webhook (helm upgrade istiod).",
    source: WEBHOOK,
    check: Check::Mesh(missing),
};

/// A revision that nobody serves.
const REVISION: Rule = Rule {
    code: "injection.unknown-revision",
    category: Category::Injection,
    severity: Severity::High,
    title: "every revision that a namespace asks for has a webhook",
    explanation: "A namespace names a revision or tag for which there is no webhook: its new pods get no sidecar.",
    remedy: "Install the revision or set the tag (istioctl tag set), or correct the label.",
    source: WEBHOOK,
    check: Check::Mesh(revision),
};

/// The API server does not trust the webhook.
const CA_BUNDLE: Rule = Rule {
    code: "injection.webhook-ca-bundle",
    category: Category::Injection,
    severity: Severity::High,
    title: "the API server trusts the injection webhook",
    explanation: "The webhook's caBundle does not hold the root that istiod's certificate is of: the API server cannot call \
                  it, and pods are refused, or created without sidecar where failurePolicy is Ignore.",
    remedy: "Restart istiod, which writes its root there, and see what overwrites it (a GitOps tool, say).",
    source: "pkg/webhooks/webhookpatch.go@1.30.3",
    check: Check::Mesh(ca_bundle),
};

/// A webhook that may be skipped.
const FAILURE_POLICY: Rule = Rule {
    code: "injection.webhook-failure-policy",
    category: Category::Injection,
    severity: Severity::Medium,
    title: "no pod is created while the injection webhook is away",
    explanation: "With failurePolicy Ignore pods that are created while istiod cannot be reached run without sidecar, and \
                  nobody is told.",
    remedy: "Set failurePolicy: Fail, as the charts do.",
    source: WEBHOOK,
    check: Check::Mesh(|view, found| {
        let all = injectors(view, found);
        for it in all
            .iter()
            .filter(|it| it.text("/failurePolicy") == Some("Ignore"))
        {
            found
                .at(
                    it.object,
                    it.stored,
                    format!("{}: failurePolicy is Ignore", it.name()),
                )
                .detail(it.name());
        }
    }),
};

/// A webhook that nobody answers.
const NO_ENDPOINT: Rule = Rule {
    code: "injection.webhook-without-endpoint",
    category: Category::Injection,
    severity: Severity::High,
    title: "the injection webhook has a ready endpoint",
    explanation: "The Service of the webhook has no ready endpoint: no pod of an injected namespace can be created.",
    remedy: "See why istiod is not ready (kubectl -n istio-system get pods -l app=istiod).",
    source: WEBHOOK,
    check: Check::Mesh(no_endpoint),
};

/// One webhook of a configuration.
struct Injector<'a> {
    object: &'a ObjectRef,
    stored: &'a Stored,
    webhook: &'a Value,
}

impl Injector<'_> {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.webhook.pointer(pointer)?.as_str()
    }

    fn name(&self) -> &str {
        self.text("/name").unwrap_or_default()
    }
}

/// The webhooks that inject; says what is needed where the input has no webhook of any kind.
fn injectors<'a>(view: &View<'a>, found: &mut Findings<'_>) -> Vec<Injector<'a>> {
    let mut any = false;
    let mut all = Vec::new();
    for (object, stored, value) in view.of_kind("MutatingWebhookConfiguration") {
        any = true;
        let webhooks = value.get("webhooks").and_then(Value::as_array);
        all.extend(webhooks.into_iter().flatten().map(|webhook| Injector {
            object,
            stored,
            webhook,
        }));
    }
    if !any {
        found.needs(NEEDS);
    }
    all.retain(|it| it.name().ends_with("sidecar-injector.istio.io"));
    all
}

/// Namespaces that ask for sidecars, and the revision they name.
fn asking<'a>(view: &View<'a>) -> impl Iterator<Item = (&'a Stored, Option<&'a str>)> {
    let all: Vec<_> = view.namespaces.values().copied().collect();
    all.into_iter().filter_map(|stored| {
        let labels = stored.object.metadata().labels.as_ref()?;
        match labels.get("istio-injection").map(String::as_str) {
            Some("enabled") => Some((stored, None)),
            Some(_) => None,
            None => Some((stored, Some(labels.get("istio.io/rev")?.as_str()))),
        }
    })
}

fn missing(view: &View<'_>, found: &mut Findings<'_>) {
    let injectors = injectors(view, found);
    let asking = asking(view).count();
    if found.needs.is_empty() && injectors.is_empty() && asking > 0 {
        found.mesh(format!(
            "{asking} namespaces ask for sidecars, and no webhook injects them"
        ));
    }
}

fn revision(view: &View<'_>, found: &mut Findings<'_>) {
    let injectors = injectors(view, found);
    if injectors.is_empty() {
        return;
    }
    let served: BTreeSet<&str> = injectors
        .iter()
        .flat_map(|it| {
            [
                "/namespaceSelector/matchExpressions",
                "/objectSelector/matchExpressions",
            ]
            .map(|at| it.webhook.pointer(at))
        })
        .flatten()
        .filter_map(Value::as_array)
        .flatten()
        .filter(|it| it.get("key").and_then(Value::as_str) == Some("istio.io/rev"))
        .filter_map(|it| it.get("values")?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (stored, revision) in asking(view) {
        if let Some(revision) = revision.filter(|it| !served.contains(it)) {
            let known: Vec<&str> = served.iter().copied().collect();
            let message = format!(
                "istio.io/rev={revision} has no webhook; there are {}",
                known.join(", ")
            );
            found.at(&stored.object.object_ref(), stored, message);
        }
    }
}

fn ca_bundle(view: &View<'_>, found: &mut Findings<'_>) {
    let roots: Vec<_> = view
        .certificates
        .of_role(Role::Distributed)
        .chain(view.certificates.of_role(Role::Root))
        .collect();
    for it in injectors(view, found) {
        let bundle = it
            .webhook
            .pointer("/clientConfig/caBundle")
            .cloned()
            .unwrap_or_default();
        let bundle = serde_json::from_value::<ByteString>(bundle).unwrap_or_default().0;
        if bundle.is_empty() {
            // Manifests leave it to istiod.
            if it.stored.object.metadata().uid.is_some() {
                found
                    .at(it.object, it.stored, format!("{}: caBundle is empty", it.name()))
                    .detail(it.name());
            }
            continue;
        }
        if roots.is_empty() {
            found.needs("the ConfigMap istio-ca-root-cert");
            continue;
        }
        let blocks = x509_parser::pem::Pem::iter_from_buffer(&bundle).flatten();
        let has_root = blocks
            .into_iter()
            .any(|block| roots.iter().any(|it| it.is_der(&block.contents)));
        if !has_root {
            let message = format!("{}: caBundle holds none of the mesh's roots", it.name());
            found.at(it.object, it.stored, message).detail(it.name());
        }
    }
}

fn no_endpoint(view: &View<'_>, found: &mut Findings<'_>) {
    let injectors = injectors(view, found);
    let services: BTreeSet<(&str, &str)> = injectors
        .iter()
        .filter_map(|it| {
            Some((
                it.text("/clientConfig/service/namespace")?,
                it.text("/clientConfig/service/name")?,
            ))
        })
        .collect();
    let slices: Vec<_> = view.of_kind("EndpointSlice").collect();
    for (namespace, name) in services {
        let of_service = slices.iter().filter(|(slice, stored, _)| {
            let labels = stored.object.metadata().labels.as_ref();
            slice.namespace.as_deref() == Some(namespace)
                && labels
                    .and_then(|it| it.get("kubernetes.io/service-name"))
                    .map(String::as_str)
                    == Some(name)
        });
        let of_service: Vec<_> = of_service.collect();
        if of_service.is_empty() {
            found.needs("EndpointSlice objects of the webhook's Service");
            continue;
        }
        let ready = |slice: &Value| {
            let endpoints = slice.get("endpoints").and_then(Value::as_array);
            endpoints
                .into_iter()
                .flatten()
                .any(|it| it.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false))
        };
        if !of_service.iter().any(|(.., slice)| ready(slice)) {
            let (object, stored, _) = of_service[0];
            found.at(
                object,
                stored,
                format!("no endpoint of Service {namespace}/{name} is ready"),
            );
        }
    }
}
