//! How much of what happened logs tell: what [`crate::logs`] reads in the lines of every call of a run, held against
//! what was observed of the call.
//!
//! Neither knows the other: the outcome comes from evidence that holds none of these lines, and the scanner sees the
//! lines and nothing else.

mod judge;
mod table;
mod unseen;
mod volume;

use serde::Serialize;

use crate::logs::{Finding, Patterns};
use crate::mesh::ProxyLogs;
use crate::outcome::Outcome;
use crate::scenario::verdict::{CallResult, ScenarioResult};

pub use judge::Told;
pub(crate) use judge::findings;
pub use table::{Row, Table, Totals};
pub use unseen::UnseenError;
pub use volume::Volume;

use unseen::Unseen;

/// Which logs are read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// Istio's access logs in text, as installed with access logs turned on.
    Text,
    /// The same in JSON.
    Json,
    /// What `manifests/visibility` has proxies log.
    WithVisibility,
}

impl Shown {
    /// All, in the order of a table's columns.
    pub const ALL: [Self; 3] = [Self::Text, Self::Json, Self::WithVisibility];

    /// As written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::WithVisibility => "with-visibility",
        }
    }

    fn lines(self, logs: &ProxyLogs) -> &[String] {
        match self {
            Self::Text => &logs.text,
            Self::Json => &logs.json,
            Self::WithVisibility => &logs.with_visibility,
        }
    }
}

/// One call, and what each of the logs tells of it.
#[derive(Clone, Debug, Serialize)]
pub struct Recognised {
    /// The call's id.
    pub id: String,
    /// What was observed.
    pub observed: Outcome,
    /// What the logs tell, in the order of [`Shown::ALL`].
    pub told: [Told; 3],
    /// What was found, where that is not right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Finding>,
    /// The lines, where what they tell is not right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<ProxyLogs>,
}

/// Reads the logs of every call of a run.
///
/// # Errors
/// When the embedded list of calls that no proxy tells of is invalid, which its test excludes.
pub fn recognise(patterns: &'static Patterns, results: &[ScenarioResult]) -> Result<Table, UnseenError> {
    let unseen = Unseen::embedded()?;
    let mut table = Table::default();
    for result in results.iter().filter(|result| !result.phases.is_empty()) {
        let mut owed: Vec<&Unseen> = unseen.iter().filter(|it| it.is_of(&result.scenario)).collect();
        for call in result.phases.iter().flat_map(|phase| &phase.calls) {
            let Some(mut recognised) = recognise_call(patterns, call) else {
                continue;
            };
            let place = owed.iter().position(|it| it.call == recognised.id);
            if let Some(place) = place
                && recognised.told.into_iter().all(Told::is_miss)
            {
                let it = owed.remove(place);
                table.unseen.push(format!("{}: {}", it.call, it.why));
                recognised.told = [Told::Unseen; 3];
            }
            if recognised.told == [Told::Silent; 3] {
                table.volume.add(&call.logs);
            }
            table.add(&result.scenario, recognised);
        }
        table.stale.extend(owed.into_iter().map(|it| it.call.clone()));
    }
    Ok(table)
}

fn recognise_call(patterns: &'static Patterns, call: &CallResult) -> Option<Recognised> {
    let observed = call.observed.clone()?;
    let mut found = Vec::new();
    let told = Shown::ALL.map(|shown| {
        if !judge::has_witness(&call.evidence) {
            return Told::NoProxy;
        }
        let findings = judge::findings(patterns, shown, &call.logs);
        let told = judge::judge(&observed, &findings);
        if told.is_wrong() {
            found.extend(findings);
        }
        told
    });
    let logs = match told.into_iter().any(Told::is_wrong) {
        true => call.logs.clone(),
        false => Vec::new(),
    };
    Some(Recognised {
        id: call.id.clone(),
        observed,
        told,
        found,
        logs,
    })
}
