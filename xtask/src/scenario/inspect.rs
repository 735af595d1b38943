//! What needs no proxy: the list, the check, the explanation.

use meshproof::scenario::{Catalogue, Scenario, explain as explanation};

use super::{Output, mistakes};
use crate::exit::Exit;
use crate::output::outln;

pub(super) fn list(catalogue: &Catalogue, output: Output) -> anyhow::Result<Exit> {
    let entries = catalogue.entries();
    match output {
        Output::Json => outln!("{}", serde_json::to_string(&entries)?),
        Output::Text => {
            let width = entries
                .iter()
                .map(|entry| entry.name.len())
                .max()
                .unwrap_or_default();
            for entry in &entries {
                outln!("{:width$}  {}", entry.name, entry.title);
            }
        }
    }
    if catalogue.mistakes.is_empty() {
        return Ok(Exit::Held);
    }
    Err(mistakes(&catalogue.mistakes).into())
}

pub(super) fn lint(scenarios: &[Scenario], output: Output) -> anyhow::Result<Exit> {
    match output {
        Output::Json => outln!("[]"),
        Output::Text => outln!("{} scenarios, no mistakes", scenarios.len()),
    }
    Ok(Exit::Held)
}

pub(super) fn explain(scenario: &Scenario) -> anyhow::Result<Exit> {
    outln!("{}", explanation(scenario).trim_end());
    Ok(Exit::Held)
}
