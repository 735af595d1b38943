//! The catalogue as tests, and the proofs that these tests can fail: one trial per scenario, one that leaves
//! its causes out, and some with a wrong expectation.
//!
//! What a tier cannot run is decided when trials are listed, and shown as ignored with its reason: a runner that
//! skips at run time counts it as passed.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use meshproof::envoy::binary::{Overrides, TerminalProgress};
use meshproof::logs::Patterns;
use meshproof::mesh::{Settings, Tier, sweep};
use meshproof::network_namespace::become_root_of_own;
use meshproof::outcome::{OutcomeId, Side};
use meshproof::recognition::recognise;
use meshproof::report::Text;
use meshproof::scenario::verdict::{CallResult, Cause, LoadResult, PhaseResult, ScenarioResult, Verdict};
use meshproof::scenario::{
    Catalogue, Causes, Expectation, Options, Phase, Scenario, execute, runnable, workspace_root,
};
use meshproof::symptom::Symptoms;
use meshproof::visibility::{AccessLogs, Visibility};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The tier on which all scenarios are run, and all are run with their causes left out.
const TIER: Tier = Tier::Local;

/// The tier on which all must hold that hold on [`TIER`]. Causes are left out of what that one cannot run.
const OTHER_TIER: Tier = Tier::Netns;

/// Names the tier that is meant instead, for all scenarios (`cargo xtask suite --on TIER`).
const TIER_ASKED_FOR: &str = "MESHPROOF_TIER";

/// The scenario whose expectations are made wrong.
const BASELINE: &str = "baseline-strict";

/// How long a scenario may take. Measured: about a second each; the limit is for a stalled machine, and for the
/// download of its proxies.
const LIMIT: Duration = Duration::from_secs(300);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::from_args();
    let catalogue = Catalogue::load(&workspace_root(Path::new(env!("CARGO_MANIFEST_DIR")))?)?;
    let asked_for = std::env::var(TIER_ASKED_FOR).ok();
    let asked_for: Option<Tier> = asked_for.map(|name| name.parse()).transpose()?;
    if asked_for == Some(Tier::Netns) {
        // Before there is a second thread. Where it is not allowed, the tier is measured and says so.
        let _ = become_root_of_own();
    }
    let runner = Arc::new(Runner::new()?);
    let mut trials = vec![loads(&catalogue)];
    let tier = asked_for.unwrap_or(TIER);
    let measured = runner.measure(tier);
    for scenario in &catalogue.scenarios {
        trials.extend(of_scenario(scenario, tier, &measured, &runner));
    }
    let of_slip = |slip| wrong_expectation(&catalogue, slip, tier, &measured, &runner);
    trials.extend(SLIPS.iter().map(of_slip));
    if asked_for.is_none() {
        let measured = runner.measure(OTHER_TIER);
        for scenario in &catalogue.scenarios {
            let [holds, notices] = of_scenario(scenario, OTHER_TIER, &measured, &runner);
            trials.push(holds);
            if runnable(scenario, TIER).is_err() {
                trials.push(notices);
            }
        }
        trials.push(expects_the_same_on_all_tiers(&catalogue));
    }
    if !arguments.list {
        let _ = sweep();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    Ok(if *runner.interrupted.borrow() {
        ExitCode::from(130)
    } else {
        conclusion.exit_code()
    })
}

/// A file with mistakes is no scenario, so no other trial would miss it.
fn loads(catalogue: &Catalogue) -> Trial {
    let mistakes: Vec<String> = catalogue.mistakes.iter().map(ToString::to_string).collect();
    Trial::test("catalogue", move || {
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(mistakes.join("\n\n").into())
        }
    })
}

