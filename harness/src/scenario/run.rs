//! Running a scenario: phase by phase, each call predicted, made, classified, and judged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use semver::Version;

use super::plan::{PlannedCall, PlannedPhase, plan};
use super::under_load;
use super::verdict::{
    CallResult, LoadResult, PhaseResult, ReleaseOverrides, ScenarioResult, UndecidedClaim, Verdict, judge,
    worst,
};
use super::{Causes, ExpandError, ExpectedCall, Scenario, StateError};
use crate::envoy::binary::Provenance;
use crate::mesh::{Component, Mesh, MeshError, Settings, Tier};
use crate::outcome::OutcomeId;
use crate::probe::{Evidence, classify};
use crate::snapshot::{Object, Snapshot};

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where; of a replay, where the run it repeats was made.
    pub tier: Tier,
    /// The folder with the results of an earlier run that answers in place of a mesh.
    pub replay: Option<PathBuf>,
    /// Whether what it breaks is broken.
    pub causes: Causes,
    /// Make only the call with this id; phases before it are passed through.
    pub only: Option<String>,
    /// The releases in place of those that the scenario names.
    pub releases: ReleaseOverrides,
}

impl Options {
    /// As written, on `tier`.
    #[must_use]
    pub const fn on(tier: Tier) -> Self {
        Self {
            tier,
            replay: None,
            causes: Causes::Present,
            only: None,
            releases: ReleaseOverrides::NONE,
        }
    }
}

/// Why a scenario could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The mesh failed.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// A phase could not be entered. A loaded scenario has no such phase.
    #[error(transparent)]
    State(#[from] StateError),
    /// An expectation could not be expanded. A loaded scenario has none such.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// `--only` names a call that the scenario does not make.
    #[error("{scenario} makes no call with the id {id:?} ({hint})")]
    NoSuchCall {
        /// The scenario.
        scenario: String,
        /// The id.
        id: String,
        /// The id it may be, or where to find it.
        hint: String,
    },
}

/// The command that runs a scenario again the same way. What `options` does not know (proxies given by hand) is the
/// caller's to add.
#[must_use]
pub fn reproduce(scenario: &Scenario, options: &Options) -> String {
    let mut command = format!("{} scenario", crate::invocation::command());
    if scenario.is_of_catalogue() {
        command.push_str(&format!(" {}", scenario.name()));
    } else {
        command.push_str(&format!(" --file '{}'", scenario.path.display()));
    }
    match &options.replay {
        Some(folder) => command.push_str(&format!(" --on '{}={}'", Tier::Replay, folder.display())),
        None => command.push_str(&format!(" --on {}", options.tier)),
    }
    for (flag, release) in options.releases.named() {
        if let Some(release) = release {
            command.push_str(&format!(" --{flag} {release}"));
        }
    }
    if options.causes == Causes::LeftOut {
        command.push_str(" --without-faults");
    }
    command
}

/// Whether a tier can run a scenario; if not, why.
///
/// # Errors
/// What the tier lacks of what the scenario needs.
pub fn runnable(scenario: &Scenario, tier: Tier) -> Result<(), String> {
    let needs = scenario.file.spec.needs.iter();
    let lacking: Vec<&str> = needs
        .filter(|need| !tier.capabilities().contains(need))
        .map(|need| need.as_str())
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(format!("the tier {tier} has no {}", lacking.join(", no ")))
}

/// Why a tier that has what the scenario needs cannot show one of its phases.
fn beyond(scenario: &Scenario, options: &Options) -> Result<Option<String>, RunError> {
    let phases = plan(scenario, options)?.into_iter();
    let mut objections = phases.filter_map(|phase| {
        let objection = options.tier.objection(&phase.desired, phase.load.is_some())?;
        let (tier, name) = (options.tier, phase.name);
        Some(format!("the tier {tier} cannot show phase {name}: {objection}"))
    });
    Ok(objections.next())
}

