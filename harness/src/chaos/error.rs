//! Why a run could not be made.

use std::time::Duration;

use crate::logs::PatternsError;
use crate::mesh::MeshError;
use crate::outcome::OutcomeId;
use crate::scenario::StateError;
use crate::visibility::VisibilityError;

use super::monitoring::MonitoringError;

/// Why a run could not be made; that nobody noticed is no error.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// The mesh.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The state of the mesh. A fault of this module.
    #[error("the ring is no valid mesh: {0}")]
    State(#[from] StateError),
    /// Prometheus or its Alertmanager.
    #[error(transparent)]
    Monitoring(#[from] MonitoringError),
    /// A call failed while nothing was broken.
    #[error("{call} was {outcome} before anything was broken")]
    NotHealthy {
        /// The call.
        call: String,
        /// What became of it.
        outcome: OutcomeId,
    },
    /// Prometheus does not scrape everything.
    #[error(
        "of {targets} targets prometheus knew {up} after {within:?} (is the machine too small for so many proxies?)"
    )]
    Unknown {
        /// How many there are.
        targets: usize,
        /// How many were up at last.
        up: f64,
        /// The limit.
        within: Duration,
    },
    /// The embedded patterns.
    #[error(transparent)]
    Patterns(#[from] PatternsError),
    /// The embedded visibility manifests.
    #[error(transparent)]
    Visibility(#[from] VisibilityError),
}
