//! Cells that are left out for now.

use jiff::civil::Date;
use semver::Version;
use serde::Serialize;

use super::{Cell, Platform};

/// Cells that are left out: those that fit all that is given.
#[derive(Clone, Debug, Serialize)]
pub struct Exclusion {
    pub(super) row: Option<String>,
    pub(super) platform: Option<Platform>,
    pub(super) istio: Option<Version>,
    pub(super) client: Option<Version>,
    pub(super) server: Option<Version>,
    pub(super) kubernetes: Option<Version>,
    pub(super) scenario: Option<String>,
    /// Why.
    pub reason: String,
    /// The last day on which they are.
    pub until: Date,
    /// How many there are.
    pub cells: usize,
}

impl Exclusion {
    /// What it says of the cells, in words: `row pairs, client 1.29.8`.
    #[must_use]
    pub fn coordinates(&self) -> String {
        let given = [
            ("row", self.row.clone()),
            ("platform", self.platform.map(|it| it.to_string())),
            ("istio", self.istio.as_ref().map(Version::to_string)),
            ("client", self.client.as_ref().map(Version::to_string)),
            ("server", self.server.as_ref().map(Version::to_string)),
            ("kubernetes", self.kubernetes.as_ref().map(short)),
            ("scenario", self.scenario.clone()),
        ];
        let words = given
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key} {}", value?)));
        words.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn fits(&self, row: &str, cell: &Cell) -> bool {
        fn same<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let releases = &cell.releases;
        self.row.as_deref().is_none_or(|it| it == row)
            && same(self.platform.as_ref(), Some(&cell.platform))
            && same(self.istio.as_ref(), releases.istio.as_ref())
            && same(self.client.as_ref(), releases.client.as_ref())
            && same(self.server.as_ref(), releases.server.as_ref())
            && same(self.kubernetes.as_ref(), cell.kubernetes.as_ref())
            && same(self.scenario.as_ref(), Some(&cell.scenario))
    }
}

pub(super) fn short(minor: &Version) -> String {
    format!("{}.{}", minor.major, minor.minor)
}
