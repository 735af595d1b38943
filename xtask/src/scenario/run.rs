//! Running scenarios and printing what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use meshproof::envoy::binary::{Overrides, TerminalProgress};
use meshproof::mesh::{Settings, Tier, sweep};
use meshproof::report::{self, Text};
use meshproof::scenario::verdict::{PhaseResult, ScenarioResult, Verdict};
use meshproof::scenario::{Causes, Options, Scenario, execute, plan, predict_only, reproduce};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Output;
use crate::colour::is_coloured;
use crate::exit::Exit;
use crate::interrupt::Interruptible;
use crate::output::outln;

pub(super) fn run(command: &super::Scenario, scenarios: &[Scenario]) -> anyhow::Result<Exit> {
    let options = Options {
        tier: command.on,
        causes: if command.without_faults {
            Causes::LeftOut
        } else {
            Causes::Present
        },
        only: command.only.clone(),
        istio: command.istio.clone(),
    };
    for scenario in scenarios {
        // An id that no call has is bad usage, found before anything is printed or started.
        plan(scenario, &options)?;
    }
    let printer = Printer {
        output: command.output,
        text: Text {
            colour: is_coloured(&std::io::stdout()),
        },
        // Phases are shown as they end when nothing else is running.
        live: scenarios.len() == 1 && command.repeat == 1,
        silent: false,
    };
    let results = if command.predict_only {
        predictions(scenarios, &options, printer)?
    } else {
        let proxies = Proxies {
            overrides: Overrides::from_flags(&command.proxy)?,
            keep: command.keep,
        };
        let limit = Duration::from_secs(command.timeout);
        match really(scenarios, &options, proxies, printer, command.repeat, limit)? {
            Some(results) => results,
            None => return Ok(Exit::Interrupted),
        }
    };
    finish(command, scenarios, &results, printer)
}

/// Runs scenarios as written on a tier, without printing anything. `None` when interrupted.
pub(crate) fn silently(
    scenarios: &[Scenario],
    tier: Tier,
    overrides: Overrides,
    limit: Duration,
) -> anyhow::Result<Option<Vec<ScenarioResult>>> {
    let printer = Printer {
        output: Output::Text,
        text: Text { colour: false },
        live: false,
        silent: true,
    };
    let proxies = Proxies {
        overrides,
        keep: false,
    };
    really(scenarios, &Options::on(tier), proxies, printer, 1, limit)
}

/// Which proxies run, and whether their files stay.
struct Proxies {
    overrides: Overrides,
    keep: bool,
}

/// Runs scenarios on their tier. `None` when interrupted.
fn really(
    scenarios: &[Scenario],
    options: &Options,
    proxies: Proxies,
    printer: Printer,
    repeat: u32,
    limit: Duration,
) -> anyhow::Result<Option<Vec<ScenarioResult>>> {
    let interruptible = Interruptible::new()?;
    let settings = Settings {
        overrides: proxies.overrides,
        keep: proxies.keep,
        progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
    };
    let swept = sweep();
    if !swept.is_empty() {
        tracing::info!(directories = swept.len(), "removed what killed runs left behind");
    }
    let work = run_all(scenarios, options, &settings, printer, repeat, limit);
    interruptible.run(work)?.transpose()
}

/// Prints the summary, writes the report, and says how the command ends.
fn finish(
    command: &super::Scenario,
    scenarios: &[Scenario],
    results: &[ScenarioResult],
    printer: Printer,
) -> anyhow::Result<Exit> {
    if results.len() > 1 {
        printer.note(&report::summary(results));
    }
    if let Some(folder) = &command.report {
        let path = report::write(folder, results)?;
        printer.note(&format!("results are in {}", path.display()));
    }
    if command.without_faults {
        for scenario in scenarios.iter().filter(|scenario| !scenario.expects_refusals()) {
            printer.note(&format!(
                "{} expects no refusal, so there is nothing to leave out",
                scenario.name()
            ));
        }
    }
    let steady = scenarios
        .iter()
        .all(|scenario| is_steady(scenario, results, printer));
    if !steady || results.iter().any(|result| result.verdict == Verdict::Falsified) {
        return Ok(Exit::Falsified);
    }
    let missing = results.iter().any(|result| result.verdict == Verdict::NotRun);
    let required = command.require == Some(command.on);
    Ok(if missing && required {
        Exit::CannotRun
    } else {
        Exit::Held
    })
}

