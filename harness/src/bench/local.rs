//! Measuring scenarios on the local tier against their floor.
//!
//! The floor of a scenario is the start and the end of its proxies alone, its keys and certificates (see [`floor`]), all
//! measured in the same round as the scenario itself, and its calls, from dialling to the caller's result. Calls are those of
//! the scenario itself: a proxy waits for a random time before it tries again, so that others would take other times.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::mesh::local::{LocalMesh, floor};
use crate::mesh::{Mesh, MeshError, Settings, Tier};
use crate::scenario::verdict::Verdict;
use crate::scenario::{Options, RunError, Scenario, plan, run, runnable};

use super::median;
use super::memory::{self, PeakMemory};

/// What a scenario takes on the local tier. Every figure is the median of the rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LocalBench {
    /// The scenario.
    pub scenario: String,
    /// How often it was measured.
    pub rounds: usize,
    /// From setting up the mesh until it is torn down, in milliseconds.
    pub millis: f64,
    /// Start and end of the proxies alone, certificates, and calls, in milliseconds.
    pub floor_millis: f64,
    /// `millis` by `floor_millis`.
    pub ratio: f64,
    /// The same over a floor of proxies that are told nothing.
    pub ratio_over_bare: f64,
    /// Its phases.
    pub phases: Vec<PhaseBench>,
    /// Setting up and tearing down, which belong to no phase, in milliseconds.
    pub around_millis: f64,
    /// The end of the proxies alone, in milliseconds.
    pub end_millis: f64,
    /// The greatest peak of any round; nothing where this system does not tell.
    pub peak_memory: Option<PeakMemory>,
}

/// What a phase takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseBench {
    /// Its name.
    pub name: String,
    /// The phase, in milliseconds.
    pub millis: f64,
    /// Proxies it starts.
    pub proxies: usize,
    /// The start of these proxies alone, until their configuration is in force, in milliseconds.
    pub start_millis: f64,
    /// The same when they are told nothing, in milliseconds.
    pub bare_start_millis: f64,
    /// Making the keys and certificates that are new in it, in milliseconds.
    pub certificates_millis: f64,
    /// Calls it makes.
    pub calls: usize,
    /// The same calls, from dialling to the caller's result, in milliseconds.
    pub calls_millis: f64,
}

/// Why a scenario could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// It could not be run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The tier cannot show it, or what it takes is what it says it takes.
    #[error("{scenario} is not measured: {reason}")]
    NotMeasured {
        /// The scenario.
        scenario: String,
        /// Why.
        reason: String,
    },
    /// It does not hold, so what it takes means nothing.
    #[error("{scenario} is {verdict}, so there is nothing to measure (run {reproduce})")]
    NotHeld {
        /// The scenario.
        scenario: String,
        /// Its verdict.
        verdict: Verdict,
        /// The command that shows why.
        reproduce: String,
    },
}

impl From<MeshError> for BenchError {
    fn from(error: MeshError) -> Self {
        Self::Run(error.into())
    }
}

/// One round: the scenario, and the floor under it.
struct Round {
    millis: f64,
    phases: Vec<PhaseBench>,
    end_millis: f64,
    peak_memory: Option<PeakMemory>,
}

/// What a scenario may take, in floors.
pub const RATIO_GOAL: f64 = 1.5;

/// Measures `scenario` in `rounds` rounds, at least one, telling `progress` of each as it ends. A round before the first
/// is not counted: it fills caches.
///
/// # Errors
/// See [`BenchError`].
pub async fn local(
    scenario: &Scenario,
    settings: &Settings,
    rounds: usize,
    mut progress: impl FnMut(usize),
) -> Result<LocalBench, BenchError> {
    measurable(scenario).map_err(|reason| BenchError::NotMeasured {
        scenario: scenario.name().to_owned(),
        reason,
    })?;
    round(scenario, settings).await?;
    let mut measured = Vec::new();
    for number in 0..rounds.max(1) {
        measured.push(round(scenario, settings).await?);
        progress(number + 1);
    }
    Ok(summary(scenario, &measured))
}

fn measurable(scenario: &Scenario) -> Result<(), String> {
    runnable(scenario, Tier::Local)?;
    let phases = plan(scenario, &Options::on(Tier::Local)).map_err(|error| error.to_string())?;
    match phases.iter().find(|phase| phase.load.is_some()) {
        Some(phase) => Err(format!("its phase {} lasts as long as it holds load", phase.name)),
        None => Ok(()),
    }
}

