//! Admission policies that turn away what the catalogue shows to fail, before it is stored.
//!
//! `manifests/guardrails/` holds them as ValidatingAdmissionPolicies (admissionregistration.k8s.io/v1, Kubernetes 1.30),
//! which need nothing in the cluster but its API server; the Kyverno policies are written from them. Their expressions are
//! what tests evaluate, over cases (`manifests/guardrails/cases/`) and over every phase of the catalogue.

mod kyverno;
mod page;

use std::sync::LazyLock;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};

use crate::snapshot::{from_yaml, to_yaml};

pub use page::page;

/// An annotation that says in one line what the policy prevents.
const PREVENTS: &str = "meshproof.dev/prevents";
/// An annotation with the scenarios that it would have stopped, with commas.
const SCENARIOS: &str = "meshproof.dev/scenarios";
/// What the names of policies end in, so that they collide with nobody's in a cluster.
const DOMAIN: &str = ".meshproof.dev";

/// File below `manifests/guardrails/` without its extension, and its text.
const FILES: [(&str, &str); 7] = [
    (
        "image-digest",
        include_str!("../../../manifests/guardrails/image-digest.yaml"),
    ),
    (
        "image-listed",
        include_str!("../../../manifests/guardrails/image-listed.yaml"),
    ),
    (
        "destination-rule-tls",
        include_str!("../../../manifests/guardrails/destination-rule-tls.yaml"),
    ),
    (
        "port-level-mtls",
        include_str!("../../../manifests/guardrails/port-level-mtls.yaml"),
    ),
    (
        "injection-stays-on",
        include_str!("../../../manifests/guardrails/injection-stays-on.yaml"),
    ),
    (
        "namespace-stays-enrolled",
        include_str!("../../../manifests/guardrails/namespace-stays-enrolled.yaml"),
    ),
    (
        "known-fields",
        include_str!("../../../manifests/guardrails/known-fields.yaml"),
    ),
];

/// A manifest is not what a guardrail is made of.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("manifests/guardrails/{file}.yaml: {what}")]
pub struct GuardrailError {
    file: &'static str,
    what: String,
}

/// A policy, and the binding that puts it in force.
#[derive(Clone, Debug)]
pub struct Guardrail {
    /// What it is called: its file without extension.
    pub name: &'static str,
    /// What it prevents, in one line.
    pub prevents: String,
    /// The scenarios of the catalogue that it would have stopped, in alphabetical order.
    pub scenarios: Vec<String>,
    /// The policy.
    pub policy: ValidatingAdmissionPolicy,
    /// What puts it in force, for the whole cluster.
    pub binding: ValidatingAdmissionPolicyBinding,
}

/// Who evaluates the policies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Engine {
    /// The API server itself.
    Kubernetes,
    /// Kyverno.
    Kyverno,
}

/// What becomes of an object that a policy is against.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enforcement {
    /// It is refused.
    Deny,
    /// It is stored, and who sends it is warned.
    Warn,
}

/// What a guardrail is, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub struct Summary<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it prevents.
    pub prevents: &'a str,
    /// The scenarios that it would have stopped.
    pub scenarios: &'a [String],
    /// What it says to whom it refuses.
    pub messages: Vec<&'a str>,
}

