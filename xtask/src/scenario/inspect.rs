//! What needs no proxy: the list, the check, the explanation.

use meshproof::scenario::{Catalogue, Scenario, explain as explanation};

use super::{Output, mistakes};
use crate::exit::Exit;

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn list(catalogue: &Catalogue, output: Output) -> anyhow::Result<Exit> {
    let entries = catalogue.entries();
    match output {
        Output::Json => println!("{}", serde_json::to_string(&entries)?),
        Output::Text => {
            let width = entries
                .iter()
                .map(|entry| entry.name.len())
                .max()
                .unwrap_or_default();
            for entry in &entries {
                println!("{:width$}  {}", entry.name, entry.title);
            }
        }
    }
    if catalogue.mistakes.is_empty() {
        return Ok(Exit::Held);
    }
    Err(mistakes(&catalogue.mistakes).into())
}

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn lint(scenarios: &[Scenario], output: Output) -> anyhow::Result<Exit> {
    match output {
        Output::Json => println!("[]"),
        Output::Text => println!("{} scenarios, no mistakes", scenarios.len()),
    }
    Ok(Exit::Held)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn explain(scenario: &Scenario) -> anyhow::Result<Exit> {
    println!("{}", explanation(scenario).trim_end());
    Ok(Exit::Held)
}
