//! What becomes of a kind of call: a prediction without the names of the two ends.

use std::fmt;

use crate::call::Call;
use crate::istio::policy::Because;
use crate::istio::{Prediction, RuleId, Topology};
use crate::outcome::{Outcome, OutcomeId, Side, Transport};

/// A prediction that holds for many calls: objects that belong to one end of the call stand for themselves.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Verdict {
    /// The outcome.
    pub id: OutcomeId,
    /// The end that refuses.
    pub side: Option<Side>,
    /// How bytes travelled, where the id does not tell.
    pub transport: Option<Transport>,
    /// With `unknown`: what it could be.
    pub candidates: Vec<OutcomeId>,
    /// What decides, in order.
    pub because: Vec<Step>,
}

/// One step of a decision.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Step {
    /// What made the rule apply.
    pub by: Decider,
    /// The rule.
    pub rule: RuleId,
}

/// What made a rule apply.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Decider {
    /// The calling workload itself.
    Caller,
    /// The Service called.
    Service,
    /// A workload behind the Service called.
    Server,
    /// Another object, `Kind/namespace/name`.
    Object(String),
    /// No object: a default.
    Default,
}

impl Verdict {
    /// What a prediction says about calls like this one.
    #[must_use]
    pub fn new(topology: &Topology, call: &Call, prediction: Prediction) -> Self {
        let ends = Ends::of(topology, call);
        let Outcome {
            id,
            side,
            transport,
            candidates,
            ..
        } = prediction.outcome;
        Self {
            id,
            side,
            transport,
            candidates,
            because: prediction.because.into_iter().map(|it| ends.step(it)).collect(),
        }
    }

    /// The outcome.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            side: self.side,
            transport: self.transport,
            candidates: self.candidates.clone(),
            ..Outcome::of(self.id)
        }
    }
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Caller => "the caller",
            Self::Service => "the Service",
            Self::Server => "the server",
            Self::Object(object) => object,
            Self::Default => "by default",
        })
    }
}

/// The objects that belong to the ends of a call.
struct Ends {
    caller: Option<String>,
    service: Option<String>,
    servers: Vec<String>,
}

impl Ends {
    fn of(topology: &Topology, call: &Call) -> Self {
        let service = call.to.service();
        let service = service.and_then(|(namespace, name, _)| topology.service(namespace, name));
        let object = |name| topology.workloads.get(name).map(|it| it.object.to_string());
        Self {
            caller: object(&call.from).filter(|_| call.kind.is_of_application()),
            service: service.map(|it| it.object().to_string()),
            servers: service
                .into_iter()
                .flat_map(|it| &it.workloads)
                .filter_map(object)
                .collect(),
        }
    }

    fn step(&self, because: Because) -> Step {
        let about_caller = matches!(
            because.rule,
            RuleId::ClientWithoutSidecar | RuleId::UnmodelledClient
        );
        let by = match because.object {
            None => Decider::Default,
            it if about_caller && it == self.caller => Decider::Caller,
            it if it == self.service => Decider::Service,
            Some(object) if !about_caller && self.servers.contains(&object) => Decider::Server,
            Some(object) => Decider::Object(object),
        };
        Step {
            by,
            rule: because.rule,
        }
    }
}
