//! `cargo xtask diagnose --self-test`: every scenario, broken and diagnosed.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use meshproof::mesh::Settings;
use meshproof::rehearsal::{Probing, Table, rehearse};
use meshproof::visibility::{AccessLogs, Visibility};
use serde_json::json;

use crate::exit::Exit;
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::scenario::chosen;

/// How long a scenario may take, with its proxies.
const LIMIT: Duration = Duration::from_secs(120);

/// Rehearses the scenarios of these names, all where there are none, and prints how good the diagnoses were.
pub(super) fn run(names: &[String], probing: Probing, json: bool) -> anyhow::Result<Exit> {
    let settings = Settings {
        access_logs: AccessLogs::OursAndIstio(Visibility::embedded()?),
        ..Settings::default()
    };
    let scenarios = chosen(names)?;
    let interruptible = Interruptible::new()?;
    let mut table = Table::default();
    for scenario in &scenarios {
        let name = scenario.name();
        // The clock is the runtime's: it is asked for inside of it.
        let work = async { tokio::time::timeout(LIMIT, rehearse(scenario, &settings, probing)).await };
        let Some(done) = interruptible.run(work)? else {
            return Ok(Exit::Interrupted);
        };
        let done = done.map_err(|_| anyhow!("{name} did not end within {LIMIT:?}"))?;
        table.scenarios.push(done.with_context(|| name.to_owned())?);
    }
    match json {
        true => outln!(
            "{}",
            json!({"measureMet": table.meets_the_measure(), "slowestSeconds": table.slowest(),
                   "confidentlyWrong": table.confidently_wrong(), "probes": table.probes(), "scenarios": table.scenarios})
        ),
        false => outln!("{}", table.text()),
    }
    Ok(match table.meets_the_measure() {
        true => Exit::Held,
        false => Exit::Falsified,
    })
}
