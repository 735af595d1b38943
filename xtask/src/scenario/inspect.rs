//! What needs no proxy: the list, the check, the explanation.

use std::path::Path;

use meshproof::invocation::command;
use meshproof::scenario::{Catalogue, Scenario, explain as explanation, write_skeleton};

use super::{Output, mistakes};
use crate::exit::{BadInput, Exit};
use crate::output::outln;
use crate::root::is_checkout;

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
        Output::Text if scenarios.len() == 1 => outln!("1 scenario, no mistakes"),
        Output::Text => outln!("{} scenarios, no mistakes", scenarios.len()),
    }
    Ok(Exit::Held)
}

pub(super) fn explain(scenario: &Scenario) -> anyhow::Result<Exit> {
    outln!("{}", explanation(scenario).trim_end());
    Ok(Exit::Held)
}

/// Writes a scenario to begin with, and says what to do next: into the catalogue of a checkout, elsewhere into the current
/// folder.
pub(super) fn create(root: &Path, name: &str) -> anyhow::Result<Exit> {
    let here = std::env::current_dir()?;
    let checkout = is_checkout();
    let folder = if checkout {
        root.join("scenarios")
    } else {
        here.clone()
    };
    let path = write_skeleton(&folder, name).map_err(|error| BadInput(error.to_string()))?;
    let path = path
        .strip_prefix(if checkout { root } else { &here })
        .unwrap_or(&path)
        .display();
    let command = command();
    outln!("{path} is written. Edit it, then:");
    if checkout {
        outln!("  {command} scenario --lint {name}");
        outln!("  {command} scenario {name}");
        outln!("  UPDATE_CATALOGUE=1 cargo test -p meshproof catalogue_page");
    } else {
        outln!("  {command} scenario --lint --file {path}");
        outln!("  {command} scenario --file {path}");
    }
    Ok(Exit::Held)
}
