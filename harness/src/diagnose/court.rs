//! From all that was seen to one verdict on a call.

use super::agree::Sources;
use super::cause::Cause;
use super::change::{Change, Parameter};
use super::ends;
use super::inferred::Inferred;
use super::observed::{Observed, ProxySeen};
use super::presumed::{self, below_tls};
use super::remedy::{Remedies, Remedy};
use super::told::{Reading, Told};
use super::trial::{Cure, Trial};
use super::verdict::{Confidence, Responsible, Verdict};
use super::{Probed, state};
use crate::call::{Call, CallKind, PodName};
use crate::fault::Conditions;
use crate::istio::{Prediction, Topology, predict};
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::snapshot::Snapshot;

/// How many objects are held responsible.
const RESPONSIBLE: usize = 3;

/// What verdicts rest on.
pub(super) struct Court<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) topology: &'a Topology,
    pub(super) observed: &'a Observed,
    pub(super) inferred: &'a Inferred,
    pub(super) told: &'a Told,
    pub(super) remedies: &'a Remedies,
    /// Parts of the input that could not be read.
    pub(super) gaps: usize,
}

/// What is responsible, and the change that would help.
struct Blame {
    cause: Cause,
    responsible: Vec<Responsible>,
    change: Option<Change>,
}

impl Court<'_> {
    /// The verdict on a call.
    pub(super) fn verdict(&self, call: &Call) -> Verdict {
        let (call, conditions, prediction) = self.worst(call);
        let trial = Trial {
            seen: state::Seen {
                snapshot: self.snapshot,
                topology: self.topology,
                inferred: self.inferred,
                conditions: &conditions,
            },
            call: &call,
        };
        let cures = match prediction.outcome.id.is_delivered() {
            true => Vec::new(),
            false => trial.cures(&prediction),
        };
        let expected = told_apart(&prediction.outcome, &cures);
        let domain = &self.topology.mesh.cluster_domain;
        let reading = self.told.of(&call, domain, self.observed);
        let probed = self.observed.probe.seen().filter(|it| it.is_of(&call));
        let is_held_known = self.shows(&call, &|it| it.config.seen().is_some());
        let mut agreed = Sources {
            expected: &expected,
            reading: reading.as_ref(),
            probed,
            is_held_known,
            is_silent: self.would_be_logged(&call),
        }
        .agree();
        if self.gaps > 0 || (!is_held_known && !is_of_policy(&prediction, &cures)) {
            agreed.confidence = agreed.confidence.min(Confidence::Medium);
        }
        let raised_by = match agreed.confidence {
            Confidence::High => Vec::new(),
            _ => self.missing(&call, &agreed.outcome, &prediction),
        };
        let blame = self.blame(
            &call,
            &agreed.outcome,
            &agreed.suspects,
            &expected,
            &prediction,
            &cures,
        );
        let remedy = blame
            .as_ref()
            .and_then(|it| self.remedy(it, &agreed.outcome, &call));
        Verdict {
            from: call.from.to_string(),
            to: to(&call, domain),
            reproduced_by: remedy.as_ref().and_then(|it| it.reproduced_by.clone()),
            evidence: evidence(&prediction, reading.as_ref(), probed),
            outcome: agreed.outcome,
            cause: blame.as_ref().map(|it| it.cause),
            responsible: blame.map(|it| it.responsible).unwrap_or_default(),
            confidence: agreed.confidence,
            raised_by,
            suspects: agreed.suspects,
            remedy,
        }
    }

    /// Of all pods that the call may be between, those between which it fails; the state they are in, and what becomes of
    /// it there.
    fn worst(&self, call: &Call) -> (Call, Conditions, Prediction) {
        let clients = self.inferred.kinds_of(&call.from);
        let mut first = None;
        for server in self.servers(call) {
            let call = Call {
                endpoint: server.clone().filter(|it| self.is_named_by(call, it)),
                ..call.clone()
            };
            let servers = match &server {
                Some(pod) => self.kinds_of_pod(pod),
                None => Vec::new(),
            };
            for pods in pairs(&clients, &servers) {
                let conditions = self.inferred.conditions(&pods);
                let prediction = predict(self.topology, &conditions, &call);
                let fails = !prediction.outcome.id.is_delivered();
                let found = (call.clone(), conditions, prediction);
                if fails {
                    return found;
                }
                first.get_or_insert(found);
            }
        }
        first.unwrap_or_else(|| {
            let conditions = self.inferred.conditions(&[]);
            let prediction = predict(self.topology, &conditions, call);
            (call.clone(), conditions, prediction)
        })
    }

    /// The pods to tell apart: one of each workload that may answer, unless the call names one.
    fn servers(&self, call: &Call) -> Vec<Option<PodName>> {
        if call.endpoint.is_some() {
            return vec![call.endpoint.clone()];
        }
        let mut found: Vec<Option<PodName>> = Vec::new();
        for (pod, _) in ends::answering(self.topology, call) {
            let is_new = |it: &Option<PodName>| it.as_ref().is_none_or(|it| it.workload != pod.workload);
            if found.iter().all(is_new) {
                found.push(Some(pod));
            }
        }
        if found.is_empty() {
            found.push(None);
        }
        found
    }

    /// Whether a call can name a pod as its endpoint: a pod of the Service, not one that a route leads to.
    fn is_named_by(&self, call: &Call, pod: &PodName) -> bool {
        let is_of_service = call.kind != CallKind::Mirrored && call.to.service().is_some();
        call.endpoint.is_some()
            || (is_of_service && self.topology.reached(&call.to).iter().any(|(it, _)| it == pod))
    }

    /// A pod that was seen itself, else those of its workload that were.
    fn kinds_of_pod<'p>(&'p self, pod: &'p PodName) -> Vec<&'p PodName> {
        match self.observed.proxies.contains_key(pod) && pod.ordinal > 0 {
            true => vec![pod],
            false => self.inferred.kinds_of(&pod.workload),
        }
    }

    /// Whether every end that has a proxy shows something of it.
    fn shows(&self, call: &Call, seen: &dyn Fn(&ProxySeen) -> bool) -> bool {
        let mut ends = ends::servers(self.topology, call);
        ends.push(call.from.clone());
        ends.retain(|it| self.topology.has_sidecar(it));
        let mut each = ends.iter();
        each.all(|it| self.observed.of(it).any(|(_, proxy)| seen(proxy)))
    }

    /// Whether a failure of the call would be in a log that was read.
    fn would_be_logged(&self, call: &Call) -> bool {
        let mut own = self.observed.of(&call.from);
        call.kind == CallKind::App && own.any(|(_, proxy)| proxy.log.seen().is_some())
    }

    /// What would make the verdict surer.
    fn missing(&self, call: &Call, outcome: &Outcome, prediction: &Prediction) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.shows(call, &|it| it.config.seen().is_some()) {
            let dumps = "what the proxies of both ends have in force (config dumps), certificates above all";
            missing.push(dumps.to_owned());
        }
        if !self.shows(call, &|it| it.log.seen().is_some()) {
            missing.push("the logs of both ends' proxies".to_owned());
        } else if !outcome.id.is_delivered() && self.told.findings().is_empty() {
            let access =
                "access logs: the proxies log no failure (manifests/visibility turns on what Istio hides)";
            missing.push(access.to_owned());
        }
        if self.gaps > 0 {
            let gaps = self.gaps;
            missing.push(format!("the {gaps} parts of the input that could not be read"));
        }
        if let Some(why) = &prediction.outcome.reason {
            missing.push(format!("a look by eye: {why}"));
        }
        if self.observed.probe.seen().is_none() {
            let probe = "a call made by an agent inside of the mesh, over a fresh connection";
            missing.push(probe.to_owned());
        }
        missing
    }

    fn blame(
        &self,
        call: &Call,
        outcome: &Outcome,
        suspects: &[OutcomeId],
        expected: &Outcome,
        prediction: &Prediction,
        cures: &[Cure],
    ) -> Option<Blame> {
        if outcome.id.is_delivered() {
            return None;
        }
        if outcome.id == OutcomeId::Unknown {
            // What all that is left has in common.
            let mut causes = suspects.iter().map(|it| below_tls(*it));
            let first = causes.next().flatten()?;
            return causes.all(|it| it == Some(first)).then(|| Blame {
                cause: first,
                responsible: self.called(call, first),
                change: None,
            });
        }
        let is_explained = outcome.id == expected.id;
        if let Some(cure) = cures.first().filter(|_| is_explained) {
            let change = cure.changes.first()?;
            return Some(Blame {
                cause: change.cause(),
                responsible: self.cured(cures),
                change: Some(change.clone()),
            });
        }
        if let Some(cause) = below_tls(outcome.id) {
            return Some(Blame {
                cause,
                responsible: self.called(call, cause),
                change: None,
            });
        }
        if let Some(change) = presumed::change(self.topology, call, outcome) {
            return Some(Blame {
                cause: change.cause(),
                responsible: vec![self.responsible(&change, None, false)],
                change: Some(change),
            });
        }
        let decided = prediction.because.iter().filter_map(|it| it.object.as_ref());
        let policies = decided.filter_map(|it| it.parse().ok()).filter(|it| {
            let stored = self.snapshot.get(it);
            stored.is_some_and(|it| it.object.is_policy())
        });
        let changes: Vec<Change> = policies.map(Change::Without).collect();
        let last = changes.last().filter(|_| is_explained)?.clone();
        Some(Blame {
            cause: last.cause(),
            responsible: vec![self.responsible(&last, None, false)],
            change: Some(last),
        })
    }

    /// What any of the cures would change.
    fn cured(&self, cures: &[Cure]) -> Vec<Responsible> {
        let mut found: Vec<Responsible> = Vec::new();
        for cure in cures {
            let together = cure.changes.len() > 1;
            for change in &cure.changes {
                let it = self.responsible(change, Some(cure.then.id), together);
                if !found.iter().any(|known| known.object == it.object) {
                    found.push(it);
                }
            }
        }
        found.truncate(RESPONSIBLE);
        found
    }

    fn responsible(&self, change: &Change, then: Option<OutcomeId>, together: bool) -> Responsible {
        Responsible {
            object: change.object(self.topology).to_string(),
            cause: change.cause(),
            then,
            together,
        }
    }

    /// The workloads that are called, where no object is to blame.
    fn called(&self, call: &Call, cause: Cause) -> Vec<Responsible> {
        let servers = ends::servers(self.topology, call);
        let found = servers
            .iter()
            .filter_map(|it| self.topology.workloads.get(it))
            .map(|it| Responsible {
                object: it.object.to_string(),
                cause,
                then: None,
                together: false,
            });
        found.take(RESPONSIBLE).collect()
    }

    fn remedy(&self, blame: &Blame, outcome: &Outcome, call: &Call) -> Option<Remedy> {
        let change = blame.change.as_ref();
        self.remedies
            .remedy(blame.cause, outcome.id, call, change, self.topology)
    }
}

