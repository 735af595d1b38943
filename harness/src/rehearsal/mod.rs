//! Diagnosis, scored: the local mesh is broken as a scenario says, and diagnosed from what a cluster would show of it.
//!
//! What is diagnosed ([`crate::diagnose::Case`]) has no place for a fault, an expectation, or our own instruments: objects
//! and running pods as an API server would show them, each proxy's own configuration dump, and the lines that Istio would have it log,
//! as installed with access logs turned on. What the scenario broke is held against the verdict afterwards.

mod judge;
mod shown;
mod table;

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::Timestamp;

use crate::call::{Call, CallKind, Connections, PodName};
use crate::diagnose::{
    Carried, Case, DiagnoseError, Diagnosis, Observed, Probed, ProxyConfig, ProxySeen, Shown, Subject,
    diagnose,
};
use crate::inspection::{Logged, Witnessed, beneath, is_open_beneath, narrowed, witnesses};
use crate::mesh::{Desired, Mesh, MeshError, ProxyLogs, Settings, Tier};
use crate::outcome::Outcome;
use crate::probe::classify;
use crate::probe::evidence::Caller;
use crate::scenario::{Options, PlannedPhase, RunError, Scenario, plan, runnable};
use crate::snapshot::Mixed;

pub use judge::{Judged, Scored};
pub use table::{Probes, Rehearsed, Table};

/// Whether a diagnosis has a call made by an agent to rest on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probing {
    /// As where none may be made.
    Never,
    /// The call itself, as its caller sees it, and its lines in the logs.
    Always,
}

/// Why a scenario could not be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// It could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What it showed could not be diagnosed.
    #[error(transparent)]
    Diagnose(#[from] DiagnoseError),
}

impl From<MeshError> for RehearsalError {
    fn from(error: MeshError) -> Self {
        Self::Run(error.into())
    }
}

/// One call of a scenario, broken and diagnosed.
#[derive(Debug)]
pub struct Diagnosed {
    /// The phase.
    pub phase: String,
    /// What became of the call, from all evidence.
    pub observed: Outcome,
    /// What was found.
    pub diagnosis: Diagnosis,
    /// What was different from when the scenario began.
    broken: judge::Broken,
    /// What an agent's call became by itself; absent where none was made.
    pub probed: Option<Outcome>,
    /// How long it took from the question to the verdict, seconds: asking the proxies, and thinking; without an agent's call.
    pub seconds: f64,
}

/// Breaks the local mesh as the scenario says, phase by phase, and diagnoses each call in each.
///
/// Calls over connections or sessions of earlier ones are passed over where they succeed: nobody would ask.
///
/// # Errors
/// When the scenario cannot be run to its end, or the built-in data of diagnosis cannot be read.
pub async fn rehearse(
    scenario: &Scenario,
    settings: &Settings,
    probing: Probing,
) -> Result<Rehearsed, RehearsalError> {
    let options = Options::on(Tier::Local);
    if let Err(reason) = runnable(scenario, options.tier) {
        return Ok(Rehearsed::not_run(scenario.name(), reason));
    }
    let mut mesh = options.tier.open(settings)?;
    let mut judged = Vec::new();
    let diagnosed = all(&mut *mesh, plan(scenario, &options)?, probing, |it| {
        judged.push(it.judge())
    })
    .await;
    mesh.down().await;
    diagnosed?;
    Ok(Rehearsed::of(scenario.name(), judged))
}

/// Breaks the local mesh as the scenario says, and diagnoses the first call that fails; the first of all where none does.
/// With `phase` only in that phase.
///
/// # Errors
/// As [`rehearse`].
pub async fn first_failure(
    scenario: &Scenario,
    phase: Option<&str>,
    settings: &Settings,
    probing: Probing,
) -> Result<Option<Diagnosed>, RehearsalError> {
    let options = Options::on(Tier::Local);
    let mut mesh = options.tier.open(settings)?;
    let mut found: Option<Diagnosed> = None;
    let mut healthy: Option<Diagnosed> = None;
    for planned in plan(scenario, &options)? {
        let name = planned.name.clone();
        let keep = |it: Diagnosed| {
            let kept = match it.observed.id.is_delivered() {
                true => &mut healthy,
                false => &mut found,
            };
            kept.get_or_insert(it);
        };
        let is_asked = phase.is_none_or(|it| it == name);
        let mut keep = keep;
        let run = all(&mut *mesh, vec![planned], probing, |it| {
            if is_asked {
                keep(it);
            }
        });
        if let Err(error) = run.await {
            mesh.down().await;
            return Err(error);
        }
        if found.is_some() {
            break;
        }
    }
    mesh.down().await;
    Ok(found.or(healthy))
}

