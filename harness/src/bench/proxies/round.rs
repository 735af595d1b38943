//! One round of one proxy.

use std::time::Duration;

use semver::Version;
use serde_json::json;

use super::{Extent, ProxiesError};
use crate::bench::pair::{self, NAMESPACE, call_to, workload};
use crate::bench::{memory, processor};
use crate::call::{Call, CallKind, Connections};
use crate::fault::Fault;
use crate::logs::Patterns;
use crate::mesh::local::LocalMesh;
use crate::mesh::{Component, Mesh, MeshError, Settings};
use crate::outcome::OutcomeId;
use crate::probe::classify;
use crate::recognition::{Shown, findings};
use crate::scenario::{State, StateError};
use crate::visibility::{AccessLogs, Visibility};

/// What a round measured.
#[derive(Clone, Debug)]
pub(super) struct Round {
    /// The server's proxy.
    pub(super) component: Component,
    pub(super) starts: Vec<Duration>,
    pub(super) handshakes: Vec<Duration>,
    /// Processor time of the server's proxy over all handshakes; unknown on some systems.
    pub(super) cpu: Option<Duration>,
    /// Bytes; unknown on some systems.
    pub(super) resident: Option<u64>,
    pub(super) wrong_names: usize,
    /// Of those, refused as that.
    pub(super) refused: usize,
    pub(super) healthy: usize,
    /// What would have raised an alert meanwhile.
    pub(super) alarms: usize,
}

/// Measures the proxy of `release` once, in a mesh of its own.
pub(super) async fn round(
    release: &Version,
    extent: Extent,
    settings: &Settings,
) -> Result<Round, ProxiesError> {
    let settings = Settings {
        access_logs: AccessLogs::OursAndIstio(Visibility::embedded().map_err(damaged)?),
        ..settings.clone()
    };
    let patterns = Patterns::embedded().map_err(damaged)?;
    let under_another_name: Fault = serde_json::from_value(json!({"san-replace": {
        "workload": "impostor",
        "san": format!("spiffe://cluster.local/ns/{NAMESPACE}/sa/somebody-else"),
    }}))
    .map_err(damaged)?;
    let state = state(release, &under_another_name)?;
    let [healthy, misled] = ["server", "impostor"].map(call_to);
    let raw = Call {
        kind: CallKind::RawMtls,
        ..healthy.clone()
    };
    let server = workload("server").pod(0);

    let mut mesh = LocalMesh::new(settings)?;
    let calls = vec![healthy.clone(), misled.clone(), raw.clone()];
    mesh.apply(state.desired(calls, Connections::Fresh)).await?;
    let its = server.workload.to_string();
    let component = mesh.components().into_iter().find(|it| it.workload == its);
    let component = component.ok_or_else(|| MeshError::UnknownWorkload {
        workload: server.workload.clone(),
    })?;

    let starts = mesh.starts(&server, extent.starts).await?;
    let process = mesh.process_id(&server);
    let before = process.and_then(processor::time);
    let handshakes = mesh.handshakes(&raw, extent.handshakes).await?;
    let after = process.and_then(processor::time);
    if handshakes.len() < extent.handshakes {
        return Err(ProxiesError::Handshake {
            envoy: component.envoy,
            made: handshakes.len(),
            wanted: extent.handshakes,
        });
    }
    let resident = process.and_then(memory::resident);

    let mut alarms = 0;
    for _ in 0..extent.healthy {
        let evidence = mesh.call(&healthy).await?;
        let outcome = classify(&evidence);
        if outcome.id != OutcomeId::Mtls {
            return Err(ProxiesError::NotHealthy {
                envoy: component.envoy,
                outcome: outcome.to_string(),
            });
        }
        let logs = mesh.logs_of_call();
        let found = findings(patterns, Shown::WithVisibility, &logs).len();
        let proxies = [&evidence.client_proxy, &evidence.server_proxy];
        let counted = proxies.into_iter().flatten().flat_map(|it| &it.stats);
        alarms += found
            + counted
                .filter(|(name, moved)| **moved > 0 && is_refusal(name))
                .count();
    }
    let mut refused = 0;
    for _ in 0..extent.wrong_names {
        let evidence = mesh.call(&misled).await?;
        refused += usize::from(classify(&evidence).id == OutcomeId::SanMismatch);
    }
    mesh.down().await;
    Ok(Round {
        component,
        starts,
        handshakes,
        cpu: before
            .zip(after)
            .map(|(before, after)| after.saturating_sub(before)),
        resident,
        wrong_names: extent.wrong_names,
        refused,
        healthy: extent.healthy,
        alarms,
    })
}

/// The mesh with the fault in it.
fn state(release: &Version, fault: &Fault) -> Result<State, StateError> {
    let mut state = pair::state(release)?;
    state.history.inject(fault, state.topology.workloads.keys())?;
    Ok(state)
}

/// The statistics that the rules of `manifests/alerts` watch.
fn is_refusal(statistic: &str) -> bool {
    statistic.contains(".ssl.fail_verify_") || statistic.ends_with(".no_filter_chain_match")
}

fn damaged(error: impl std::error::Error) -> ProxiesError {
    ProxiesError::Damaged {
        reason: error.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::envoy::binary::Provenance;

    /// A round with a resident memory of so many MiB.
    pub(in crate::bench::proxies) fn round_of(mebibytes: u64) -> Round {
        Round {
            component: Component {
                workload: "bench/server".to_owned(),
                istio: Version::new(1, 30, 0),
                envoy: Version::new(1, 38, 3),
                provenance: Provenance::UpstreamSameMinor,
                sha256: "0".repeat(64),
                image: None,
            },
            starts: vec![Duration::from_millis(60)],
            handshakes: vec![Duration::from_millis(1); 100],
            cpu: Some(Duration::from_millis(50)),
            resident: Some(mebibytes << 20),
            wrong_names: 10,
            refused: 10,
            healthy: 100,
            alarms: 0,
        }
    }

    #[test]
    fn the_statistics_that_alerts_watch_are_told_from_others() {
        for (statistic, expected) in [
            (
                "cluster.outbound|8080||server.bench.svc.cluster.local.ssl.fail_verify_san",
                true,
            ),
            ("listener.0.0.0.0_15006.ssl.fail_verify_error", true),
            ("listener.0.0.0.0_15006.no_filter_chain_match", true),
            ("listener.0.0.0.0_15006.ssl.handshake", false),
            ("listener.0.0.0.0_15006.ssl.connection_error", false),
        ] {
            assert_eq!(is_refusal(statistic), expected, "{statistic}");
        }
    }
}
