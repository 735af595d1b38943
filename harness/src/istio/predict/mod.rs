//! What will become of a call, by which side, and which objects decide it.
//!
//! The call is followed as its bytes would go: what the client's end makes of them, which chain of the server's proxy
//! they match, and, where both ends speak TLS, how each judges the other's certificate.

mod certificate;
mod client;
mod negotiation;
pub(super) mod secrets;
mod server;

use super::RuleId;
use super::policy::Because;
use super::releases;
use super::topology::Topology;
use crate::call::Call;
use crate::fault::Conditions;
use crate::outcome::Outcome;

/// The predicted outcome of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The outcome; `unknown` where something outside of the rules takes part.
    pub outcome: Outcome,
    /// The objects and rules that decided, in order of decision.
    pub because: Vec<Because>,
}

/// Predicts a call in a mesh whose certificates are as `conditions` say. Workloads without an entry there hold healthy
/// certificates of the mesh's own root.
#[must_use]
pub fn predict(topology: &Topology, conditions: &Conditions, call: &Call) -> Prediction {
    let mut because = Vec::new();
    let outcome = client::Caller {
        topology,
        conditions,
        call,
    }
    .outcome(&mut because);
    if !releases::are_verified(&topology.release) {
        because.push(Because {
            object: None,
            rule: RuleId::ReleaseRulesNotVerified,
        });
    }
    Prediction { outcome, because }
}
