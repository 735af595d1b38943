//! Running scenarios side by side, each on a mesh of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use meshproof::envoy::binary::TerminalProgress;
use meshproof::kernel::Tracer;
use meshproof::mesh::{MeshError, Settings, Tier, sweep};
use meshproof::report::Text;
use meshproof::scenario::verdict::{PhaseResult, ScenarioResult};
use meshproof::scenario::{Options, Scenario, execute, not_run, reproduce};
use meshproof::wire;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Output;
use super::Witness;
use super::place::InCluster;
use super::printer::Printer;
use super::progress::Progress;
use crate::colour::is_coloured;
use crate::interrupt::Interruptible;

/// Runs scenarios as written on a tier, without printing anything. `None` when interrupted.
pub(crate) fn silently(
    scenarios: &[Scenario],
    tier: Tier,
    settings: Settings,
    limit: Duration,
    witnesses: &[Witness],
) -> anyhow::Result<Option<Vec<ScenarioResult>>> {
    let runner = Runner {
        options: Options::on(tier),
        settings,
        recorded: Vec::new(),
        printer: Printer {
            output: Output::Text,
            text: Text { colour: false },
            live: false,
            silent: true,
        },
        limit,
        witnesses: witnesses.to_vec(),
        in_cluster: None,
    };
    runner.run(scenarios, 1)
}

/// Runs scenarios side by side and prints what came of each. `None` when interrupted.
pub(crate) fn printing(
    scenarios: &[Scenario],
    options: Options,
) -> anyhow::Result<Option<Vec<ScenarioResult>>> {
    let runner = Runner {
        limit: limit(options.tier),
        options,
        settings: Settings::default(),
        recorded: Vec::new(),
        printer: Printer {
            output: Output::Text,
            text: Text {
                colour: is_coloured(&std::io::stdout()),
            },
            live: false,
            silent: false,
        },
        witnesses: Vec::new(),
        in_cluster: Some(InCluster::own()),
    };
    runner.run(scenarios, 1)
}

/// How long a scenario may take by itself, where nobody says.
pub(super) const fn limit(tier: Tier) -> Duration {
    match tier {
        Tier::Kind | Tier::Cluster => Duration::from_secs(1200),
        Tier::Local | Tier::Netns | Tier::Docker | Tier::Replay => Duration::from_secs(120),
    }
}

/// Runs scenarios and prints their results.
#[derive(Clone)]
pub(super) struct Runner {
    pub(super) options: Options,
    pub(super) settings: Settings,
    /// The results of an earlier run, where scenarios are replayed.
    pub(super) recorded: Vec<ScenarioResult>,
    pub(super) printer: Printer,
    /// How long a scenario may take.
    pub(super) limit: Duration,
    /// What else sees their calls.
    pub(super) witnesses: Vec<Witness>,
    /// Where the tiers of clusters run.
    pub(super) in_cluster: Option<InCluster>,
}

impl Runner {
    /// Runs every scenario `repeat` times. `None` when interrupted.
    pub(super) fn run(
        mut self,
        scenarios: &[Scenario],
        repeat: u32,
    ) -> anyhow::Result<Option<Vec<ScenarioResult>>> {
        let interruptible = Interruptible::new()?;
        let progress = TerminalProgress::new().interrupted_by(Arc::clone(&interruptible.flag));
        self.settings.progress = Arc::new(progress);
        let swept = sweep();
        if !swept.is_empty() {
            tracing::info!(directories = swept.len(), "removed what killed runs left behind");
        }
        if let Some(in_cluster) = &self.in_cluster {
            match interruptible.run(in_cluster.place(self.options.tier))? {
                None => return Ok(None),
                Some(place) => self.settings.place = place?,
            }
        }
        let work = async {
            if self.witnesses.contains(&Witness::Kernel) {
                self.settings.kernel = Some(Arc::new(Tracer::start().await?));
            }
            self.settings.wire = self.witnesses.contains(&Witness::Wire);
            if self.settings.wire && self.options.tier == Tier::Local {
                wire::measure().await.map_err(MeshError::from)?;
            }
            self.run_all(scenarios, repeat).await
        };
        let ended = interruptible.run(work)?.transpose();
        let Some(place) = self.settings.place.as_ref().filter(|_| !self.settings.keep) else {
            return ended;
        };
        // Runs that came to their end have removed what they made; what was interrupted, or failed to, has not.
        match (interruptible.run(place.clear())?, ended) {
            (Some(Err(left)), Err(error)) => Err(error.context(left.to_string())),
            (Some(Err(left)), Ok(_)) => Err(left.into()),
            (Some(Ok(_)) | None, ended) => ended,
        }
    }

    /// Runs all scenarios and prints them in their order: as many at a time as there are processors, but one where the
    /// tier takes no more, and where the kernel could not tell whose calls it sees.
    async fn run_all(&self, scenarios: &[Scenario], repeat: u32) -> anyhow::Result<Vec<ScenarioResult>> {
        let is_alone = self.options.tier.is_one_at_a_time() || self.witnesses.contains(&Witness::Kernel);
        let at_a_time = match is_alone {
            true => 1,
            false => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        };
        let permits = Arc::new(Semaphore::new(at_a_time));
        let mut running = JoinSet::new();
        let rounds = (0..repeat).flat_map(|_| scenarios.iter().cloned());
        let progress = Progress::of(scenarios.len() * usize::try_from(repeat).unwrap_or(1));
        for (number, scenario) in rounds.enumerate() {
            let (runner, permits, progress) = (self.clone(), Arc::clone(&permits), progress.clone());
            running.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let result = runner.run_one(&scenario, &progress).await;
                progress.ended();
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
                    progress.aside(|| self.printer.whole(&scenario, &result))?;
                }
                results.push(result);
            }
        }
        Ok(results)
    }

    async fn run_one(mut self, scenario: &Scenario, line: &Progress) -> anyhow::Result<ScenarioResult> {
        let printer = self.printer;
        if printer.live {
            let place = self
                .options
                .replay
                .as_ref()
                .map_or(self.options.tier, |_| Tier::Replay);
            line.aside(|| printer.heading(scenario, place.as_str()));
        }
        let mut reproduce = reproduce(scenario, &self.options);
        for (release, binary) in self.settings.overrides.iter() {
            reproduce.push_str(&format!(" --proxy '{release}={}'", binary.display()));
        }
        for image in self.settings.images.flags() {
            reproduce.push_str(&format!(" --proxy-image '{image}'"));
        }
        let mut result = match self.find_recording(scenario) {
            Some(reason) => not_run(scenario, &self.options, reason),
            None => {
                let mut ended = 0;
                line.begins(scenario, ended);
                let progress = |phase: &PhaseResult| {
                    if printer.live {
                        line.aside(|| printer.phase(phase, &reproduce));
                    }
                    ended += 1;
                    line.begins(scenario, ended);
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
            line.aside(|| printer.footing(&result))?;
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