/// A scenario that holds on two tiers has given the same outcomes on both, unless it expects one thing here and another
/// there.
fn expects_the_same_on_all_tiers(catalogue: &Catalogue) -> Trial {
    let of_scenario = |scenario: &Scenario| {
        let expectations = scenario.file.spec.phases.iter().flat_map(|phase| &phase.expect);
        let mut conditions = expectations.filter_map(|expectation| expectation.when.as_ref());
        let is_conditional = conditions.any(|when| when.tier.is_some());
        is_conditional.then(|| scenario.name().to_owned())
    };
    let depend: Vec<String> = catalogue.scenarios.iter().filter_map(of_scenario).collect();
    Trial::test("same-on-all-tiers", move || {
        if depend.is_empty() {
            Ok(())
        } else {
            Err(format!("the tier decides what is expected of {}", depend.join(", ")).into())
        }
    })
}

fn of_scenario(
    scenario: &Scenario,
    tier: Tier,
    measured: &Result<(), String>,
    runner: &Arc<Runner>,
) -> [Trial; 2] {
    let name = format!("{}::{tier}", scenario.name());
    let possible = runnable(scenario, tier).and(measured.clone());
    let breaks = if scenario.expects_refusals() {
        Ok(())
    } else {
        Err("nothing to leave out, no refusal is expected".to_owned())
    };
    [
        trial(
            &name,
            possible.clone(),
            scenario,
            runner,
            move |scenario, runner| {
                let result = runner.run(scenario, &Options::on(tier))?;
                holds(&result)
                    .and_then(|()| looks_as_described(&result))
                    .and_then(|()| is_told_by_logs(&result))
                    .map_err(|complaint| explained(&complaint, scenario, &result))
            },
        ),
        trial(
            &format!("{name}::without-faults"),
            possible.and(breaks),
            scenario,
            runner,
            move |scenario, runner| {
                let options = Options {
                    causes: Causes::LeftOut,
                    ..Options::on(tier)
                };
                let result = runner.run(scenario, &options)?;
                notices_missing_causes(scenario, &result)
                    .map_err(|complaint| explained(&complaint, scenario, &result))
            },
        ),
    ]
}

/// A way to make an expectation wrong.
struct Slip {
    name: &'static str,
    /// The first expectation that this is true of is made wrong.
    of: fn(&Expectation) -> bool,
    make: fn(&mut Expectation),
}

const SLIPS: [Slip; 3] = [
    Slip {
        name: "delivered-otherwise",
        of: |it| it.outcome == OutcomeId::Mtls,
        make: |it| it.outcome = OutcomeId::Plaintext,
    },
    Slip {
        name: "refused-otherwise",
        of: |it| it.outcome == OutcomeId::NoClientCertificate,
        make: |it| it.outcome = OutcomeId::PlaintextToStrict,
    },
    Slip {
        name: "refused-by-the-other",
        of: |it| it.side == Some(Side::Server),
        make: |it| it.side = Some(Side::Client),
    },
];

/// The baseline with one wrong expectation.
fn wrong_expectation(
    catalogue: &Catalogue,
    slip: &Slip,
    tier: Tier,
    measured: &Result<(), String>,
    runner: &Arc<Runner>,
) -> Trial {
    let name = format!("{BASELINE}::{tier}::wrong-expectation::{}", slip.name);
    let baseline = catalogue.get(BASELINE);
    let Some((scenario, location)) = baseline.and_then(|baseline| with_slip(baseline, slip)) else {
        let missing = format!("{BASELINE} is not in the catalogue, or has no expectation to make wrong");
        return Trial::test(name, move || Err(missing.into()));
    };
    let possible = runnable(&scenario, tier).and(measured.clone());
    trial(&name, possible, &scenario, runner, move |scenario, runner| {
        let result = runner.run(scenario, &Options::on(tier))?;
        notices_wrong_expectation(&result, &location)
            .map_err(|complaint| explained(&complaint, scenario, &result))
    })
}

/// The scenario with the slip, and the `file:line` of the wrong expectation.
fn with_slip(scenario: &Scenario, slip: &Slip) -> Option<(Scenario, String)> {
    let mut changed = scenario.clone();
    for (index, phase) in changed.file.spec.phases.iter_mut().enumerate() {
        if let Some(number) = phase.expect.iter().position(slip.of) {
            (slip.make)(&mut phase.expect[number]);
            let (line, _) = scenario
                .source
                .position(scenario.expectation_span(index, number).start);
            return Some((changed, format!("{}:{line}", scenario.source.name)));
        }
    }
    None
}

