//! Hazards: what Istio releases change about mTLS without being asked, and what is wrong in some of them.
//!
//! Data: `manifests/istio/hazards.yaml`. Whether a hazard lies on the way from one release to another follows from its
//! `releases`, whether the mesh meets it from its `trigger`.

mod condition;
mod evaluate;

use std::sync::LazyLock;

use semver::{Version, VersionReq};
use serde::Deserialize;

pub use condition::{Condition, RuleField};

pub(super) use evaluate::{Holds, evaluate};

use super::report::Severity;
use crate::snapshot::{YamlError, api::TlsMode, from_yaml};

const FILE: &str = "manifests/istio/hazards.yaml";

/// One hazard.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hazard {
    /// Its name; findings have the code `hazard.<id>`.
    pub id: String,
    /// In a line.
    pub title: String,
    /// What changes, and what follows.
    pub changes: String,
    /// Where it is.
    pub releases: Releases,
    /// What must be true of the mesh, all of it; empty: every mesh is concerned.
    pub trigger: Vec<Condition>,
    /// How bad it is.
    pub severity: Severity,
    /// What to do about it.
    pub remedy: String,
    /// Where it is known from.
    pub source: String,
}

/// The releases that a hazard is in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Releases {
    /// A change that came with these releases, one for each branch.
    From(Vec<Version>),
    /// A defect of everything before these releases, one for each branch.
    Fixed(Vec<Version>),
    /// A defect of these ranges.
    Only(Vec<VersionReq>),
    /// Always.
    Every,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hazards: Vec<Hazard>,
}

static HAZARDS: LazyLock<Result<Vec<Hazard>, Box<YamlError>>> = LazyLock::new(|| {
    from_yaml::<File>(include_str!("../../../../manifests/istio/hazards.yaml"), FILE).map(|it| it.hazards)
});

/// All hazards known.
///
/// # Errors
/// When the built-in file cannot be read, which a test rules out.
pub fn hazards() -> Result<&'static [Hazard], Box<YamlError>> {
    HAZARDS.as_deref().map_err(Clone::clone)
}

impl Hazard {
    /// The code of its findings.
    #[must_use]
    pub fn code(&self) -> String {
        format!("hazard.{}", self.id)
    }
}

impl Releases {
    /// Whether the hazard lies on the way from one release to another.
    #[must_use]
    pub fn are_on_the_way(&self, current: &Version, target: &Version) -> bool {
        match self {
            Self::From(releases) => !has_reached(current, releases) && has_reached(target, releases),
            Self::Fixed(releases) => !has_reached(target, releases),
            Self::Only(ranges) => ranges.iter().any(|it| it.matches(target)),
            Self::Every => true,
        }
    }

    /// As the documentation says it.
    #[must_use]
    pub fn text(&self) -> String {
        let list = |of: &[Version]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::From(releases) => format!("from {}", list(releases)),
            Self::Fixed(releases) => format!("before {}", list(releases)),
            Self::Only(ranges) => ranges
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or "),
            Self::Every => "every release".to_owned(),
        }
    }
}

/// Whether a release has what came with `releases`: on its own branch, or on a branch younger than all of them.
fn has_reached(release: &Version, releases: &[Version]) -> bool {
    let minor = |it: &Version| (it.major, it.minor);
    match releases.iter().find(|it| minor(it) == minor(release)) {
        Some(of_branch) => release >= of_branch,
        None => releases.iter().all(|it| minor(it) < minor(release)),
    }
}

/// Whether a TLS mode needs a certificate of the workload's own world: everything but ISTIO_MUTUAL and DISABLE.
const fn originates(mode: TlsMode) -> bool {
    matches!(mode, TlsMode::Simple | TlsMode::Mutual)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_hazard_is_read_and_named_once() {
        let hazards = hazards().unwrap();
        let ids: BTreeSet<&str> = hazards.iter().map(|it| it.id.as_str()).collect();
        assert_eq!((hazards.len(), ids.len()), (60, 60));
        for hazard in hazards {
            assert!(
                hazard
                    .id
                    .chars()
                    .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-'),
                "{}",
                hazard.id
            );
            assert!(hazard.title.len() < 90, "{}", hazard.id);
            for text in [&hazard.changes, &hazard.remedy, &hazard.source] {
                assert!(text.len() > 10, "{}", hazard.id);
            }
        }
    }

    #[test]
    fn an_unknown_key_or_condition_is_refused() {
        let base = "hazards: [{id: a, title: t, changes: c, releases: every, trigger: [TRIGGER], severity: low, remedy: r, source: s EXTRA}]";
        for (trigger, extra) in [
            ("sometimes", ""),
            ("{kubernets: '>=1.33'}", ""),
            ("several-roots", ", more: 1"),
        ] {
            let text = base.replace("TRIGGER", trigger).replace("EXTRA", extra);
            assert!(from_yaml::<File>(&text, "hazards.yaml").is_err(), "{text}");
        }
    }

    #[test]
    fn a_change_matters_to_an_upgrade_that_crosses_it_and_a_defect_to_one_that_ends_in_it() {
        let way = |releases: &str, current: &str, target: &str| {
            let releases: Releases = from_yaml(releases, "releases").unwrap();
            releases.are_on_the_way(&current.parse().unwrap(), &target.parse().unwrap())
        };
        let cases = [
            ("from: [1.28.7, 1.29.3, 1.30.0]", "1.28.6", "1.28.7", true),
            ("from: [1.28.7, 1.29.3, 1.30.0]", "1.28.6", "1.29.2", false),
            ("from: [1.28.7, 1.29.3, 1.30.0]", "1.28.7", "1.30.0", false),
            ("from: [1.28.7, 1.29.3, 1.30.0]", "1.27.9", "1.31.1", true),
            ("from: [1.28.7, 1.29.3, 1.30.0]", "1.31.0", "1.31.1", false),
            ("fixed: [1.30.4, 1.31.0]", "1.29.8", "1.30.3", true),
            ("fixed: [1.30.4, 1.31.0]", "1.29.8", "1.30.5", false),
            ("only: ['>=1.27.0, <1.27.3']", "1.26.8", "1.27.2", true),
            ("only: ['>=1.27.0, <1.27.3']", "1.27.2", "1.27.9", false),
            ("only: ['=1.24.4', '=1.25.1']", "1.24.3", "1.25.1", true),
            ("every", "1.30.0", "1.30.1", true),
        ];
        for (releases, current, target, is_on_the_way) in cases {
            assert_eq!(
                way(releases, current, target),
                is_on_the_way,
                "{releases} {current} {target}"
            );
        }
    }
}