async fn round(scenario: &Scenario, settings: &Settings) -> Result<Round, BenchError> {
    let options = Options::on(Tier::Local);
    let started = Instant::now();
    let mut mesh = LocalMesh::new(settings.clone())?;
    let result = run(scenario, &mut mesh, &options, |_| {}).await;
    let peak_memory = memory::peak(&mesh.process_ids());
    let dialled = mesh.dialled().to_vec();
    mesh.down().await;
    drop(mesh);
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    let result = result?;
    if result.verdict != Verdict::Held {
        return Err(BenchError::NotHeld {
            scenario: result.scenario,
            verdict: result.verdict,
            reproduce: result.reproduce,
        });
    }
    let states = plan(scenario, &options)?
        .into_iter()
        .map(|phase| phase.desired)
        .collect();
    let floor = floor(states, settings).await?;
    let end_millis = floor.end.as_secs_f64() * 1000.0;
    let mut dialled = dialled.into_iter();
    let phases = result
        .phases
        .into_iter()
        .zip(floor.phases)
        .map(|(phase, floor)| {
            let calls: Duration = dialled.by_ref().take(phase.calls.len()).sum();
            PhaseBench {
                name: phase.name,
                millis: phase.millis,
                proxies: floor.proxies,
                start_millis: floor.start.as_secs_f64() * 1000.0,
                bare_start_millis: floor.bare_start.as_secs_f64() * 1000.0,
                certificates_millis: floor.certificates.as_secs_f64() * 1000.0,
                calls: phase.calls.len(),
                calls_millis: calls.as_secs_f64() * 1000.0,
            }
        })
        .collect();
    Ok(Round {
        millis,
        phases,
        end_millis,
        peak_memory,
    })
}

fn summary(scenario: &Scenario, rounds: &[Round]) -> LocalBench {
    let phase_figure = |index: usize, figure: fn(&PhaseBench) -> f64| {
        median(
            rounds
                .iter()
                .filter_map(|round| round.phases.get(index))
                .map(figure),
        )
    };
    let names = rounds.first().map(|round| round.phases.as_slice());
    let phases = names
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, phase)| PhaseBench {
            millis: phase_figure(index, |phase| phase.millis),
            start_millis: phase_figure(index, |phase| phase.start_millis),
            bare_start_millis: phase_figure(index, |phase| phase.bare_start_millis),
            certificates_millis: phase_figure(index, |phase| phase.certificates_millis),
            calls_millis: phase_figure(index, |phase| phase.calls_millis),
            ..phase.clone()
        })
        .collect();
    let millis = median(rounds.iter().map(|round| round.millis));
    let floor_millis = median(rounds.iter().map(|round| round.over(|phase| phase.start_millis)));
    let bare_millis = median(
        rounds
            .iter()
            .map(|round| round.over(|phase| phase.bare_start_millis)),
    );
    LocalBench {
        scenario: scenario.name().to_owned(),
        rounds: rounds.len(),
        millis,
        floor_millis,
        ratio: millis / floor_millis,
        ratio_over_bare: millis / bare_millis,
        phases,
        around_millis: median(rounds.iter().map(Round::around_millis)),
        end_millis: median(rounds.iter().map(|round| round.end_millis)),
        peak_memory: rounds
            .iter()
            .filter_map(|round| round.peak_memory)
            .reduce(PeakMemory::greater),
    }
}

impl Round {
    /// The floor of which `start` is the starts.
    fn over(&self, start: fn(&PhaseBench) -> f64) -> f64 {
        let under = |phase| start(phase) + phase.certificates_millis + phase.calls_millis;
        let under_phases: f64 = self.phases.iter().map(under).sum();
        under_phases + self.end_millis
    }

    fn around_millis(&self) -> f64 {
        let phases: f64 = self.phases.iter().map(|phase| phase.millis).sum();
        self.millis - phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_no_phase_is_around_them() {
        let phase = PhaseBench {
            name: "control".to_owned(),
            millis: 90.0,
            proxies: 2,
            start_millis: 50.0,
            bare_start_millis: 40.0,
            certificates_millis: 5.0,
            calls: 3,
            calls_millis: 10.0,
        };
        let round = Round {
            millis: 120.0,
            phases: vec![phase],
            end_millis: 20.0,
            peak_memory: None,
        };
        assert_eq!(
            (round.over(|phase| phase.start_millis), round.around_millis()),
            (85.0, 30.0)
        );
    }
}
