//! The releases of the proxies, against each other and against the control plane.

use std::collections::BTreeMap;

use semver::Version;

use crate::audit::report::Severity;
use crate::audit::rule::{Category, Check, Findings, Rule};
use crate::audit::view::View;
use crate::snapshot::{ObjectRef, Stored};

const SKEW_POLICY: &str = "istio.io, supported releases (control plane and data plane skew)";

/// The rules of this file, in the order of the report.
pub(super) const RULES: &[Rule] = &[AHEAD, SKEW, MIXED_PATCHES];

/// Proxies newer than istiod.
const AHEAD: Rule = Rule {
    code: "versions.ahead",
    category: Category::Versions,
    severity: Severity::High,
    title: "no proxy is ahead of the control plane",
    explanation: "A proxy must not be of a newer release than the istiod it is configured by, not even of a newer patch.",
    remedy: "Upgrade the control plane first, then restart workloads; unpin sidecar.istio.io/proxyImage.",
    source: SKEW_POLICY,
    check: Check::Mesh(|view, found| {
        for (release, users) in by_release(view) {
            if release > *view.current {
                let is_patch = (release.major, release.minor) == (view.current.major, view.current.minor);
                let message = format!(
                    "{} of {release}, ahead of the control plane's {}",
                    text(&users),
                    view.current
                );
                found
                    .at(users[0].0, users[0].1, message)
                    .detail(&release)
                    .severity(if is_patch {
                        Severity::Medium
                    } else {
                        Severity::High
                    });
            }
        }
    }),
};

/// Proxies too far behind.
const SKEW: Rule = Rule {
    code: "versions.skew",
    category: Category::Versions,
    severity: Severity::High,
    title: "no proxy is more than one minor release behind the control plane, now or after the upgrade",
    explanation: "istiod supports proxies of its own minor release and of the one before. What it sends older ones is not \
                  tested by anybody.",
    remedy: "Restart these workloads on the current release before the control plane is upgraded.",
    source: SKEW_POLICY,
    check: Check::Mesh(skew),
};

/// Proxies of several patches.
const MIXED_PATCHES: Rule = Rule {
    code: "versions.mixed-patches",
    category: Category::Versions,
    severity: Severity::Low,
    title: "all proxies of a minor release are of one patch",
    explanation: "Workloads that were not restarted since the last patch run without its fixes.",
    remedy: "Restart the workloads of the older patch.",
    source: SKEW_POLICY,
    check: Check::Mesh(mixed),
};

type Users<'a> = Vec<(&'a ObjectRef, &'a Stored)>;

fn by_release<'a>(view: &View<'a>) -> BTreeMap<Version, Users<'a>> {
    let mut found: BTreeMap<Version, Users<'a>> = BTreeMap::new();
    for (name, stored, release) in view.proxies() {
        found.entry(release).or_default().push((name, stored));
    }
    found
}

fn text(users: &[(&ObjectRef, &Stored)]) -> String {
    match users.len() {
        1 => "its proxy is".to_owned(),
        many => format!("its proxy and {} more are", many - 1),
    }
}

fn skew(view: &View<'_>, found: &mut Findings<'_>) {
    for (release, users) in by_release(view) {
        let behind = |plane: &Version| release.minor + 1 < plane.minor;
        let (plane, severity) = match (behind(view.current), behind(view.target)) {
            (true, _) => (view.current, Severity::High),
            (false, true) => (view.target, Severity::Medium),
            (false, false) => continue,
        };
        let when = if plane == view.current {
            "now"
        } else {
            "after the upgrade"
        };
        let message = format!(
            "{} of {release}, too far behind the control plane's {plane} {when}",
            text(&users)
        );
        found
            .at(users[0].0, users[0].1, message)
            .detail(&release)
            .severity(severity);
    }
}

fn mixed(view: &View<'_>, found: &mut Findings<'_>) {
    let all = by_release(view);
    for (release, users) in &all {
        let newer = all
            .keys()
            .rfind(|it| (it.major, it.minor) == (release.major, release.minor));
        if let Some(newest) = newer.filter(|it| *it > release) {
            let message = format!("{} of {release}, others of {newest}", text(users));
            found.at(users[0].0, users[0].1, message).detail(release);
        }
    }
}
