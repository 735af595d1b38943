//! Preflight: what of a mesh is broken now, what an upgrade will break, and why.
//!
//! [`audit`] looks at a snapshot with every one of [`rules()`], and at the [`hazards`] on the way from the current to the
//! target release. Calls are judged by the one prediction engine ([`crate::istio::predict()`]) alone; no rule resolves policy
//! itself.
//!
//! To add a rule: a constant in the file of its subject below `rules/`, and its line in `rules/mod.rs`. To add a hazard:
//! its entry in `manifests/istio/hazards.yaml`.

mod acceptance;
mod calls;
mod certificates;
mod hazard;
mod installation;
mod page;
mod report;
mod rule;
mod rules;
mod view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use semver::Version;

pub use acceptance::{Baseline, BaselineEntry};
pub use hazard::{Condition, Hazard, Releases, RuleField, hazards};
pub use page::page;
pub use report::{Accepted, Check, Finding, Location, Replayed, Report, RiskyCall, Severity, Status};
pub use rule::{Category, Rule};
pub use rules::rules;

use crate::istio::{ReleaseTable, injection};
use crate::snapshot::{Mixed, ObjectRef, Snapshot, YamlError};
use calls::{CallGroup, ending};
use hazard::Holds;
use rule::Findings;
use view::{Upgrade, View};

/// What is audited: a mesh, and an upgrade of it.
#[derive(Debug)]
pub struct Input {
    /// The objects.
    pub snapshot: Snapshot,
    /// What else was read, and what could not be.
    pub mixed: Mixed,
    /// The release the mesh is at; `None`: what the input says, else the minor before the target's.
    pub current: Option<Version>,
    /// The release it is to go to.
    pub target: Version,
    /// The Kubernetes version, where the input has no nodes.
    pub kubernetes: Option<Version>,
    /// When now is.
    pub now: Timestamp,
    /// How long before their end certificates count as ending.
    pub horizon: Duration,
    /// Findings that are accepted.
    pub baseline: Baseline,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A built-in data file cannot be read, which tests rule out.
    #[error("built-in data cannot be read")]
    Data(#[from] Box<YamlError>),
    /// There is no such release.
    #[error(
        "there is no Istio {release} (as of {as_of}){}",
        nearest.as_ref().map(|it| format!("; did you mean {it}?")).unwrap_or_default()
    )]
    NoSuchRelease {
        /// As written.
        release: Version,
        /// The one that was probably meant.
        nearest: Option<Version>,
        /// The day the list of releases was true.
        as_of: jiff::civil::Date,
    },
}

/// Audits a mesh. Its snapshot is at the current release then.
///
/// # Errors
/// When one of the releases does not exist.
pub fn audit(input: &mut Input) -> Result<Report, AuditError> {
    let releases = ReleaseTable::known()?;
    let no_such = |release: &Version| AuditError::NoSuchRelease {
        release: release.clone(),
        nearest: releases.nearest(release).cloned(),
        as_of: releases.as_of,
    };
    if !releases.has(&input.target) {
        return Err(no_such(&input.target));
    }
    let (current, current_from) = match &input.current {
        Some(current) if releases.has(current) => (current.clone(), None),
        Some(current) => return Err(no_such(current)),
        None => current_release(input, releases),
    };
    input.snapshot.release = current.clone();
    let upgrade = Upgrade {
        current: &current,
        target: &input.target,
        now: input.now,
        horizon: input.horizon,
        kubernetes: input.kubernetes.as_ref(),
    };
    let view = View::new(&input.snapshot, &input.mixed, releases, &upgrade);
    let mut report = Report {
        current: current.clone(),
        current_from,
        target: input.target.clone(),
        checks: Vec::new(),
        findings: Vec::new(),
        accepted: Vec::new(),
        calls: Vec::new(),
        replayed: Vec::new(),
        incomplete: input.mixed.unread.iter().map(ToString::to_string).collect(),
        notes: input.mixed.notes.clone(),
    };
    check_rules(&view, &mut report);
    check_hazards(&view, &mut report)?;
    acceptance::apply(&input.baseline, &view, &mut report);
    report.checks.sort_by_key(|it| it.category);
    let place = |it: &Finding| (std::cmp::Reverse(it.severity), it.code.clone(), it.id.clone());
    report.findings.sort_by_key(place);
    Ok(report)
}

/// The release the input says, and where it says so; else the minor before the target's.
fn current_release(input: &Input, releases: &ReleaseTable) -> (Version, Option<String>) {
    let installation = installation::Installation::new(&input.snapshot, &input.mixed);
    let istiod = installation.istiod.iter().filter_map(|(name, _, container)| {
        let release = injection::release_of_image(container.image.as_deref()?)?;
        Some((release, format!("the image of {name}")))
    });
    let values = installation.values.iter().filter_map(|it| {
        let tag = it.tree.pointer(&format!("{}/tag", it.release_at))?.as_str()?;
        Some((
            injection::release_of_image(&format!(":{tag}"))?,
            format!("global.tag of {}", it.name),
        ))
    });
    let mut told = istiod.chain(values).filter(|(release, _)| releases.has(release));
    if let Some((release, from)) = told.next() {
        return (release, Some(from));
    }
    let before = releases.minor_before(&input.target).unwrap_or(&input.target);
    (
        before.clone(),
        Some("assumed, the minor before; say --istio VERSION".to_owned()),
    )
}