/// A trial, or where it is not possible one that is ignored, with the reason shown before its name. Whoever has it run
/// nevertheless sees it fail for that reason.
fn trial(
    name: &str,
    possible: Result<(), String>,
    scenario: &Scenario,
    runner: &Arc<Runner>,
    claim: impl FnOnce(&Scenario, &Runner) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let (scenario, runner) = (scenario.clone(), Arc::clone(runner));
    match possible {
        Ok(()) => Trial::test(name, move || claim(&scenario, &runner)),
        Err(reason) => {
            let shown = reason.clone();
            Trial::test(name, move || Err(reason.into()))
                .with_kind(shown)
                .with_ignored_flag(true)
        }
    }
}

fn holds(result: &ScenarioResult) -> Result<(), String> {
    match result.verdict {
        Verdict::Held => Ok(()),
        verdict => Err(format!("the scenario is {verdict}")),
    }
}

/// What people are told to look for, in docs/catalogue.md, must be there.
fn looks_as_described(result: &ScenarioResult) -> Result<(), String> {
    let symptoms = Symptoms::embedded().map_err(|error| error.to_string())?;
    let mut calls = result.phases.iter().flat_map(|phase| &phase.calls);
    let lacking = calls.find_map(|call| {
        let lacking = symptoms.lacking(call.observed.as_ref()?, &call.evidence)?;
        Some(format!("{}: {lacking}", call.id))
    });
    lacking.map_or(Ok(()), Err)
}

/// With the visibility manifests every refusal must be told of by what proxies log, and no log may tell of one that was
/// none. What Istio hides as installed is no fault.
fn is_told_by_logs(result: &ScenarioResult) -> Result<(), String> {
    let patterns = Patterns::embedded().map_err(|error| error.to_string())?;
    let table = recognise(patterns, std::slice::from_ref(result)).map_err(|error| error.to_string())?;
    if table.is_right() {
        return Ok(());
    }
    Err(format!(
        "logs tell something else than was observed:\n{}",
        table.text()
    ))
}

/// Without causes, a phase that loses what it does must be contradicted in one of its refusals or losses, the scenario in
/// at least one, and policy resolution must still predict every call. Refusals that rest on the state a scenario starts
/// from lose nothing.
fn notices_missing_causes(scenario: &Scenario, result: &ScenarioResult) -> Result<(), String> {
    let phases = scenario.file.spec.phases.iter().zip(&result.phases);
    for (written, phase) in phases {
        if loses_its_causes(written, phase) && !notices(phase) {
            return Err(format!(
                "phase {} does not notice that its causes are left out",
                phase.name
            ));
        }
        if let Some(call) = phase.calls.iter().find(|call| !is_predicted(call)) {
            return Err(format!("without causes, {} is not as predicted", call.id));
        }
        let misjudged = |load: &&LoadResult| load.cause == Some(Cause::Prediction);
        if let Some(load) = phase.loads.iter().find(misjudged) {
            return Err(format!("without causes, {} is not as predicted", load.id));
        }
    }
    if result.phases.iter().any(notices) {
        return Ok(());
    }
    Err("nothing notices that the causes are left out".to_owned())
}

/// Whether a refusal or a loss that the phase expects did not come.
fn notices(phase: &PhaseResult) -> bool {
    let missing_loss =
        |load: &LoadResult| load.expected.least() > 0 && load.cause == Some(Cause::Expectation);
    phase
        .calls
        .iter()
        .any(|call| is_refusal(call) && is_contradicted(call))
        || phase.loads.iter().any(missing_loss)
}