/// Sets up a mesh of the tier, runs the scenario on it, and tears it down.
///
/// # Errors
/// As [`run`], and when the mesh cannot be set up. A scenario that the tier cannot run is no error but `not-run`.
pub async fn execute(
    scenario: &Scenario,
    options: &Options,
    settings: &Settings,
    progress: impl FnMut(&PhaseResult) + Send,
) -> Result<ScenarioResult, RunError> {
    if let Err(reason) = runnable(scenario, options.tier) {
        return Ok(not_run(scenario, options, reason));
    }
    if options.replay.is_none()
        && let Some(reason) = beyond(scenario, options)?
    {
        return Ok(not_run(scenario, options, reason));
    }
    let place = options.replay.as_ref().map_or(options.tier, |_| Tier::Replay);
    if let Err(missing) = place.measure().await {
        return Ok(not_run(scenario, options, missing.to_string()));
    }
    let mut mesh = place.open(settings)?;
    let result = run(scenario, &mut *mesh, options, progress).await;
    let kept = mesh.directory().filter(|_| settings.keep).map(Path::to_owned);
    mesh.down().await;
    Ok(ScenarioResult { kept, ..result? })
}

/// Runs a scenario on a mesh, telling `progress` of each phase as it ends. The mesh is left as the last phase left it.
///
/// # Errors
/// When the scenario could not be run to its end; a call that is not as expected is no error.
pub async fn run(
    scenario: &Scenario,
    mesh: &mut dyn Mesh,
    options: &Options,
    mut progress: impl FnMut(&PhaseResult) + Send,
) -> Result<ScenarioResult, RunError> {
    let started = Instant::now();
    let mut components = BTreeSet::new();
    let mut phases = Vec::new();
    for planned in plan(scenario, options)? {
        let phase = run_phase(mesh, planned).await?;
        components.extend(mesh.components());
        progress(&phase);
        phases.push(phase);
    }
    let components: Vec<Component> = components.into_iter().collect();
    Ok(ScenarioResult {
        scenario: scenario.name().to_owned(),
        tier: mesh.tier(),
        verdict: worst(
            phases
                .iter()
                .filter(|phase| !(phase.calls.is_empty() && phase.loads.is_empty()))
                .map(|phase| phase.verdict),
        ),
        reason: None,
        releases: options.releases.clone(),
        without_faults: options.causes == Causes::LeftOut,
        undecided_claims: undecided_claims(scenario, &components),
        components,
        phases,
        millis: millis(started),
        reproduce: reproduce(scenario, options),
        kept: None,
    })
}

/// Holds every expectation against its prediction. Nothing is run and nothing is observed.
///
/// # Errors
/// As [`plan`].
pub fn predict_only(scenario: &Scenario, options: &Options) -> Result<ScenarioResult, RunError> {
    let started = Instant::now();
    let phases: Vec<PhaseResult> = plan(scenario, options)?
        .into_iter()
        .map(predicted_phase)
        .collect();
    Ok(ScenarioResult {
        scenario: scenario.name().to_owned(),
        tier: options.tier,
        verdict: worst(phases.iter().map(|phase| phase.verdict)),
        reason: None,
        releases: options.releases.clone(),
        without_faults: options.causes == Causes::LeftOut,
        components: Vec::new(),
        undecided_claims: Vec::new(),
        phases,
        millis: millis(started),
        reproduce: format!("{} --predict-only", reproduce(scenario, options)),
        kept: None,
    })
}

/// A result that says why a scenario was not run.
#[must_use]
pub fn not_run(scenario: &Scenario, options: &Options, reason: String) -> ScenarioResult {
    ScenarioResult {
        scenario: scenario.name().to_owned(),
        tier: options.tier,
        verdict: Verdict::NotRun,
        reason: Some(reason),
        releases: options.releases.clone(),
        without_faults: options.causes == Causes::LeftOut,
        components: Vec::new(),
        undecided_claims: Vec::new(),
        phases: Vec::new(),
        millis: 0.0,
        reproduce: reproduce(scenario, options),
        kept: None,
    }
}

