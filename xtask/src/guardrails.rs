//! `cargo xtask guardrails`: the admission policies that would have prevented what the catalogue shows.

use clap::{Args, ValueEnum};
use meshproof::guardrails::{Enforcement, Engine as PolicyEngine, Guardrail};

use crate::exit::{BadInput, Exit};
use crate::output::outln;

/// List the admission policies that would have prevented what the catalogue shows, or print them for kubectl.
///
/// Nothing is written to a cluster: what is printed with --output yaml is applied by whoever pipes it on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask guardrails                                              what they prevent, and which scenarios they stop
  cargo xtask guardrails --output yaml --warn | kubectl apply -f -    first, see whom they would refuse
  cargo xtask guardrails --output yaml | kubectl apply -f -           then refuse
  cargo xtask guardrails port-level-mtls --engine kyverno --output yaml")]
pub(crate) struct Guardrails {
    /// Names of guardrails; all by default
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Who evaluates what is printed with --output yaml
    #[arg(long, value_enum, default_value_t = Engine::Kubernetes)]
    engine: Engine,

    /// Warn whom they are against and refuse nothing, with --output yaml
    #[arg(long)]
    warn: bool,

    /// How to print them
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    /// The API server: ValidatingAdmissionPolicies and their bindings
    Kubernetes,
    /// Kyverno: ClusterPolicies
    Kyverno,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One JSON object per line
    Json,
    /// Manifests for kubectl apply
    Yaml,
}

impl Guardrails {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let only_of_yaml = self.warn || matches!(self.engine, Engine::Kyverno);
        if only_of_yaml && self.output != Output::Yaml {
            let message = "--warn and --engine say what manifests are printed: add --output yaml";
            return Err(BadInput(message.to_owned()).into());
        }
        let engine = match self.engine {
            Engine::Kubernetes => PolicyEngine::Kubernetes,
            Engine::Kyverno => PolicyEngine::Kyverno,
        };
        let enforcement = match self.warn {
            true => Enforcement::Warn,
            false => Enforcement::Deny,
        };
        for guardrail in self.chosen()? {
            match self.output {
                Output::Text => text(guardrail),
                Output::Json => outln!("{}", serde_json::to_string(&guardrail.summary())?),
                Output::Yaml => outln!("---\n{}", guardrail.manifests(engine, enforcement)?.trim_end()),
            }
        }
        Ok(Exit::Held)
    }

    fn chosen(&self) -> anyhow::Result<Vec<&'static Guardrail>> {
        let all = Guardrail::all()?;
        if let Some(stranger) = self
            .names
            .iter()
            .find(|name| all.iter().all(|it| it.name != **name))
        {
            let names: Vec<&str> = all.iter().map(|it| it.name).collect();
            let message = format!("there is no guardrail {stranger}: there are {}", names.join(", "));
            return Err(BadInput(message).into());
        }
        let is_chosen =
            |it: &&Guardrail| self.names.is_empty() || self.names.iter().any(|name| name == it.name);
        Ok(all.iter().filter(is_chosen).collect())
    }
}

fn text(guardrail: &Guardrail) {
    outln!("{}: {}", guardrail.name, guardrail.prevents);
    outln!("  would have stopped {}", guardrail.scenarios.join(", "));
}