/// Whether [`Causes::LeftOut`] left out anything of a phase that expects a refusal or a lost request of the releases it
/// ran with.
fn loses_its_causes(written: &Phase, phase: &PhaseResult) -> bool {
    let done = [
        written.delete.len(),
        written.manifests.len(),
        written.apply.len(),
        written.inject.len(),
        written.rotate.iter().flatten().count(),
    ];
    let refused = phase.calls.iter().any(is_refusal);
    let lost = phase.loads.iter().any(|load| load.expected.least() > 0);
    (refused || lost) && done.iter().any(|done| *done > 0)
}

fn notices_wrong_expectation(result: &ScenarioResult, location: &str) -> Result<(), String> {
    let mut calls = result.phases.iter().flat_map(|phase| &phase.calls);
    if result.verdict != Verdict::Falsified || !calls.clone().any(|call| call.location == location) {
        return Err(format!("the wrong expectation at {location} goes unnoticed"));
    }
    let misjudged = calls.find(|call| is_contradicted(call) != (call.location == location));
    misjudged.map_or(Ok(()), |call| Err(format!("{} is misjudged", call.id)))
}

fn is_refusal(call: &CallResult) -> bool {
    !call.expected.outcome.is_delivered()
}

fn is_contradicted(call: &CallResult) -> bool {
    call.verdict == Verdict::Falsified && call.cause == Some(Cause::Expectation)
}

fn is_predicted(call: &CallResult) -> bool {
    let agrees = |observed| call.predicted.agrees_with(observed);
    call.predicted.id == OutcomeId::Unknown || call.observed.as_ref().is_some_and(agrees)
}

/// What is shown of a trial that failed: why, and the report that people get.
fn explained(complaint: &str, scenario: &Scenario, result: &ScenarioResult) -> Failed {
    let text = Text { colour: false };
    let title = &scenario.file.metadata.title;
    let mut lines = vec![
        complaint.to_owned(),
        text.heading(scenario.name(), title, result.tier.as_str()),
    ];
    lines.extend(
        result
            .phases
            .iter()
            .map(|phase| text.phase(phase, &result.reproduce)),
    );
    lines.push(text.footing(result));
    lines.join("\n").into()
}

/// Runs scenarios for all trials, on one runtime.
struct Runner {
    runtime: Runtime,
    settings: Settings,
    /// Set by SIGINT and SIGTERM: what runs is then dropped, which ends its proxies and removes its directory.
    interrupted: watch::Receiver<bool>,
}

impl Runner {
    fn new() -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (interrupt, interrupted) = watch::channel(false);
        let stop_downloads = Arc::new(AtomicBool::new(false));
        let progress = TerminalProgress::new().interrupted_by(Arc::clone(&stop_downloads));
        let context = runtime.enter();
        let (mut from_terminal, mut from_others) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(context);
        runtime.spawn(async move {
            tokio::select! {
                _ = from_terminal.recv() => {}
                _ = from_others.recv() => {}
            }
            stop_downloads.store(true, Ordering::Relaxed);
            interrupt.send_replace(true);
        });
        let settings = Settings {
            overrides: Overrides::from_flags(&[])?,
            access_logs: AccessLogs::OursAndIstio(Visibility::embedded()?),
            progress: Arc::new(progress),
            ..Settings::default()
        };
        Ok(Self {
            runtime,
            settings,
            interrupted,
        })
    }

    /// Whether this machine can run the tier; if not, why.
    fn measure(&self, tier: Tier) -> Result<(), String> {
        let measured = self.runtime.block_on(tier.measure());
        measured.map_err(|missing| missing.to_string())
    }

    fn run(&self, scenario: &Scenario, options: &Options) -> Result<ScenarioResult, Failed> {
        let mut interrupted = self.interrupted.clone();
        self.runtime.block_on(async {
            let running = tokio::time::timeout(LIMIT, execute(scenario, options, &self.settings, |_| {}));
            tokio::select! {
                _ = interrupted.wait_for(|interrupted| *interrupted) => Err("interrupted".into()),
                ended = running => Ok(ended.map_err(|_| format!("did not end within {LIMIT:?}"))??),
            }
        })
    }
}