async fn all(
    mesh: &mut dyn Mesh,
    phases: Vec<PlannedPhase>,
    probing: Probing,
    mut take: impl FnMut(Diagnosed),
) -> Result<(), RehearsalError> {
    let mut before: Option<Desired> = None;
    for planned in phases {
        let (desired, name) = (planned.desired, planned.name);
        mesh.apply(desired.clone()).await?;
        let start = before.get_or_insert_with(|| desired.clone());
        for planned in planned.calls {
            let call = planned.expected.call;
            let evidence = mesh.call(&call).await?;
            let observed = classify(&evidence);
            let logs = mesh.logs_of_call();
            let is_hidden = desired.connections != Connections::Fresh && observed.id.is_delivered();
            if is_hidden {
                continue;
            }
            let mut asked = Instant::now();
            let mut seen = seen(mesh, &desired, logs).await?;
            if probing == Probing::Always {
                // A call that times out takes as long as it waits.
                let waiting = Instant::now();
                seen.probe = probed(mesh, &desired, &call, &evidence.caller, &seen).await?;
                asked += waiting.elapsed();
            }
            let probed = seen.probe.seen().map(|it| it.outcome.clone());
            let diagnosis = diagnose(case(&desired, seen, &call))?;
            take(Diagnosed {
                phase: name.clone(),
                observed,
                diagnosis,
                probed,
                broken: judge::Broken::since(start, &desired),
                seconds: asked.elapsed().as_secs_f64(),
            });
        }
    }
    Ok(())
}

/// What the call becomes by what an agent beside the caller sees, and by what the proxies show in a cluster.
async fn probed(
    mesh: &mut dyn Mesh,
    desired: &Desired,
    call: &Call,
    caller: &Caller,
    seen: &Observed,
) -> Result<Shown<Probed>, MeshError> {
    if call.kind != CallKind::App {
        let why = "an agent makes the calls of applications only";
        return Ok(Shown::Missing(why.to_owned()));
    }
    let topology = &desired.topology;
    let witnessed = Witnessed {
        call,
        caller,
        logged: Logged::Alone,
        servers: &witnesses(topology, call),
        has_sidecar: topology.has_sidecar(&call.from),
        observed: seen,
    };
    let mut outcome = classify(&witnessed.evidence());
    if is_open_beneath(&outcome) {
        let beneath = mesh.call(&beneath(call)).await?;
        outcome = narrowed(outcome, &classify(&beneath));
    }
    Ok(Shown::Seen(Probed {
        call: call.clone(),
        agent: "an agent beside the caller".to_owned(),
        outcome,
        carried: Carried::OpenedMeanwhile,
    }))
}

/// What a cluster would show, and nothing else of what is known here.
fn case(desired: &Desired, observed: Observed, call: &Call) -> Case {
    Case {
        snapshot: shown::cluster(&desired.snapshot, &desired.topology),
        mixed: Mixed::default(),
        observed,
        now: Timestamp::now(),
        subject: Subject::Call(Box::new(call.clone())),
    }
}

async fn seen(mesh: &mut dyn Mesh, desired: &Desired, logs: Vec<ProxyLogs>) -> Result<Observed, MeshError> {
    let logs: BTreeMap<String, String> = logs.into_iter().map(|it| (it.pod, it.text.join("\n"))).collect();
    let mut proxies: BTreeMap<PodName, ProxySeen> = BTreeMap::new();
    for (pod, dump) in mesh.config_dumps().await? {
        let config = match ProxyConfig::read(&dump) {
            Ok(config) => Shown::Seen(Box::new(config)),
            Err(error) => Shown::Missing(error.to_string()),
        };
        let log = logs.get(&pod.to_string()).cloned().unwrap_or_default();
        let seen = ProxySeen {
            pod: pod.to_string(),
            config,
            log: Shown::Seen(log),
        };
        if desired.topology.has_sidecar(&pod.workload) {
            proxies.insert(pod, seen);
        }
    }
    Ok(Observed {
        proxies,
        istiod: Shown::Missing("this tier has no istiod".to_owned()),
        probe: Shown::Missing("no agent is beside the caller".to_owned()),
    })
}
