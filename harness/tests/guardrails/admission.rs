//! An API server's admission in small: which policies a request concerns, and what their expressions make of it.

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Env, Program, extensions};
use meshproof::guardrails::Guardrail;
use serde_json::{Map, Value, json};

/// The policies, compiled once.
pub(crate) struct Admission {
    policies: Vec<Policy>,
}

/// What somebody asks an API server to store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) object: Value,
    /// What is stored so far.
    pub(crate) old: Option<Value>,
    /// The labels of the object's namespace.
    pub(crate) namespace: Map<String, Value>,
    /// The object of the binding's `paramRef`. Without it a policy that has one is not asked.
    pub(crate) params: Option<Value>,
}

/// A policy is against it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) guardrail: &'static str,
    pub(crate) message: String,
}

struct Policy {
    guardrail: &'static Guardrail,
    env: Arc<Env>,
    variables: Vec<(String, Program)>,
    validations: Vec<(String, Program)>,
}

impl Admission {
    pub(crate) fn new() -> Self {
        // What an API server has too: the standard library, and the extension for strings.
        let mut env = Env::stdlib();
        env.add_extension(extensions::strings).unwrap();
        let env = Arc::new(env);
        let guardrails = Guardrail::all().unwrap().iter();
        Self {
            policies: guardrails.map(|it| Policy::new(it, &env)).collect(),
        }
    }

    /// Every message of every policy that is against the request.
    pub(crate) fn refusals(&self, request: &Request) -> Vec<Refusal> {
        let policies = self.policies.iter();
        policies.flat_map(|policy| policy.refusals(request)).collect()
    }
}

impl Policy {
    fn new(guardrail: &'static Guardrail, env: &Arc<Env>) -> Self {
        let spec = guardrail.policy.spec.as_ref().unwrap();
        let compile = |expression: &str| {
            let compiled = env.compile(expression);
            compiled.unwrap_or_else(|error| panic!("{}: {expression}: {error}", guardrail.name))
        };
        let variables = spec.variables.iter().flatten();
        let validations = spec.validations.iter().flatten();
        Self {
            guardrail,
            env: Arc::clone(env),
            variables: variables
                .map(|it| (it.name.clone(), compile(&it.expression)))
                .collect(),
            validations: validations
                .map(|it| (it.message.clone().unwrap(), compile(&it.expression)))
                .collect(),
        }
    }

    fn refusals(&self, request: &Request) -> Vec<Refusal> {
        let spec = self.guardrail.policy.spec.as_ref().unwrap();
        if !self.concerns(request) || (spec.param_kind.is_some() && request.params.is_none()) {
            return Vec::new();
        }
        let mut context = Context::with_env(Arc::clone(&self.env));
        let namespace = match kind(&request.object) {
            "Namespace" => Value::Null,
            _ => json!({"metadata": {"labels": request.namespace}}),
        };
        for (name, value) in [
            ("object", &request.object),
            ("oldObject", &json!(request.old)),
            ("namespaceObject", &namespace),
            ("params", &json!(request.params)),
        ] {
            context.add_variable(name, value).unwrap();
        }
        let evaluate = |program: &Program, context: &Context<'_, '_>| {
            let value = program.execute(context);
            value.unwrap_or_else(|error| panic!("{}: {error}: {request:?}", self.guardrail.name))
        };
        let mut variables: HashMap<String, cel::Value> = HashMap::new();
        for (name, program) in &self.variables {
            context.add_variable_from_value("variables", variables.clone());
            variables.insert(name.clone(), evaluate(program, &context));
        }
        context.add_variable_from_value("variables", variables);
        let mut refusals = Vec::new();
        for (message, program) in &self.validations {
            match evaluate(program, &context) {
                cel::Value::Bool(true) => {}
                cel::Value::Bool(false) => refusals.push(Refusal {
                    guardrail: self.guardrail.name,
                    message: message.clone(),
                }),
                other => panic!("{} says {other:?}", self.guardrail.name),
            }
        }
        refusals
    }

    fn concerns(&self, request: &Request) -> bool {
        let (group, operation) = (group(&request.object), request.operation());
        // The resource of every kind here is its plural.
        let resource = format!("{}s", kind(&request.object).to_lowercase());
        let constraints = self
            .guardrail
            .policy
            .spec
            .as_ref()
            .unwrap()
            .match_constraints
            .as_ref();
        let mut rules = constraints.unwrap().resource_rules.iter().flatten();
        let has = |list: &Option<Vec<String>>, item: &str| list.iter().flatten().any(|it| it == item);
        rules.any(|rule| {
            has(&rule.api_groups, group)
                && has(&rule.resources, &resource)
                && has(&rule.operations, operation)
        })
    }
}

impl Request {
    fn operation(&self) -> &'static str {
        match self.old {
            None => "CREATE",
            Some(_) => "UPDATE",
        }
    }
}

pub(crate) fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap()
}

/// The core group has no name.
pub(crate) fn group(object: &Value) -> &str {
    let version = object["apiVersion"].as_str().unwrap();
    version.split_once('/').map_or("", |(group, _)| group)
}