async fn run_phase(mesh: &mut dyn Mesh, planned: PlannedPhase) -> Result<PhaseResult, RunError> {
    let started = Instant::now();
    let topology = Arc::clone(&planned.desired.topology);
    let policies = policies(&planned.desired.snapshot);
    let loads = match planned.load {
        Some(load) => under_load::run(mesh, load, planned.desired).await?,
        None => {
            mesh.apply(planned.desired).await?;
            Vec::new()
        }
    };
    let mut calls = Vec::new();
    for call in planned.calls {
        let started = Instant::now();
        let evidence = mesh.call(&call.expected.call).await?;
        let observed = classify(&evidence);
        let (verdict, cause) = judge(&call.expected.expected, &call.predicted, &observed);
        let kept_evidence = match verdict {
            Verdict::Falsified => mesh.keep_evidence(&call.expected.call).await?,
            Verdict::Held | Verdict::NotRun => None,
        };
        calls.push(CallResult {
            kept_evidence,
            verdict,
            cause,
            observed: Some(observed),
            logs: mesh.logs_of_call(),
            millis: millis(started),
            ..unobserved(call, &topology.mesh.cluster_domain, evidence)
        });
    }
    Ok(PhaseResult {
        name: planned.name,
        verdict: verdict_on(&calls, &loads),
        faults: planned.faults,
        policies,
        loads,
        calls,
        millis: millis(started),
    })
}

fn verdict_on(calls: &[CallResult], loads: &[LoadResult]) -> Verdict {
    let of_loads = loads.iter().map(|load| load.verdict);
    worst(calls.iter().map(|call| call.verdict).chain(of_loads))
}

fn predicted_phase(planned: PlannedPhase) -> PhaseResult {
    let domain = planned.desired.topology.mesh.cluster_domain.clone();
    let policies = policies(&planned.desired.snapshot);
    let loads = planned.load.map(|load| under_load::predict_only(load, &domain));
    let loads = loads.unwrap_or_default();
    let calls: Vec<CallResult> = planned
        .calls
        .into_iter()
        .map(|call| {
            let verdict = match &call.predicted {
                predicted if predicted.id == OutcomeId::Unknown => Verdict::NotRun,
                predicted => judge(&call.expected.expected, predicted, predicted).0,
            };
            CallResult {
                verdict,
                ..unobserved(call, &domain, Evidence::default())
            }
        })
        .collect();
    PhaseResult {
        name: planned.name,
        verdict: verdict_on(&calls, &loads),
        faults: planned.faults,
        policies,
        loads,
        calls,
        millis: 0.0,
    }
}

/// The objects that decide about mTLS, by their references.
fn policies(snapshot: &Snapshot) -> Vec<String> {
    let decides = |object: &Object| {
        matches!(
            object,
            Object::PeerAuthentication(_) | Object::DestinationRule(_) | Object::VirtualService(_)
        )
    };
    let objects = snapshot.objects().filter(|(_, stored)| decides(&stored.object));
    objects.map(|(name, _)| name.to_string()).collect()
}

fn unobserved(planned: PlannedCall, cluster_domain: &str, evidence: Evidence) -> CallResult {
    let ExpectedCall {
        id, call, expected, ..
    } = planned.expected;
    CallResult {
        id,
        from: call.from.to_string(),
        to: call.to.authority(cluster_domain),
        call: call.kind,
        expected,
        predicted: planned.predicted,
        observed: None,
        verdict: Verdict::NotRun,
        cause: None,
        millis: 0.0,
        location: planned.location,
        evidence,
        logs: Vec::new(),
        kept_evidence: None,
    }
}

/// Claims about releases are not decided by a binary that stands in for one.
fn undecided_claims(scenario: &Scenario, components: &[Component]) -> Vec<UndecidedClaim> {
    let mut stand_ins: BTreeMap<&Version, BTreeSet<String>> = BTreeMap::new();
    for component in components {
        if component.provenance == Provenance::StandIn {
            let releases = stand_ins.entry(&component.envoy).or_default();
            releases.insert(component.istio.to_string());
        }
    }
    if stand_ins.is_empty() {
        return Vec::new();
    }
    let stand_ins = stand_ins.into_iter().map(|(envoy, releases)| {
        let releases: Vec<String> = releases.into_iter().collect();
        format!("Envoy {envoy} stands in for Istio {}", releases.join(" and "))
    });
    let reason = stand_ins.collect::<Vec<_>>().join(", ");
    let claims = scenario.file.metadata.claims.iter();
    claims
        .map(|claim| UndecidedClaim {
            claim: claim.clone(),
            reason: reason.clone(),
        })
        .collect()
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
