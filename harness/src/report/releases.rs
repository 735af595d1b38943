//! The releases of Istio that meshproof knows, as a table.

use std::fmt;

use jiff::civil::Date;
use semver::Version;
use serde::Serialize;

use crate::envoy::binary::{Choice, Pins, PinsError, Provenance};
use crate::istio::{MinorRelease, NodeImage, ReleaseTable};

/// Every minor release, oldest first.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Releases(Vec<Release>);

/// A minor release, and what it runs on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Release {
    minor: String,
    patches: Vec<Version>,
    released: Date,
    /// Absent while it is supported.
    end_of_life: Option<Date>,
    /// The minor of Envoy it rests on.
    envoy: String,
    /// The Kubernetes minors it supports.
    kubernetes: Vec<String>,
    /// The newest node image of kind that it supports.
    node: Option<NodeImage>,
    /// Where its published charts take images from.
    hub: String,
    /// What the local tier runs for it.
    local: Local,
}

#[derive(Clone, Debug, Serialize)]
struct Local {
    envoy: Version,
    provenance: Provenance,
}

impl Releases {
    /// All of them, with the Envoys of `pins`.
    #[must_use]
    pub fn of(table: &ReleaseTable, pins: &Pins) -> Self {
        let release = |minor: &MinorRelease| {
            let newest = minor.patches.last().unwrap_or(&minor.minor);
            let Choice { envoy, provenance } = pins.choose(newest);
            Release {
                minor: short(&minor.minor),
                patches: minor.patches.clone(),
                released: minor.released,
                end_of_life: minor.end_of_life,
                envoy: short(&minor.envoy),
                kubernetes: minor.kubernetes.iter().map(short).collect(),
                node: table.nodes_for(&[minor]).last().cloned(),
                hub: minor.hub.clone(),
                local: Local { envoy, provenance },
            }
        };
        Self(table.minors().iter().map(release).collect())
    }

    /// All of them, with the Envoys that are pinned.
    ///
    /// # Errors
    /// When the pins cannot be read, which a test rules out.
    pub fn known(table: &ReleaseTable) -> Result<Self, PinsError> {
        Ok(Self::of(table, Pins::embedded()?))
    }
}

impl fmt::Display for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![
            [
                "Istio",
                "patches",
                "Envoy",
                "Kubernetes",
                "kind node",
                "local tier",
                "support",
            ]
            .map(str::to_owned),
        ];
        rows.extend(self.0.iter().map(Release::cells));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

impl Release {
    fn cells(&self) -> [String; 7] {
        let patch = |it: Option<&Version>| it.map_or_else(String::new, |it| it.patch.to_string());
        let ends = |all: &[String]| match all {
            [first, .., last] => format!("{first}-{last}"),
            [only] => only.clone(),
            [] => String::new(),
        };
        [
            self.minor.clone(),
            format!(".{}-{}", patch(self.patches.first()), patch(self.patches.last())),
            self.envoy.clone(),
            ends(&self.kubernetes),
            self.node
                .as_ref()
                .map_or_else(|| "none".to_owned(), |node| format!("v{}", node.kubernetes)),
            format!("{} {}", self.local.envoy, self.local.provenance),
            self.end_of_life
                .map_or_else(|| "supported".to_owned(), |day| format!("ended {day}")),
        ]
    }
}

fn short(version: &Version) -> String {
    format!("{}.{}", version.major, version.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_is_listed_with_what_it_runs_on() {
        let releases = Releases::known(ReleaseTable::known().unwrap()).unwrap();
        insta::assert_snapshot!(releases);
    }
}