/// Whether every run of a scenario showed the same; where not, says what differed.
fn is_steady(scenario: &Scenario, results: &[ScenarioResult], printer: Printer) -> bool {
    let mut runs = results.iter().filter(|result| result.scenario == scenario.name());
    let Some(first) = runs.next() else { return true };
    let mut steady = true;
    for (id, once, again) in runs.flat_map(|run| first.differences(run)) {
        printer.note(&format!("not the same every time: {id} was {once}, then {again}"));
        steady = false;
    }
    steady
}

fn predictions(
    scenarios: &[Scenario],
    options: &Options,
    printer: Printer,
) -> anyhow::Result<Vec<ScenarioResult>> {
    let mut results = Vec::new();
    for scenario in scenarios {
        let result = predict_only(scenario, options)?;
        printer.whole(scenario, &result)?;
        results.push(result);
    }
    Ok(results)
}

/// Runs all scenarios, as many at a time as there are processors, and prints them in their order.
async fn run_all(
    scenarios: &[Scenario],
    options: &Options,
    settings: &Settings,
    printer: Printer,
    repeat: u32,
    limit: Duration,
) -> anyhow::Result<Vec<ScenarioResult>> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let permits = Arc::new(Semaphore::new(processors));
    let mut running = JoinSet::new();
    let rounds = (0..repeat).flat_map(|_| scenarios.iter().cloned());
    for (number, scenario) in rounds.enumerate() {
        let (options, settings, permits) = (options.clone(), settings.clone(), Arc::clone(&permits));
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let result = run_one(&scenario, &options, &settings, printer, limit).await;
            (number, scenario, result)
        });
    }
    let mut finished = BTreeMap::new();
    let mut results = Vec::new();
    while let Some(joined) = running.join_next().await {
        let (number, scenario, result) = joined.context("a scenario's task failed")?;
        finished.insert(number, (scenario, result?));
        while let Some((scenario, result)) = finished.remove(&results.len()) {
            if !printer.live {
                printer.whole(&scenario, &result)?;
            }
            results.push(result);
        }
    }
    Ok(results)
}

async fn run_one(
    scenario: &Scenario,
    options: &Options,
    settings: &Settings,
    printer: Printer,
    limit: Duration,
) -> anyhow::Result<ScenarioResult> {
    if printer.live {
        printer.heading(scenario, options.tier.as_str());
    }
    let mut reproduce = reproduce(scenario, options);
    for (release, binary) in settings.overrides.iter() {
        reproduce.push_str(&format!(" --proxy '{release}={}'", binary.display()));
    }
    let progress = |phase: &PhaseResult| {
        if printer.live {
            printer.phase(phase, &reproduce);
        }
    };
    let running = execute(scenario, options, settings, progress);
    let mut result = tokio::time::timeout(limit, running)
        .await
        .with_context(|| format!("{} did not end within {limit:?} (see --timeout)", scenario.name()))??;
    result.reproduce.clone_from(&reproduce);
    if printer.live {
        printer.footing(&result)?;
    }
    Ok(result)
}

/// Where results go.
#[derive(Clone, Copy)]
struct Printer {
    output: Output,
    text: Text,
    live: bool,
    silent: bool,
}

impl Printer {
    fn heading(self, scenario: &Scenario, tier: &str) {
        if self.speaks_to_people() {
            outln!(
                "{}",
                self.text
                    .heading(scenario.name(), &scenario.file.metadata.title, tier)
            );
        }
    }

    fn phase(self, phase: &PhaseResult, reproduce: &str) {
        if self.speaks_to_people() {
            outln!("{}", self.text.phase(phase, reproduce));
        }
    }

    fn footing(self, result: &ScenarioResult) -> anyhow::Result<()> {
        if self.silent {
            return Ok(());
        }
        match self.output {
            Output::Text => outln!("{}", self.text.footing(result)),
            Output::Json => outln!("{}", serde_json::to_string(result)?),
        }
        Ok(())
    }

    fn whole(self, scenario: &Scenario, result: &ScenarioResult) -> anyhow::Result<()> {
        self.heading(scenario, result.tier.as_str());
        for phase in &result.phases {
            self.phase(phase, &result.reproduce);
        }
        self.footing(result)
    }

    fn speaks_to_people(self) -> bool {
        !self.silent && self.output == Output::Text
    }

    /// Something beside the results; only for people.
    fn note(self, text: &str) {
        if self.speaks_to_people() {
            outln!("{text}");
        }
    }
}
