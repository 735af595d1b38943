//! The risky calls of an audit, made on real proxies: of each, the least mesh that contains it, at the current and at the
//! target release, on the local tier.

mod incident;
mod least;
mod reproduction;

#[cfg(test)]
mod tests;

use std::path::Path;

use semver::Version;

use crate::audit::{Replayed, Report, RiskyCall};
use crate::call::{Call, Connections};
use crate::mesh::{Mesh, MeshError, Settings, Tier};
use crate::outcome::{Outcome, OutcomeId};
use crate::probe::classify;
use crate::scenario::{ReproductionError, State};
use crate::snapshot::Snapshot;
pub use incident::{IncidentError, incident};
use reproduction::reproduction;

/// Between which releases a call is looked at; they may be one.
struct Between<'a> {
    current: &'a Version,
    target: &'a Version,
}

/// Why calls could not be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The mesh failed.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// A scenario could not be written down.
    #[error(transparent)]
    Reproduction(#[from] ReproductionError),
}

/// Makes the report's risky calls, at most `most` of them, and adds what became of them; those that could not be
/// predicted are left out. Scenarios that make them again go into `folder`. `snapshot` is the one that was audited.
///
/// # Errors
/// See [`ReplayError`]. A call that does not end as predicted is no error.
pub async fn replay(
    report: &mut Report,
    snapshot: &Snapshot,
    settings: &Settings,
    folder: &Path,
    most: usize,
) -> Result<(), ReplayError> {
    let (current, target) = (report.current.clone(), report.target.clone());
    let between = Between {
        current: &current,
        target: &target,
    };
    let full = state_at(snapshot, &current).topology;
    let is_known = |it: &&RiskyCall| it.now.id != OutcomeId::Unknown && it.then.id != OutcomeId::Unknown;
    let risky: Vec<RiskyCall> = report.calls.iter().filter(is_known).cloned().collect();
    if risky.len() > most {
        report.notes.push(format!(
            "{} of {} risky calls were not made again",
            risky.len() - most,
            risky.len()
        ));
    }
    let risky = &risky[..risky.len().min(most)];
    let least: Vec<Snapshot> = risky
        .iter()
        .map(|it| least::mesh(snapshot, &full, it, &between))
        .collect();
    let now = observe(risky, &least, &report.current, settings).await?;
    let then = match report.target == report.current {
        true => now.clone(),
        false => observe(risky, &least, &report.target, settings).await?,
    };
    for (index, (it, (now, then))) in risky.iter().zip(now.into_iter().zip(then)).enumerate() {
        let name = format!("preflight-{}", index + 1);
        let description = format!(
            "Found by preflight from {current} to {target} ({}). Run it with --istio {target} too.",
            it.findings.join(", ")
        );
        let scenario = reproduction(&name, &least[index], it, &between, description)?.write(folder)?;
        report.replayed.push(Replayed {
            findings: it.findings.clone(),
            call: it.call.clone(),
            confirmed: it.now.agrees_with(&now) && it.then.agrees_with(&then),
            now,
            then,
            scenario,
        });
    }
    Ok(())
}

/// The mesh of these objects at another release.
fn state_at(snapshot: &Snapshot, release: &Version) -> State {
    let mut snapshot = snapshot.clone();
    snapshot.release = release.clone();
    State::of(snapshot)
}

/// What becomes of each call, each in its own least mesh, at one release.
async fn observe(
    risky: &[RiskyCall],
    least: &[Snapshot],
    release: &Version,
    settings: &Settings,
) -> Result<Vec<Outcome>, ReplayError> {
    let mut observed = Vec::new();
    let mut mesh = Tier::Local.open(settings)?;
    for (it, snapshot) in risky.iter().zip(least) {
        observed.push(make(&mut *mesh, &it.call, snapshot, release).await?);
    }
    mesh.down().await;
    Ok(observed)
}

async fn make(
    mesh: &mut dyn Mesh,
    call: &Call,
    snapshot: &Snapshot,
    release: &Version,
) -> Result<Outcome, MeshError> {
    let state = state_at(snapshot, release);
    mesh.apply(state.desired(vec![call.clone()], Connections::Fresh))
        .await?;
    Ok(classify(&mesh.call(call).await?))
}
