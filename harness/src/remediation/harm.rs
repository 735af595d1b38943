//! Whether other calls would fail by a change, by the same prediction that made it a remedy.

use std::collections::BTreeSet;
use std::fmt;

use super::{Plan, RemediationError, edit};
use crate::call::Payload;
use crate::fault::Conditions;
use crate::istio::Topology;
use crate::istio::matrix::{CallShape, predict_ports};
use crate::istio::policy::ListenerClass;
use crate::snapshot::{Mixed, Snapshot};

/// How many calls are named.
const NAMED: usize = 3;

/// Calls that would fail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Harm {
    calls: Vec<String>,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<&str> = self.calls.iter().take(NAMED).map(String::as_str).collect();
        f.write_str(&named.join(", "))?;
        match self.calls.len().saturating_sub(NAMED) {
            0 => Ok(()),
            others => write!(f, ", and {others} more"),
        }
    }
}

impl Plan {
    /// Predicts all calls of the mesh without and with the change.
    ///
    /// # Errors
    /// [`RemediationError::Harmful`] when one fails by it that did not before.
    pub fn spare_others(&self, snapshot: &Snapshot) -> Result<(), RemediationError> {
        let mut changed = snapshot.clone();
        match &self.after {
            None => {
                // What is not in the snapshot decided nothing.
                let _ = changed.delete(&self.object);
            }
            Some(after) => {
                let mut mixed = Mixed::default();
                changed.add_mixed(&edit::text(after), "remedy", &mut mixed);
            }
        }
        let before = failing(snapshot);
        let calls: Vec<String> = failing(&changed).difference(&before).cloned().collect();
        match calls.is_empty() {
            true => Ok(()),
            false => Err(RemediationError::Harmful(Harm { calls })),
        }
    }
}

/// The calls between workloads that are predicted to fail. What proxies hold is left out: it does not change.
fn failing(snapshot: &Snapshot) -> BTreeSet<String> {
    let topology = Topology::new(snapshot, None);
    let mut failing = BTreeSet::new();
    for payload in [Payload::Http, Payload::Tcp] {
        let shape = CallShape {
            payload,
            ..CallShape::default()
        };
        let is_tcp = payload == Payload::Tcp;
        let matrix = predict_ports(&topology, &Conditions::default(), &shape, |port| {
            (port.class == ListenerClass::Tcp) == is_tcp
        });
        let refused = matrix.cells().filter(|it| !it.verdict.id.is_delivered());
        failing.extend(refused.map(|it| matrix.call(it.caller, it.column).to_string()));
    }
    failing
}
