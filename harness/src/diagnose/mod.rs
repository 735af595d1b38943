//! The runbook "Istio mTLS failure", walked by a machine, for one failing call or for all of a namespace.
//!
//! [`diagnose`] is a function of what was seen: the objects of a [`Snapshot`], and what proxies showed of themselves
//! ([`Observed`]). It knows neither scenarios nor faults, so that it can be held against them.
//!
//! Three sources that do not know each other decide together: what prediction makes of the objects and of the
//! certificates that proxies really hold ([`crate::istio::predict()`]), what the logs of both ends tell ([`crate::logs`]), and,
//! where there is an agent, a call of its own. What is responsible is found by leaving it out ([`Cause`]).

mod agree;
mod cause;
mod change;
mod check;
mod checks;
mod court;
mod ends;
mod inferred;
mod observed;
mod presumed;
mod remedy;
mod state;
mod subject;
mod told;
mod trial;
mod verdict;

use jiff::Timestamp;
use serde::Serialize;

use crate::audit::{self, AuditError};
use crate::call::Call;
use crate::istio::Topology;
use crate::logs::{Patterns, PatternsError};
use crate::outcome::Outcome;
use crate::snapshot::{Mixed, Snapshot};
use checks::View;
use court::Court;
use inferred::Inferred;
use told::Told;

pub use cause::Cause;
pub use check::{Category, Check, Status, Step};
pub use checks::steps;
pub(crate) use ends::servers;
pub use observed::{Limited, Observed, ProxyConfig, ProxySeen, Secrets, Shown, UnreadableDump};
pub use remedy::{Edit, Entry, Proof, Remedies, RemediesError, Remedy, Safe};
pub use subject::Subject;
pub use verdict::{Confidence, Responsible, Verdict};

/// What is known when a diagnosis begins.
#[derive(Debug)]
pub struct Case {
    /// The objects. Pods are those that run.
    pub snapshot: Snapshot,
    /// What else was read, and what could not be.
    pub mixed: Mixed,
    /// What proxies, and istiod, showed.
    pub observed: Observed,
    /// When all that was.
    pub now: Timestamp,
    /// What is asked.
    pub subject: Subject,
}

/// A call that was made to find out.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// The call.
    pub call: Call,
    /// Who made it, in words.
    pub agent: String,
    /// What became of it, classified from evidence.
    pub outcome: Outcome,
    /// Over which connection between the sidecars.
    pub carried: Carried,
}

/// Which connection carried a call: what is open already shows nothing of new handshakes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carried {
    /// One was opened while it was made.
    OpenedMeanwhile,
    /// One that was open before.
    OpenBefore,
    /// Nothing tells.
    Unknown,
}

impl Probed {
    /// Whether it was delivered, over whatever.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        let possible = self.outcome.possible();
        !possible.is_empty() && possible.iter().all(|it| it.is_delivered())
    }

    fn is_of(&self, call: &Call) -> bool {
        self.call.from == call.from && self.call.to == call.to && self.call.kind == call.kind
    }
}

/// What a diagnosis found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// What was asked, in words.
    pub subject: String,
    /// Every step, in the order of the runbook.
    pub checks: Vec<Check>,
    /// The verdict on the call; of a namespace, one for each failure of its own, the surest first.
    pub verdicts: Vec<Verdict>,
    /// How many calls were looked at.
    pub calls: usize,
}

impl Diagnosis {
    /// Whether something fails.
    #[must_use]
    pub fn found_failure(&self) -> bool {
        self.verdicts.iter().any(|it| !it.outcome.id.is_delivered())
    }
}

/// Why there is no diagnosis.
#[derive(Debug, thiserror::Error)]
pub enum DiagnoseError {
    /// The audit of the objects failed.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Built-in data.
    #[error(transparent)]
    Patterns(#[from] PatternsError),
    /// Built-in data.
    #[error(transparent)]
    Remedies(#[from] RemediesError),
}

/// Walks the runbook.
///
/// # Errors
/// When built-in data cannot be read, which tests rule out, or the snapshot's release does not exist.
pub fn diagnose(case: Case) -> Result<Diagnosis, DiagnoseError> {
    let Case {
        snapshot,
        mixed,
        observed,
        now,
        subject,
    } = case;
    let gaps = mixed.unread.len();
    let release = snapshot.release.clone();
    let mut input = audit::Input {
        snapshot,
        mixed,
        current: Some(release.clone()),
        target: release,
        kubernetes: None,
        now,
        horizon: std::time::Duration::ZERO,
        baseline: audit::Baseline::default(),
    };
    let audit = audit::audit(&mut input)?;
    let snapshot = input.snapshot;
    let topology = Topology::new(&snapshot, None);
    let inferred = Inferred::new(&observed, &topology, now);
    let told = Told::new(&observed, Patterns::embedded()?);
    let view = View {
        snapshot: &snapshot,
        topology: &topology,
        observed: &observed,
        told: &told,
        audit: &audit,
        now,
        call: subject.call(),
        workloads: subject.workloads(&topology),
    };
    let checks = checks::walk(&view);
    let court = Court {
        snapshot: &snapshot,
        topology: &topology,
        observed: &observed,
        inferred: &inferred,
        told: &told,
        remedies: Remedies::embedded()?,
        gaps,
    };
    let (verdicts, calls) = subject.verdicts(&court);
    Ok(Diagnosis {
        subject: subject.text(),
        checks,
        verdicts,
        calls,
    })
}