/// A missing cipher suite and a missing group look alike on the wire. What is configured tells them apart: what helps.
fn told_apart(outcome: &Outcome, cures: &[Cure]) -> Outcome {
    let both = [OutcomeId::TlsCipherMismatch, OutcomeId::TlsGroupMismatch];
    if outcome.id != OutcomeId::Unknown || outcome.candidates != both {
        return outcome.clone();
    }
    let mut changes = cures.iter().flat_map(|it| &it.changes);
    let parameter = changes.find_map(|it| match it {
        Change::Unlimited(_, _, parameter) => Some(*parameter),
        _ => None,
    });
    match parameter {
        Some(Parameter::Suites) => Outcome::refused(OutcomeId::TlsCipherMismatch, Side::Server),
        Some(Parameter::Groups) => Outcome::refused(OutcomeId::TlsGroupMismatch, Side::Server),
        _ => outcome.clone(),
    }
}

/// Whether the objects alone decide: then nothing that a proxy holds could change it.
fn is_of_policy(prediction: &Prediction, cures: &[Cure]) -> bool {
    let of_objects = |it: &Change| {
        matches!(
            it.cause(),
            Cause::DestinationRule
                | Cause::RuleTls
                | Cause::HiddenRule
                | Cause::PeerAuthentication
                | Cause::MissingSidecar
                | Cause::PortProtocol
        )
    };
    let mut changes = cures.iter().flat_map(|it| &it.changes);
    !prediction.outcome.id.is_delivered() && changes.any(of_objects)
}

