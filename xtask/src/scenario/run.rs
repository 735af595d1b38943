//! Running scenarios and printing what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use meshproof::envoy::binary::{Overrides, TerminalProgress};
use meshproof::mesh::{Settings, Tier, sweep};
use meshproof::report::{self, Text};
use meshproof::scenario::verdict::{PhaseResult, ScenarioResult, Verdict};
use meshproof::scenario::{Causes, Options, Scenario, execute, not_run, plan, predict_only, reproduce};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Output;
use crate::colour::is_coloured;
use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::output::outln;

pub(super) fn run(command: &super::Scenario, scenarios: &[Scenario]) -> anyhow::Result<Exit> {
    let options = Options {
        tier: command.on.tier,
        replay: command.on.replay.clone(),
        causes: if command.without_faults {
            Causes::LeftOut
        } else {
            Causes::Present
        },
        only: command.only.clone(),
        istio: command.istio.clone(),
        client: command.client.clone(),
        server: command.server.clone(),
    };
    let recorded = match &options.replay {
        Some(folder) => report::read(folder).map_err(|error| BadInput(error.to_string()))?,
        None => Vec::new(),
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
    };
    let results = if command.predict_only {
        predictions(scenarios, &options, printer)?
    } else {
        let interruptible = Interruptible::new()?;
        let settings = Settings {
            overrides: Overrides::from_flags(&command.proxy)?,
            keep: command.keep,
            recording: None,
            progress: Arc::new(TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag))),
        };
        let swept = sweep();
        if !swept.is_empty() {
            tracing::info!(directories = swept.len(), "removed what killed runs left behind");
        }
        let limit = Duration::from_secs(command.timeout);
        let runner = Runner {
            options,
            settings,
            recorded,
            printer,
            limit,
        };
        let work = runner.run_all(scenarios, command.repeat);
        match interruptible.run(work)? {
            Some(results) => results?,
            None => return Ok(Exit::Interrupted),
        }
    };
    finish(command, scenarios, &results, printer)
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
    let required = command.require == Some(command.on.tier);
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
        printer.complain(&format!("not the same every time: {id} was {once}, then {again}"));
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

/// Runs scenarios and prints their results.
#[derive(Clone)]
struct Runner {
    options: Options,
    settings: Settings,
    /// The results of an earlier run, where scenarios are replayed.
    recorded: Vec<ScenarioResult>,
    printer: Printer,
    limit: Duration,
}

impl Runner {
    /// Runs all scenarios, as many at a time as there are processors, and prints them in their order.
    async fn run_all(&self, scenarios: &[Scenario], repeat: u32) -> anyhow::Result<Vec<ScenarioResult>> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let permits = Arc::new(Semaphore::new(processors));
        let mut running = JoinSet::new();
        let rounds = (0..repeat).flat_map(|_| scenarios.iter().cloned());
        for (number, scenario) in rounds.enumerate() {
            let (runner, permits) = (self.clone(), Arc::clone(&permits));
            running.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let result = runner.run_one(&scenario).await;
                (number, scenario, result)
            });
        }
        let mut finished = BTreeMap::new();
        let mut results = Vec::new();
        while let Some(joined) = running.join_next().await {
            let (number, scenario, result) = joined.context("a scenario's task failed")?;
            finished.insert(number, (scenario, result?));
            while let Some((scenario, result)) = finished.remove(&results.len()) {
                if !self.printer.live {
                    self.printer.whole(&scenario, &result)?;
                }
                results.push(result);
            }
        }
        Ok(results)
    }

    async fn run_one(mut self, scenario: &Scenario) -> anyhow::Result<ScenarioResult> {
        let printer = self.printer;
        if printer.live {
            let place = self
                .options
                .replay
                .as_ref()
                .map_or(self.options.tier, |_| Tier::Replay);
            printer.heading(scenario, place.as_str());
        }
        let mut reproduce = reproduce(scenario, &self.options);
        for (release, binary) in self.settings.overrides.iter() {
            reproduce.push_str(&format!(" --proxy '{release}={}'", binary.display()));
        }
        let mut result = match self.find_recording(scenario) {
            Some(reason) => not_run(scenario, &self.options, reason),
            None => {
                let progress = |phase: &PhaseResult| {
                    if printer.live {
                        printer.phase(phase, &reproduce);
                    }
                };
                let running = execute(scenario, &self.options, &self.settings, progress);
                tokio::time::timeout(self.limit, running)
                    .await
                    .with_context(|| {
                        let (name, limit) = (scenario.name(), self.limit);
                        format!("{name} did not end within {limit:?} (see --timeout)")
                    })??
            }
        };
        result.reproduce.clone_from(&reproduce);
        if printer.live {
            printer.footing(&result)?;
        }
        Ok(result)
    }

    /// For a replay, finds the recorded run of a scenario; if there is none, says why it cannot be run.
    fn find_recording(&mut self, scenario: &Scenario) -> Option<String> {
        let folder = self.options.replay.as_ref()?;
        let recorded = self
            .recorded
            .iter()
            .find(|result| result.scenario == scenario.name());
        match recorded {
            None => Some(format!("no run of it is recorded in {}", folder.display())),
            Some(result) if result.phases.is_empty() => Some(format!(
                "its recorded run was none: {}",
                result.reason.as_deref().unwrap_or("no phase")
            )),
            Some(result) => {
                self.options.tier = result.tier;
                self.settings.recording = Some(result.recording());
                None
            }
        }
    }
}

/// Where results go.
#[derive(Clone, Copy)]
struct Printer {
    output: Output,
    text: Text,
    live: bool,
}

impl Printer {
    fn heading(self, scenario: &Scenario, tier: &str) {
        if self.output == Output::Text {
            outln!(
                "{}",
                self.text
                    .heading(scenario.name(), &scenario.file.metadata.title, tier)
            );
        }
    }

    fn phase(self, phase: &PhaseResult, reproduce: &str) {
        if self.output == Output::Text {
            outln!("{}", self.text.phase(phase, reproduce));
        }
    }

    fn footing(self, result: &ScenarioResult) -> anyhow::Result<()> {
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

    /// Something beside the results; only for people.
    fn note(self, text: &str) {
        if self.output == Output::Text {
            outln!("{text}");
        }
    }

    /// Why the command does not end well; beside JSON it goes where errors go.
    #[expect(clippy::print_stderr, reason = "standard output is JSON only")]
    fn complain(self, text: &str) {
        match self.output {
            Output::Text => outln!("{text}"),
            Output::Json => eprintln!("error: {text}"),
        }
    }
}
