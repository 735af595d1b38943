//! The files for Kyverno, read by the shape that Kyverno documents (kyverno.io_clusterpolicies.yaml at v1.15.2), as far
//! as it is used.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{ParamKind, ParamRef, Validation, Variable};
use meshproof::guardrails::Guardrail;
use serde::Deserialize;

use crate::root;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClusterPolicy {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    background: bool,
    emit_warning: bool,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    r#match: Match,
    validate: Validate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    any: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    resources: Resources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    kinds: Vec<String>,
    operations: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Validate {
    failure_action: String,
    cel: Cel,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cel {
    expressions: Vec<Validation>,
    variables: Vec<Variable>,
    param_kind: Option<ParamKind>,
    param_ref: Option<ParamRef>,
}

#[test]
fn kyverno_evaluates_the_same_expressions_over_the_same_kinds() {
    for guardrail in Guardrail::all().unwrap() {
        let file = root().join(format!("manifests/guardrails/kyverno/{}.yaml", guardrail.name));
        let policy: ClusterPolicy = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(
            (&*policy.api_version, &*policy.kind),
            ("kyverno.io/v1", "ClusterPolicy")
        );
        assert_eq!(Some(policy.metadata.name), guardrail.policy.metadata.name);
        let autogen = &policy.metadata.annotations["pod-policies.kyverno.io/autogen-controllers"];
        assert_eq!(autogen, "none", "templates are matched as they are");
        assert!(policy.spec.background && !policy.spec.emit_warning);
        let [rule] = &policy.spec.rules[..] else {
            panic!("{} is one rule", guardrail.name)
        };
        assert_eq!(rule.name, guardrail.name);
        assert_eq!(rule.validate.failure_action, "Enforce");
        let (cel, spec) = (&rule.validate.cel, guardrail.policy.spec.as_ref().unwrap());
        assert_eq!(Some(&cel.expressions), spec.validations.as_ref());
        assert_eq!(Some(&cel.variables), spec.variables.as_ref());
        assert_eq!(cel.param_kind, spec.param_kind);
        assert_eq!(cel.param_ref, guardrail.binding.spec.param_ref);
        let constraints = spec.match_constraints.as_ref().unwrap();
        let rules = constraints.resource_rules.as_ref().unwrap();
        assert_eq!(rule.r#match.any.len(), rules.len());
        for (filter, rule) in rule.r#match.any.iter().zip(rules) {
            let kinds = filter
                .resources
                .kinds
                .iter()
                .map(|it| it.rsplit('/').next().unwrap());
            let plurals: Vec<String> = kinds.map(|it| format!("{}s", it.to_lowercase())).collect();
            assert_eq!(Some(&plurals), rule.resources.as_ref());
            assert_eq!(Some(&filter.resources.operations), rule.operations.as_ref());
        }
    }
}
