//! What it costs to have proxies show what Istio hides.
//!
//! A client calls its server through both sidecars, with one set of access logs in force after the other in every round, so
//! that what the machine does besides falls on all of them. Costs are processor time of both proxies and bytes of log, by
//! request. Only healthy requests are made: they are what a mesh pays for day and night.

use std::time::Duration;

use semver::Version;
use serde::Serialize;

use super::pair::{self, call_to, workload};
use super::{Spread, processor};
use crate::call::{Connections, PodName};
use crate::mesh::local::LocalMesh;
use crate::mesh::{Mesh as _, MeshError, Settings};
use crate::report::Provenance;
use crate::scenario::StateError;
use crate::visibility::{AccessLogs, Visibility, VisibilityError};

/// What is logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, strum::VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum Logged {
    /// Nothing, as Istio is installed.
    Nothing,
    /// What `manifests/visibility` turns on.
    Visibility,
    /// Every request, with `meshConfig.accessLogFile` set: what is usually turned on.
    EveryRequest,
}

impl Logged {
    /// All; the first is what the others are compared with.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// In words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Nothing => "no access logs",
            Self::Visibility => "manifests/visibility",
            Self::EveryRequest => "accessLogFile",
        }
    }

    fn access_logs(self) -> Result<AccessLogs, VisibilityError> {
        Ok(match self {
            Self::Nothing => AccessLogs::Off,
            Self::Visibility => AccessLogs::WithVisibility(Visibility::embedded()?),
            Self::EveryRequest => AccessLogs::AsInstalled,
        })
    }

    /// How many lines `requests` leave at both ends together.
    const fn lines(self, connections: Connections, requests: usize) -> usize {
        match (self, connections) {
            // A line for each inbound connection, once it is closed.
            (Self::Visibility, Connections::Fresh) => requests,
            (Self::Nothing, _) | (Self::Visibility, _) => 0,
            (Self::EveryRequest, _) => 2 * requests,
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VisibilityBench {
    /// Where and from what.
    pub provenance: Provenance,
    /// The Istio release of both proxies.
    pub istio: Version,
    /// Rounds over all settings.
    pub rounds: usize,
    /// Requests in a round, for each setting and kind of connection.
    pub requests: usize,
    /// By setting and kind of connection.
    pub costs: Vec<Cost>,
}

/// What a request costs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// What was logged.
    pub logged: Logged,
    /// Whether each request made an mTLS connection of its own, or all shared one.
    pub connections: Connections,
    /// Processor time of both proxies by request, in microseconds.
    pub processor_micros: Spread,
    /// By how many percent it is above that with nothing logged; absent within the noise, and of nothing logged itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_percent: Option<f64>,
    /// Bytes of log by request, at both ends together.
    pub log_bytes: f64,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum VisibilityBenchError {
    /// The mesh it is measured on cannot be described.
    #[error("the mesh that logs are measured on is invalid")]
    State(#[from] StateError),
    /// It could not be run.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// Embedded data is damaged, which tests exclude.
    #[error(transparent)]
    Visibility(#[from] VisibilityError),
    /// This system does not tell what a process takes.
    #[error("this system does not tell the processor time of a process (it needs /proc with schedstat)")]
    NoProcessorTime,
}

struct Round {
    processor: Duration,
    bytes: u64,
}

/// Measures with proxies of `istio`. `progress` is told of each round as it begins.
///
/// # Errors
/// See [`VisibilityBenchError`].
pub async fn visibility(
    istio: &Version,
    (rounds, requests): (usize, usize),
    settings: &Settings,
    provenance: Provenance,
    mut progress: impl FnMut(usize),
) -> Result<VisibilityBench, VisibilityBenchError> {
    let kinds = [Connections::Reuse, Connections::Fresh];
    let cells = || {
        kinds
            .iter()
            .flat_map(|it| Logged::ALL.iter().map(|logged| (*logged, *it)))
    };
    let mut taken: Vec<Vec<Round>> = cells().map(|_| Vec::new()).collect();
    for number in 1..=rounds {
        progress(number);
        for ((logged, connections), taken) in cells().zip(&mut taken) {
            taken.push(round(istio, logged, connections, requests, settings).await?);
        }
    }
    let mut costs: Vec<Cost> = Vec::new();
    for ((logged, connections), taken) in cells().zip(taken) {
        let by_request = |total: f64| total / count(requests);
        let micros: Vec<f64> = taken
            .iter()
            .map(|round| by_request(round.processor.as_secs_f64() * 1e6))
            .collect();
        let processor_micros = Spread::of(&micros);
        let base = costs
            .iter()
            .find(|it| it.connections == connections && it.logged == Logged::Nothing);
        costs.push(Cost {
            logged,
            connections,
            delta_percent: base.and_then(|it| processor_micros.delta_percent(&it.processor_micros, rounds)),
            processor_micros,
            log_bytes: by_request(super::median(taken.iter().map(|round| bytes(round.bytes)))),
        });
    }
    Ok(VisibilityBench {
        provenance,
        istio: istio.clone(),
        rounds,
        requests,
        costs,
    })
}

async fn round(
    istio: &Version,
    logged: Logged,
    connections: Connections,
    requests: usize,
    settings: &Settings,
) -> Result<Round, VisibilityBenchError> {
    let settings = Settings {
        access_logs: logged.access_logs()?,
        ..settings.clone()
    };
    let call = call_to("server");
    let ends: [PodName; 2] = ["client", "server"].map(|name| workload(name).pod(0));
    let mut mesh = LocalMesh::new(settings)?;
    let state = pair::state(istio)?;
    mesh.apply(state.desired(vec![call.clone()], connections)).await?;
    // The first requests make the connection that the others share, and fill caches.
    mesh.requests(&call, requests / 10 + 1).await?;
    let time = |mesh: &LocalMesh| -> Option<Duration> {
        let of = |pod| processor::time(mesh.process_id(pod)?);
        ends.iter().map(of).sum()
    };
    let written = mesh
        .logged(&ends, logged.lines(connections, requests / 10 + 1))
        .await?;
    let before = time(&mesh).ok_or(VisibilityBenchError::NoProcessorTime)?;
    mesh.requests(&call, requests).await?;
    let lines = logged.lines(connections, requests + requests / 10 + 1);
    let bytes = mesh.logged(&ends, lines).await?.saturating_sub(written);
    let after = time(&mesh).ok_or(VisibilityBenchError::NoProcessorTime)?;
    mesh.down().await;
    Ok(Round {
        processor: after.saturating_sub(before),
        bytes,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
const fn count(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "some megabytes")]
const fn bytes(number: u64) -> f64 {
    number as f64
}
