//! Proxy versions against each other: what they refuse, and what they cost.
//!
//! Rounds go over all versions in turn, so that what the machine does besides falls on all of them. A version differs from
//! the first one where none of its rounds gave a figure that a round of the first gave, or one between those; anything
//! less is noise, and no difference is stated; nor is one on fewer than four rounds.

mod figures;
mod render;
mod round;

use semver::Version;
use serde::Serialize;

pub use figures::Figure;

use super::Spread;
use crate::envoy::binary::Provenance as Likeness;
use crate::mesh::{MeshError, Settings};
use crate::report::Provenance;
use crate::scenario::StateError;

/// How much is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Extent {
    /// Rounds over all versions.
    pub rounds: usize,
    /// Starts of a proxy in a round.
    pub starts: usize,
    /// Handshakes in a round.
    pub handshakes: usize,
    /// Calls to a server of another name in a round.
    pub wrong_names: usize,
    /// Healthy calls in a round, each on a connection of its own.
    pub healthy: usize,
}

/// The table.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxiesBench {
    /// How much was measured.
    pub extent: Extent,
    /// Where and from what.
    pub provenance: Provenance,
    /// A column each; the first is what the others are compared with.
    pub proxies: Vec<ProxyFigures>,
}

/// A proxy, and its figures.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyFigures {
    /// The Envoy version, as the binary reports it.
    pub envoy: Version,
    /// The Istio release it ran as.
    pub istio: Version,
    /// How near it is to that release's own proxy.
    pub provenance: Likeness,
    /// Digest of the binary.
    pub sha256: String,
    /// What was measured, in the order of [`Figure::ALL`]. What this system does not tell is absent.
    pub figures: Vec<Measured>,
}

/// A figure of a proxy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Which.
    pub figure: Figure,
    /// Its unit.
    pub unit: &'static str,
    /// Its values.
    #[serde(flatten)]
    pub spread: Spread,
    /// By how many percent its median is above (below: negative) that of the first proxy; absent within the noise, on the
    /// first proxy itself, and where that one's is zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_percent: Option<f64>,
}

/// Why proxies could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum ProxiesError {
    /// The mesh they are measured on cannot be described.
    #[error("the mesh that proxies are measured on is invalid")]
    State(#[from] StateError),
    /// It could not be run.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Embedded data is damaged, which tests exclude.
    #[error("what finds failures in logs, or what makes proxies show them, is invalid: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// A healthy call failed, so nothing that was measured means anything.
    #[error(
        "a healthy call on Envoy {envoy} ended as {outcome}: nothing that is measured here means anything"
    )]
    NotHealthy {
        /// The proxy.
        envoy: Version,
        /// What became of the call.
        outcome: String,
    },
    /// A handshake that nothing stands against failed.
    #[error(
        "Envoy {envoy} completed {made} of {wanted} handshakes, and refused the next or left it unanswered"
    )]
    Handshake {
        /// The proxy.
        envoy: Version,
        /// How many it completed.
        made: usize,
        /// How many there were to be.
        wanted: usize,
    },
}

/// Measures the proxies of these Istio releases, at least one. `progress` is told of each round of each of them as it ends.
///
/// # Errors
/// See [`ProxiesError`].
pub async fn proxies(
    releases: &[Version],
    extent: Extent,
    settings: &Settings,
    provenance: Provenance,
    mut progress: impl FnMut(usize, &Version),
) -> Result<ProxiesBench, ProxiesError> {
    let mut rounds: Vec<Vec<round::Round>> = releases.iter().map(|_| Vec::new()).collect();
    for number in 1..=extent.rounds.max(1) {
        for (release, rounds) in releases.iter().zip(&mut rounds) {
            rounds.push(round::round(release, extent, settings).await?);
            progress(number, release);
        }
    }
    let mut proxies: Vec<ProxyFigures> = Vec::new();
    for rounds in rounds {
        let first = proxies.first().map(|first| first.figures.as_slice());
        let figures = figures::measured(&rounds, first);
        let Some(round) = rounds.into_iter().next() else {
            continue;
        };
        proxies.push(ProxyFigures {
            envoy: round.component.envoy,
            istio: round.component.istio,
            provenance: round.component.provenance,
            sha256: round.component.sha256,
            figures,
        });
    }
    Ok(ProxiesBench {
        extent,
        provenance,
        proxies,
    })
}
