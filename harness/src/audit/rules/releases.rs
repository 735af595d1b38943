//! The releases that the upgrade is about.

use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Findings, Rule};
use crate::audit::view::View;

const SUPPORT: &str = "istio.io, supported releases; manifests/istio/releases.yaml";

/// The rules of this file, in the order of the report.
pub(super) const RULES: &[Rule] = &[PATH, END_OF_LIFE, KUBERNETES];

/// An upgrade over too many minors.
const PATH: Rule = Rule {
    code: "versions.path",
    category: Category::Versions,
    severity: Severity::Medium,
    title: "the upgrade goes one minor release at a time, or two by revision",
    explanation: "In place, Istio is upgraded and downgraded by one minor release at a time; with revisions, by two.",
    remedy: "Go by the releases in between.",
    source: "istio.io, upgrade in place and canary upgrades",
    check: Check::Mesh(path),
};

/// Releases that nobody fixes any more.
const END_OF_LIFE: Rule = Rule {
    code: "versions.end-of-life",
    category: Category::Versions,
    severity: Severity::Medium,
    title: "the target release is supported",
    explanation: "Nothing is fixed in a release after its end of life, not even its vulnerabilities.",
    remedy: "Choose a supported release.",
    source: SUPPORT,
    check: Check::Mesh(end_of_life),
};

/// A Kubernetes version outside of the target's range.
const KUBERNETES: Rule = Rule {
    code: "versions.kubernetes",
    category: Category::Versions,
    severity: Severity::High,
    title: "the target release supports the cluster's Kubernetes version",
    explanation: "Each Istio release is tested with some Kubernetes versions, and refuses to install on much older ones.",
    remedy: "Upgrade Kubernetes first, or choose another release.",
    source: SUPPORT,
    check: Check::Mesh(kubernetes),
};

fn path(view: &View<'_>, found: &mut Findings<'_>) {
    let (current, target) = (view.current, view.target);
    let minors = target.minor.abs_diff(current.minor);
    let message = if target < current {
        Some(format!("from {current} to {target} is a downgrade"))
    } else {
        (minors > 1).then(|| format!("from {current} to {target} are {minors} minor releases"))
    };
    let Some(message) = message else { return };
    let is_canary = target > current && minors == 2;
    found.mesh(message).severity(if is_canary || minors == 0 {
        Severity::Low
    } else {
        Severity::Medium
    });
}

fn end_of_life(view: &View<'_>, found: &mut Findings<'_>) {
    let today = view.now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let ended = |release| {
        view.releases
            .minor_of(release)?
            .end_of_life
            .filter(|it| *it < today)
    };
    if let Some(end) = ended(view.target) {
        found
            .mesh(format!("support of {} ended on {end}", view.target))
            .detail("target");
    }
    if let Some(end) = ended(view.current) {
        let message = format!("support of the current {} ended on {end}", view.current);
        found
            .mesh(message)
            .detail("current")
            .severity(Severity::Info)
            .remedy("The upgrade is the remedy.");
    }
}

fn kubernetes(view: &View<'_>, found: &mut Findings<'_>) {
    let Some(release) = view.releases.minor_of(view.target) else {
        return;
    };
    if view.kubernetes.is_empty() {
        found.needs("the Kubernetes version (Node objects, or --kubernetes)");
    }
    let is_supported = |it: &semver::Version| {
        release
            .kubernetes
            .iter()
            .any(|known| (known.major, known.minor) == (it.major, it.minor))
    };
    let unsupported: Vec<_> = view
        .kubernetes
        .iter()
        .filter(|(_, it)| !is_supported(it))
        .collect();
    let (Some((node, version)), Some(oldest), Some(newest)) = (
        unsupported.first(),
        release.kubernetes.first(),
        release.kubernetes.last(),
    ) else {
        return;
    };
    let message = format!(
        "{} is not of Kubernetes 1.{} to 1.{}, which Istio {} supports: {node} has {version}",
        if unsupported.len() == 1 {
            "one node".to_owned()
        } else {
            format!("each of {} nodes", unsupported.len())
        },
        oldest.minor,
        newest.minor,
        view.target,
    );
    // Newer than tested is a risk, older may not install at all.
    let is_newer = unsupported.iter().all(|(_, it)| it.minor > newest.minor);
    found.mesh(message).severity(if is_newer {
        Severity::Medium
    } else {
        Severity::High
    });
}