impl Guardrail {
    /// All of them.
    ///
    /// # Errors
    /// When a manifest that is built in is not a policy with its binding, which a test rules out.
    pub fn all() -> Result<&'static [Self], GuardrailError> {
        static ALL: LazyLock<Result<Vec<Guardrail>, GuardrailError>> = LazyLock::new(|| {
            FILES
                .iter()
                .map(|(name, text)| Guardrail::read(name, text))
                .collect()
        });
        ALL.as_deref().map_err(Clone::clone)
    }

    /// What it is, in few words.
    #[must_use]
    pub fn summary(&self) -> Summary<'_> {
        let validations = self.policy.spec.iter().flat_map(|it| &it.validations).flatten();
        Summary {
            name: self.name,
            prevents: &self.prevents,
            scenarios: &self.scenarios,
            messages: validations.filter_map(|it| it.message.as_deref()).collect(),
        }
    }

    /// Its manifests for an engine, as YAML that `kubectl apply` takes.
    ///
    /// # Errors
    /// When the policy says what Kyverno cannot, or cannot be written; a test rules out both.
    pub fn manifests(&self, engine: Engine, enforcement: Enforcement) -> Result<String, GuardrailError> {
        let documents = match engine {
            Engine::Kubernetes => {
                let mut binding = self.binding.clone();
                if enforcement == Enforcement::Warn {
                    binding.spec.validation_actions = vec!["Warn".to_owned(), "Audit".to_owned()];
                }
                vec![json!(self.policy), json!(binding)]
            }
            Engine::Kyverno => vec![kyverno::policy(self, enforcement)?],
        };
        let texts = documents.iter().map(|it| self.written(it));
        Ok(texts.collect::<Result<Vec<_>, _>>()?.join("---\n"))
    }

    fn read(name: &'static str, text: &str) -> Result<Self, GuardrailError> {
        let wrong = |what: String| GuardrailError { file: name, what };
        let (policy, binding) = text
            .split_once("\n---\n")
            .ok_or_else(|| wrong("a policy and its binding are two documents".to_owned()))?;
        let policy: ValidatingAdmissionPolicy =
            from_yaml(policy, name).map_err(|error| wrong(error.to_string()))?;
        let binding: ValidatingAdmissionPolicyBinding =
            from_yaml(binding, name).map_err(|error| wrong(error.to_string()))?;
        let annotation = |key: &str| {
            let annotations = policy.metadata.annotations.as_ref();
            let text = annotations
                .and_then(|it| it.get(key))
                .map(|it| it.trim().to_owned());
            text.filter(|it| !it.is_empty())
                .ok_or_else(|| wrong(format!("the annotation {key} is missing")))
        };
        let scenarios = annotation(SCENARIOS)?
            .split(',')
            .map(|it| it.trim().to_owned())
            .collect();
        let in_cluster = format!("{name}{DOMAIN}");
        let named = |metadata: &ObjectMeta| metadata.name.as_ref() == Some(&in_cluster);
        let bound = binding.spec.policy_name == in_cluster;
        if !named(&policy.metadata) || !named(&binding.metadata) || !bound {
            return Err(wrong(format!("policy and binding are called {in_cluster}")));
        }
        Ok(Self {
            name,
            prevents: annotation(PREVENTS)?,
            scenarios,
            policy,
            binding,
        })
    }

    fn written(&self, document: &Value) -> Result<String, GuardrailError> {
        to_yaml(document).map_err(|error| self.wrong(error))
    }

    fn wrong(&self, what: impl Into<String>) -> GuardrailError {
        GuardrailError {
            file: self.name,
            what: what.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde::de::DeserializeOwned;

    use super::*;

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/guardrails"))
    }

    #[test]
    fn every_manifest_is_built_in() {
        let files = std::fs::read_dir(folder()).unwrap().map(|it| it.unwrap().path());
        let found: BTreeSet<String> = files
            .filter(|path| path.extension().is_some())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let built_in: BTreeSet<String> = Guardrail::all()
            .unwrap()
            .iter()
            .map(|it| it.name.to_owned())
            .collect();
        assert_eq!(found, built_in);
    }

    #[test]
    fn every_field_is_one_of_the_api() {
        // The types ignore what they do not know, so what was read is written again and compared.
        fn read_and_written<T: DeserializeOwned + Serialize>(text: &str) {
            let written: Value = serde_saphyr::from_str(text).unwrap();
            let read: T = serde_saphyr::from_str(text).unwrap();
            assert_eq!(json!(read), written);
        }
        for (_, text) in FILES {
            let (policy, binding) = text.split_once("\n---\n").unwrap();
            read_and_written::<ValidatingAdmissionPolicy>(policy);
            read_and_written::<ValidatingAdmissionPolicyBinding>(binding);
        }
    }

    #[test]
    fn every_message_says_what_to_do() {
        for guardrail in Guardrail::all().unwrap() {
            let validations = guardrail
                .policy
                .spec
                .as_ref()
                .unwrap()
                .validations
                .as_ref()
                .unwrap();
            for message in validations.iter().map(|it| it.message.as_ref().unwrap()) {
                // The API server refuses messages of several lines.
                assert!(!message.contains('\n'), "{message}");
                assert!(
                    message.contains(": "),
                    "what is wrong, then what to do: {message}"
                );
            }
        }
    }

    #[test]
    fn the_policies_of_kyverno_are_those_of_kubernetes() {
        for guardrail in Guardrail::all().unwrap() {
            let file = folder().join("kyverno").join(format!("{}.yaml", guardrail.name));
            let head = format!(
                "# Written from ../{}.yaml: UPDATE_GUARDRAILS=1 cargo test -p meshproof guardrails\n",
                guardrail.name
            );
            let policy = guardrail.manifests(Engine::Kyverno, Enforcement::Deny).unwrap();
            if std::env::var_os("UPDATE_GUARDRAILS").is_some() {
                std::fs::write(&file, format!("{head}{policy}")).unwrap();
            }
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(
                written == format!("{head}{policy}"),
                "{} is out of date; refresh it with: UPDATE_GUARDRAILS=1 cargo test -p meshproof guardrails",
                file.display()
            );
        }
    }

    #[test]
    fn a_warning_refuses_nothing() {
        for guardrail in Guardrail::all().unwrap() {
            for engine in [Engine::Kubernetes, Engine::Kyverno] {
                let deny = guardrail.manifests(engine, Enforcement::Deny).unwrap();
                let warn = guardrail.manifests(engine, Enforcement::Warn).unwrap();
                for refuses in ["Deny", "Enforce"] {
                    let action = |text: &str| text.lines().any(|it| it.trim().ends_with(refuses));
                    let is_action = (engine == Engine::Kubernetes) == (refuses == "Deny");
                    assert_eq!(action(&deny), is_action, "{deny}");
                    assert!(!action(&warn), "{warn}");
                }
            }
        }
    }
}
