//! `cargo xtask logs --self-test`: what logs tell of every scenario, against what was observed.

use std::time::Duration;

use anyhow::Context;
use meshproof::logs::Patterns;
use meshproof::mesh::{Settings, Tier};
use meshproof::recognition::{Shown, Table, recognise};
use meshproof::scenario::verdict::Verdict;
use meshproof::scenario::{Catalogue, Scenario};
use meshproof::visibility::{AccessLogs, Visibility};
use serde_json::json;

use super::Output;
use crate::exit::{BadInput, Exit};
use crate::output::outln;
use crate::root::root;
use crate::scenario::{find, mistakes, silently};

/// How long a scenario may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the scenarios of these names, all where there are none, and prints what their logs tell.
pub(super) fn run(names: &[String], output: Output) -> anyhow::Result<Exit> {
    if output == Output::Prometheus {
        let only = "--self-test prints text or json";
        return Err(BadInput(only.to_owned()).into());
    }
    let settings = Settings {
        access_logs: AccessLogs::OursAndIstio(Visibility::embedded()?),
        ..Settings::default()
    };
    let Some(results) = silently(&chosen(names)?, Tier::Local, settings, LIMIT, &[])? else {
        return Ok(Exit::Interrupted);
    };
    let table = recognise(Patterns::embedded()?, &results)?;
    let not_run: Vec<(&str, &str)> = results
        .iter()
        .filter(|result| result.verdict == Verdict::NotRun)
        .map(|result| {
            let reason = result.reason.as_deref().unwrap_or_default();
            (result.scenario.as_str(), reason)
        })
        .collect();
    match output {
        Output::Json => outln!("{}", as_json(&table, &not_run)),
        _ => {
            outln!("{}", table.text());
            for (scenario, reason) in &not_run {
                outln!("not run: {scenario} ({reason})");
            }
        }
    }
    Ok(if table.is_right() {
        Exit::Held
    } else {
        Exit::Falsified
    })
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    let root = root()?;
    let catalogue = Catalogue::load(&root)
        .with_context(|| format!("cannot read {}", root.join("scenarios").display()))?;
    if names.is_empty() {
        if !catalogue.mistakes.is_empty() {
            return Err(mistakes(&catalogue.mistakes).into());
        }
        return Ok(catalogue.scenarios);
    }
    let found: Result<Vec<Scenario>, BadInput> =
        names.iter().map(|name| find(&catalogue, name).cloned()).collect();
    Ok(found?)
}

fn as_json(table: &Table, not_run: &[(&str, &str)]) -> serde_json::Value {
    let totals: serde_json::Map<String, serde_json::Value> = Shown::ALL
        .into_iter()
        .map(|shown| (shown.as_str().to_owned(), json!(table.totals(shown))))
        .collect();
    let not_run: Vec<serde_json::Value> = not_run
        .iter()
        .map(|(scenario, reason)| json!({"scenario": scenario, "reason": reason}))
        .collect();
    json!({"right": table.is_right(), "totals": totals, "rows": table.rows, "wrong": table.wrong, "unseen": table.unseen, "stale": table.stale, "volume": table.volume, "notRun": not_run})
}
