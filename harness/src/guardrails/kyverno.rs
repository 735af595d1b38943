//! The same policies for Kyverno, as ClusterPolicies with `validate.cel` (kyverno.io/v1, Kyverno 1.13 and later:
//! pkg/engine/handlers/validation/validate_cel.go and config/crds/kyverno/kyverno.io_clusterpolicies.yaml at v1.15.2).
//! Kyverno evaluates expressions with the API server's own library, so they are taken over as they are.

use k8s_openapi::api::admissionregistration::v1::NamedRuleWithOperations;
use serde_json::{Value, json};

use super::{Enforcement, Guardrail, GuardrailError};

/// Resources that policies name, and their kinds: the API server matches by the one, Kyverno by the other.
const KINDS: [(&str, &str); 9] = [
    ("cronjobs", "CronJob"),
    ("daemonsets", "DaemonSet"),
    ("deployments", "Deployment"),
    ("destinationrules", "DestinationRule"),
    ("jobs", "Job"),
    ("namespaces", "Namespace"),
    ("peerauthentications", "PeerAuthentication"),
    ("pods", "Pod"),
    ("statefulsets", "StatefulSet"),
];

/// The ClusterPolicy that says what the guardrail says.
pub(super) fn policy(guardrail: &Guardrail, enforcement: Enforcement) -> Result<Value, GuardrailError> {
    let spec = guardrail.policy.spec.as_ref();
    let spec = spec.ok_or_else(|| guardrail.wrong("a policy has a spec"))?;
    let binding = &guardrail.binding.spec;
    let mut matched = Vec::new();
    let constraints = spec.match_constraints.as_ref();
    for rule in constraints
        .and_then(|it| it.resource_rules.as_ref())
        .into_iter()
        .flatten()
    {
        matched.push(json!({"resources": {"kinds": kinds(guardrail, rule)?, "operations": rule.operations}}));
    }
    let mut cel = json!({"expressions": spec.validations, "variables": spec.variables});
    if let (Some(kind), Some(reference)) = (&spec.param_kind, &binding.param_ref) {
        cel["paramKind"] = json!(kind);
        cel["paramRef"] = json!(reference);
    }
    let mut annotations = guardrail.policy.metadata.annotations.clone().unwrap_or_default();
    // Templates are matched as they are; Kyverno would match them a second time by rules of its own making.
    annotations.insert(
        "pod-policies.kyverno.io/autogen-controllers".to_owned(),
        "none".to_owned(),
    );
    let (action, warns) = match enforcement {
        Enforcement::Deny => ("Enforce", false),
        Enforcement::Warn => ("Audit", true),
    };
    Ok(json!({
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": guardrail.policy.metadata.name, "annotations": annotations},
        "spec": {
            // Also reports what was stored before the policy came.
            "background": true,
            "emitWarning": warns,
            "rules": [{
                "name": guardrail.name,
                "match": {"any": matched},
                "validate": {"failureAction": action, "cel": cel},
            }],
        },
    }))
}

/// As `apps/*/Deployment`; the core group has no name.
fn kinds(guardrail: &Guardrail, rule: &NamedRuleWithOperations) -> Result<Vec<String>, GuardrailError> {
    let mut kinds = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for version in rule.api_versions.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let (_, kind) = KINDS
                    .iter()
                    .find(|(it, _)| it == resource)
                    .ok_or_else(|| guardrail.wrong(format!("the kind of {resource} is not known")))?;
                kinds.push(match group.is_empty() {
                    true => format!("{version}/{kind}"),
                    false => format!("{group}/{version}/{kind}"),
                });
            }
        }
    }
    Ok(kinds)
}
