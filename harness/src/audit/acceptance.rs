//! Findings that the owner of a mesh has accepted: in a baseline file, or by Istio's own annotation on the object.

use jiff::civil::Date;
use serde::Deserialize;

use super::report::{Accepted, Finding, Report};
use super::view::View;
use crate::snapshot::{YamlError, from_yaml};

/// Istio's annotation that suppresses messages of its analyzer: `IST0101=Kind ns/name`, or codes alone, or `*`
/// (pkg/config/analysis/analyzers.go@1.30.3).
const SUPPRESS: &str = "galley.istio.io/analyze-suppress";

/// Findings accepted with a reason.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Each of them.
    #[serde(default)]
    pub accept: Vec<BaselineEntry>,
}

/// One finding, or all of a code, accepted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineEntry {
    /// The finding's id, without what follows `#` for all findings of a code about an object, or a code for all of it.
    pub finding: String,
    /// Why.
    pub reason: String,
    /// The last day it counts.
    pub until: Option<Date>,
}

impl Baseline {
    /// Reads a baseline file.
    ///
    /// # Errors
    /// When it is no YAML, has an unknown key, or lacks a reason.
    pub fn from_yaml(text: &str, file: &str) -> Result<Self, Box<YamlError>> {
        from_yaml::<Option<Self>>(text, file).map(Option::unwrap_or_default)
    }
}

impl BaselineEntry {
    fn accepts(&self, finding: &Finding) -> bool {
        let about = finding.id.split('#').next().unwrap_or_default();
        [finding.id.as_str(), about, &finding.code].contains(&self.finding.as_str())
    }
}

/// Moves what is accepted out of the findings. Entries that accept nothing, or no longer, are told in the notes.
pub(super) fn apply(baseline: &Baseline, view: &View<'_>, report: &mut Report) {
    let today = view.now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let mut used = vec![false; baseline.accept.len()];
    let mut kept = Vec::new();
    for finding in std::mem::take(&mut report.findings) {
        let entry = baseline.accept.iter().position(|it| it.accepts(&finding));
        if let Some(index) = entry {
            used[index] = true;
            let entry = &baseline.accept[index];
            if entry.until.is_none_or(|it| today <= it) {
                report.accepted.push(Accepted {
                    finding,
                    reason: entry.reason.clone(),
                    until: entry.until,
                });
                continue;
            }
            report.notes.push(format!(
                "{} was accepted until {}, and is no longer",
                finding.id,
                DisplayDate(entry.until)
            ));
        } else if is_suppressed(&finding, view) {
            report.accepted.push(Accepted {
                finding,
                reason: format!("annotation {SUPPRESS}"),
                until: None,
            });
            continue;
        }
        kept.push(finding);
    }
    report.findings = kept;
    for (entry, used) in baseline.accept.iter().zip(used) {
        if !used {
            report.notes.push(format!(
                "the baseline accepts {}, which was not found: remove the entry",
                entry.finding
            ));
        }
    }
}

/// Whether the object's annotation names the finding's code, or everything.
fn is_suppressed(finding: &Finding, view: &View<'_>) -> bool {
    let object = finding.object.as_ref().and_then(|it| it.parse().ok());
    let Some(stored) = object.and_then(|it| view.snapshot.get(&it)) else {
        return false;
    };
    let annotations = stored.object.metadata().annotations.as_ref();
    let Some(list) = annotations.and_then(|it| it.get(SUPPRESS)) else {
        return false;
    };
    list.split(',')
        .map(str::trim)
        .any(|it| it == "*" || it == finding.code)
}

struct DisplayDate(Option<Date>);

impl std::fmt::Display for DisplayDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(date) => write!(f, "{date}"),
            None => f.write_str("ever"),
        }
    }
}
