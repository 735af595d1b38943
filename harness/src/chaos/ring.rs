//! The mesh that is watched: workloads that call each other in a ring, and those of them that are broken.

use std::fmt::Write as _;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use semver::Version;

use crate::call::{Call, CallKind, Destination, Payload, WorkloadName};
use crate::fault::Fault;
use crate::istio::Topology;
use crate::scenario::{State, StateError};

/// The namespace of all of them.
const NAMESPACE: &str = "ring";
const PORT: u16 = 8080;

/// There is no such fault, or it takes more than a workload.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{fault}` is no fault that takes nothing but a workload: {reason}")]
pub struct RingError {
    fault: String,
    reason: String,
}

/// Workloads of which each calls the next, and the last the first.
#[derive(Clone, Debug)]
pub struct Ring {
    pub(super) size: usize,
    /// Numbers of those that are broken.
    broken: Vec<usize>,
    fault: String,
}

impl Ring {
    /// A ring of `size` workloads of which `fraction` (at least one) get `fault`, drawn from `seed`.
    ///
    /// # Errors
    /// When the fault is none that a workload alone describes.
    pub fn new(size: usize, fraction: f64, fault: &str, seed: u64) -> Result<Self, RingError> {
        fault_of(fault, 0)?;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut left: Vec<usize> = (0..size).collect();
        let mut broken: Vec<usize> = (0..share(size, fraction))
            .map(|_| {
                let place = random.next_u64() % left.len().max(1) as u64;
                left.swap_remove(usize::try_from(place).unwrap_or_default())
            })
            .collect();
        broken.sort_unstable();
        Ok(Self {
            size,
            broken,
            fault: fault.to_owned(),
        })
    }

    /// What is wrong with the broken ones.
    pub(super) fn fault(&self) -> &str {
        &self.fault
    }

    /// The mesh before anything is broken.
    pub(super) fn state(&self, release: Version) -> Result<State, StateError> {
        let mut state = State::empty(release);
        state.snapshot.add_yaml(&self.manifests(), "chaos")?;
        state.topology = Topology::new(&state.snapshot, None);
        Ok(state)
    }

    /// Breaks what is to be broken.
    pub(super) fn break_it(&self, state: &mut State) -> Result<(), StateError> {
        for number in &self.broken {
            // Checked when the ring was made.
            if let Ok(fault) = fault_of(&self.fault, *number) {
                state.history.inject(&fault, state.topology.workloads.keys())?;
            }
        }
        Ok(())
    }

    /// Each calls the next.
    pub(super) fn calls(&self) -> Vec<Call> {
        (0..self.size)
            .map(|number| Call {
                from: workload(number),
                to: Destination::Service {
                    namespace: NAMESPACE.to_owned(),
                    name: name((number + 1) % self.size),
                    port: PORT,
                },
                kind: CallKind::App,
                payload: Payload::Http,
                alpn: Vec::new(),
                subset: None,
                endpoint: None,
            })
            .collect()
    }

    /// Every broken workload, with the destinations whose failures point to it: itself, and the one that it calls.
    pub(super) fn broken(&self) -> impl Iterator<Item = (WorkloadName, [String; 2])> {
        let host = |number: usize| format!("{}.{NAMESPACE}.svc.cluster.local:{PORT}", name(number));
        self.broken
            .iter()
            .map(move |number| (workload(*number), [host(*number), host((number + 1) % self.size)]))
    }

    /// A namespace with STRICT mTLS; a Deployment, an account and a Service for each.
    fn manifests(&self) -> String {
        let mut text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}, labels: {{istio-injection: enabled}}}}\n---\n\
             apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: strict, namespace: {NAMESPACE}}}\nspec: {{mtls: {{mode: STRICT}}}}\n"
        );
        for name in (0..self.size).map(name) {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec: {{selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{serviceAccountName: {name}, containers: [{{name: app, ports: [{{containerPort: {PORT}}}]}}]}}}}}}\n\
                 ---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\n\
                 ---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: {PORT}}}]}}\n"
            );
        }
        text
    }
}

/// How many of `size` are `fraction`, at least one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a few hundred"
)]
fn share(size: usize, fraction: f64) -> usize {
    ((size as f64 * fraction).round() as usize).clamp(1, size)
}

fn fault_of(kind: &str, number: usize) -> Result<Fault, RingError> {
    let written = serde_json::json!({ kind: {"workload": name(number), "name": format!("chaos-{number}")} });
    serde_json::from_value(written).map_err(|error| RingError {
        fault: kind.to_owned(),
        reason: error.to_string(),
    })
}

fn name(number: usize) -> String {
    format!("w{number}")
}

fn workload(number: usize) -> WorkloadName {
    WorkloadName {
        namespace: NAMESPACE.to_owned(),
        name: name(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_a_mesh_of_that_many_workloads_each_called_by_one() {
        let ring = Ring::new(5, 0.01, "expired-leaf", 1).unwrap();
        let mut state = ring.state(Version::new(1, 30, 3)).unwrap();
        assert_eq!(state.topology.workloads.len(), 5);
        assert_eq!(ring.calls().len(), 5);
        let healthy = state.conditions();
        ring.break_it(&mut state).unwrap();
        assert_ne!(state.conditions(), healthy);
    }

    #[test]
    fn a_fraction_is_at_least_one_and_the_same_for_the_same_seed() {
        let broken = |fraction, seed| Ring::new(100, fraction, "expired-leaf", seed).unwrap().broken;
        for (fraction, count) in [(0.0, 1), (0.01, 1), (0.05, 5), (1.0, 100), (2.0, 100)] {
            assert_eq!(broken(fraction, 1).len(), count, "{fraction}");
        }
        assert_eq!(broken(0.1, 7), broken(0.1, 7));
        assert_ne!(broken(0.1, 7), broken(0.1, 8));
    }

    #[test]
    fn what_is_no_fault_is_said_to_be_none() {
        for fault in ["no-such", "san-suffix"] {
            let error = Ring::new(3, 0.1, fault, 1).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
    }
}