fn check_rules(view: &View<'_>, report: &mut Report) {
    let mut failing = explain(view);
    for (index, rule) in rules().enumerate() {
        let mut found = Findings::new(rule);
        match rule.check {
            rule::Check::Mesh(check) => check(view, &mut found),
            rule::Check::Failing(_) => {
                let groups = failing.remove(&index).unwrap_or_default();
                tell_failing(view, groups, &mut found, report);
            }
        }
        if rule.code == rules::CHANGED_CALLS {
            let changed = view.calls.iter().filter(|it| it.changes());
            let ids: Vec<String> = found.found.iter().map(|it| it.id.clone()).collect();
            let risky: Vec<RiskyCall> = changed.map(|it| risky(it, ids.clone())).collect();
            report.calls.extend(risky);
        }
        let status = match (found.found.is_empty(), found.needs.is_empty()) {
            (false, _) => Status::Found,
            (true, true) => Status::Passed,
            (true, false) => Status::CannotTell,
        };
        report.checks.push(Check {
            code: rule.code.to_owned(),
            category: rule.category,
            title: rule.title.to_owned(),
            status,
            needs: found.needs.into_iter().collect(),
        });
        report.findings.extend(found.found);
    }
}

/// The failing calls by the index of the rule that explains them.
fn explain<'v>(view: &'v View<'_>) -> BTreeMap<usize, Vec<(&'v CallGroup, Severity)>> {
    let mut explained: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for group in view.calls.iter().filter(|it| it.fails()) {
        let explains = |(index, rule): (usize, &Rule)| match rule.check {
            rule::Check::Failing(explains) => Some((index, explains(group, view)?)),
            rule::Check::Mesh(_) => None,
        };
        if let Some((index, severity)) = rules().enumerate().find_map(explains) {
            explained.entry(index).or_default().push((group, severity));
        }
    }
    explained
}

/// One finding for all groups of calls with one culprit and one outcome.
fn tell_failing(
    view: &View<'_>,
    groups: Vec<(&CallGroup, Severity)>,
    found: &mut Findings<'_>,
    report: &mut Report,
) {
    type Key = (Option<ObjectRef>, String);
    let mut alike: BTreeMap<Key, Vec<(&CallGroup, Severity)>> = BTreeMap::new();
    for (group, severity) in groups {
        let key = (group.culprit(), ending(&group.now.outcome()));
        alike.entry(key).or_default().push((group, severity));
    }
    for ((culprit, ending), groups) in alike {
        let Some((first, _)) = groups.first() else {
            continue;
        };
        let together = CallGroup {
            calls: groups.iter().map(|(it, _)| it.calls).sum(),
            ..(*first).clone()
        };
        let message = format!("{}: {ending} ({})", together.text(), together.reasons());
        let stored = culprit.as_ref().and_then(|it| Some((it, view.snapshot.get(it)?)));
        let finding = match stored {
            Some((object, stored)) => found.at(object, stored, message),
            None => found.mesh(message),
        };
        let severity = groups.iter().map(|(_, it)| *it).max().unwrap_or(Severity::High);
        let id = finding.severity(severity).detail(first.now.id).id.clone();
        if severity > Severity::Info {
            report.calls.push(risky(&together, vec![id]));
        }
    }
}

fn risky(group: &CallGroup, findings: Vec<String>) -> RiskyCall {
    RiskyCall {
        call: group.example.clone(),
        alike: group.calls,
        now: group.now.outcome(),
        then: group.then.outcome(),
        findings,
    }
}

fn check_hazards(view: &View<'_>, report: &mut Report) -> Result<(), AuditError> {
    for hazard in hazards()? {
        if !hazard.releases.are_on_the_way(view.current, view.target) {
            continue;
        }
        let (status, needs) = match hazard::evaluate(&hazard.trigger, view) {
            Holds::No => (Status::Passed, Vec::new()),
            Holds::CannotTell(needs) => (Status::CannotTell, vec![needs]),
            Holds::Yes(objects) => {
                report.findings.push(hazard_finding(hazard, &objects, view));
                (Status::Found, Vec::new())
            }
        };
        report.checks.push(Check {
            code: hazard.code(),
            category: Category::Hazards,
            title: hazard.title.clone(),
            status,
            needs,
        });
    }
    Ok(())
}

/// One finding, whatever the number of objects: it is about the upgrade.
fn hazard_finding(hazard: &Hazard, objects: &[ObjectRef], view: &View<'_>) -> Finding {
    let first = objects.first();
    let others = match objects.len() {
        0 | 1 => String::new(),
        many => format!(" ({} more objects)", many - 1),
    };
    let location = first
        .and_then(|it| view.snapshot.get(it))
        .and_then(|it| Location::of(&it.source));
    Finding {
        code: hazard.code(),
        id: first.map_or_else(|| hazard.code(), |it| format!("{}@{it}", hazard.code())),
        severity: hazard.severity,
        object: first.map(ToString::to_string),
        message: format!("{}: {}{others}", hazard.title, hazard.changes),
        remedy: hazard.remedy.clone(),
        source: hazard.source.clone(),
        location,
    }
}
