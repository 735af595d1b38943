//! Running scenarios and printing what came of it.

use std::path::Path;
use std::time::Duration;

use meshproof::envoy::binary::Overrides;
use meshproof::mesh::kubernetes::KubernetesMesh;
use meshproof::mesh::{ProxyImages, Settings, Tier};
use meshproof::network_namespace::become_root_of_own;
use meshproof::report::board::Board;
use meshproof::report::{self, Text};
use meshproof::scenario::verdict::{ReleaseOverrides, ScenarioResult, Verdict};
use meshproof::scenario::{Causes, Options, Scenario, plan, predict_only};

use super::printer::Printer;
use super::runner::{Runner, limit};
use crate::colour::is_coloured;
use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::output::{board_text, outln};
use crate::provenance::provenance;

pub(super) fn run(command: &super::Scenario, root: &Path, scenarios: &[Scenario]) -> anyhow::Result<Exit> {
    if command.on.tier == Tier::Netns {
        // Before there is a second thread. Where it is not allowed, the tier is measured and says so.
        let _ = become_root_of_own();
    }
    let (overrides, images) = proxies(command)?;
    let options = Options {
        tier: command.on.tier,
        replay: command.on.replay.clone(),
        causes: if command.without_faults {
            Causes::LeftOut
        } else {
            Causes::Present
        },
        only: command.only.clone(),
        releases: ReleaseOverrides {
            istio: command.istio.clone(),
            client: command.client.clone(),
            server: command.server.clone(),
        },
    };
    let recorded = match &options.replay {
        Some(folder) => {
            report::read(folder)
                .map_err(|error| BadInput(error.to_string()))?
                .results
        }
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
        silent: false,
    };
    if command.in_cluster.dry_run {
        return dry_run(command, scenarios, &options);
    }
    let results = if command.predict_only {
        predictions(scenarios, &options, printer)?
    } else {
        let runner = Runner {
            settings: Settings {
                overrides,
                images,
                keep: command.keep,
                ..Settings::default()
            },
            recorded,
            printer,
            limit: command
                .timeout
                .map_or_else(|| limit(options.tier), Duration::from_secs),
            in_cluster: Some(command.in_cluster.clone()),
            options,
            witnesses: command.witness.clone(),
        };
        match runner.run(scenarios, command.repeat)? {
            Some(results) => results,
            None => return Ok(Exit::Interrupted),
        }
    };
    let run = report::Run {
        results,
        provenance: None,
    };
    finish(command, root, scenarios, run, printer)
}

/// The proxies that were given. A binary is of no use where sidecars run in containers, and an image is elsewhere.
fn proxies(command: &super::Scenario) -> anyhow::Result<(Overrides, ProxyImages)> {
    let overrides = Overrides::from_flags(&command.proxy)?;
    let images = ProxyImages::from_flags(&command.proxy_image)?;
    match command.on.tier {
        Tier::Docker if !command.proxy.is_empty() => Err(BadInput(
            "--proxy names binaries, and sidecars run in containers on the docker tier: name images with --proxy-image".into(),
        )
        .into()),
        Tier::Docker => Ok((overrides, images)),
        tier if !images.is_empty() => Err(BadInput(format!(
            "--proxy-image names images, and no sidecar runs in a container on the {tier} tier: add --on docker, or name \
             binaries with --proxy"
        ))
        .into()),
        _ => Ok((overrides, images)),
    }
}

/// Prints what would be created, phase by phase.
fn dry_run(command: &super::Scenario, scenarios: &[Scenario], options: &Options) -> anyhow::Result<Exit> {
    let interruptible = Interruptible::new()?;
    let tier = options.tier;
    let Some(place) = interruptible.run(command.in_cluster.place(tier))? else {
        return Ok(Exit::Interrupted);
    };
    let settings = Settings {
        place: place?,
        ..Settings::default()
    };
    if settings.place.is_none() {
        return Err(BadInput(format!(
            "the tier {tier} creates nothing; --dry-run is of kind and cluster"
        ))
        .into());
    }
    for scenario in scenarios {
        let phases = plan(scenario, options)?;
        let mut objections = phases
            .iter()
            .filter_map(|it| tier.objection(&it.desired, it.load.is_some()));
        if let Some(objection) = objections.next() {
            outln!("# {} is not run: {objection}", scenario.name());
            continue;
        }
        let mut mesh = KubernetesMesh::new(tier, &settings)?;
        for phase in phases {
            outln!("# {} in phase {}", scenario.name(), phase.name);
            for object in mesh.would_create(&phase.desired)? {
                outln!("---\n{}", object.trim_end());
            }
        }
    }
    Ok(Exit::Held)
}

/// Prints the summary, writes the report, and says how the command ends.
fn finish(
    command: &super::Scenario,
    root: &Path,
    scenarios: &[Scenario],
    mut run: report::Run,
    printer: Printer,
) -> anyhow::Result<Exit> {
    if run.results.len() > 1 {
        printer.note(&format!("\n{}", board_text(&Board::of([&run]))));
    }
    if let Some(folder) = &command.report {
        run.provenance = Some(provenance(root)?);
        let path = report::write(folder, &run)?;
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
    let results = &run.results;
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