fn pairs<'p>(clients: &[&'p PodName], servers: &[&'p PodName]) -> Vec<Vec<&'p PodName>> {
    let clients: Vec<Option<&PodName>> = match clients {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    let servers: Vec<Option<&PodName>> = match servers {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    clients
        .iter()
        .flat_map(|client| {
            servers
                .iter()
                .map(|server| client.iter().chain(server).copied().collect())
        })
        .collect()
}

fn to(call: &Call, domain: &str) -> String {
    let authority = call.to.authority(domain);
    match &call.endpoint {
        Some(pod) => format!("{authority} at {pod}"),
        None => authority,
    }
}

fn evidence(prediction: &Prediction, reading: Option<&Reading>, probed: Option<&Probed>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let decided = prediction.because.iter().map(|it| match &it.object {
        Some(object) => format!("{object}: {}", it.rule.meaning()),
        None => it.rule.meaning(),
    });
    for sentence in decided {
        if !found.contains(&sentence) {
            found.push(sentence);
        }
    }
    found.push(format!(
        "what is configured and held comes to {}",
        prediction.outcome
    ));
    if let Some(reading) = reading {
        found.push(format!(
            "{} of {} {} of {}: {}",
            match reading.count {
                1 => "a line".to_owned(),
                many => format!("{many} lines"),
            },
            reading.source,
            if reading.count == 1 { "tells" } else { "tell" },
            match reading.outcome {
                OutcomeId::Unknown => "a failure without naming it".to_owned(),
                named => named.to_string(),
            },
            reading.sample
        ));
    }
    if let Some(probed) = probed {
        found.push(format!(
            "a call made by {} became {}",
            probed.agent, probed.outcome
        ));
    }
    found
}
