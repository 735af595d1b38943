//! The one verdict on a call: what became of it, what is responsible, and how sure that is.

use serde::Serialize;

use super::Probed;
use super::change::{Cause, Change, Cure, Parameter, Trial};
use super::inferred::Inferred;
use super::observed::Observed;
use super::remedy::{Remedies, Remedy};
use super::told::{Reading, Told};
use crate::call::{Call, PodName};
use crate::fault::Conditions;
use crate::istio::{Prediction, Topology, predict};
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::snapshot::Snapshot;

/// How many candidates are told.
const CANDIDATES: usize = 3;

/// What became of a call, and why.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Who calls.
    pub from: String,
    /// What is called.
    pub to: String,
    /// What becomes of the call; a delivery where nothing speaks against one, `unknown` where nothing decides.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What kind of thing is responsible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The objects that are, the first of them first.
    pub responsible: Vec<Responsible>,
    /// How sure this is.
    pub confidence: Confidence,
    /// What would make it surer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raised_by: Vec<String>,
    /// What it could be, where it is not decided; the likeliest first, three at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<OutcomeId>,
    /// What the verdict rests on, a sentence each.
    pub evidence: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// The scenario of the catalogue that shows the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproduced_by: Option<String>,
}

impl Verdict {
    /// Whether both are of one failure: the same outcome by the same cause.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let first = |it: &Self| it.responsible.first().map(|it| it.object.clone());
        self.outcome.agrees_with(&other.outcome) && self.cause == other.cause && first(self) == first(other)
    }
}

/// Something without which the call would go through.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Responsible {
    /// `Kind/namespace/name`.
    pub object: String,
    /// What kind of cause it is.
    pub cause: Cause,
    /// What becomes of the call without it, or with it set right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<OutcomeId>,
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, strum::Display, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Confidence {
    /// One of several, or against other evidence.
    Low,
    /// One source says so, and none speaks against it.
    Medium,
    /// Sources that do not know each other agree, or there is no other possibility.
    High,
}

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

/// What the sources agree on.
struct Agreed {
    outcome: Outcome,
    confidence: Confidence,
    suspects: Vec<OutcomeId>,
}

impl Court<'_> {
    /// The verdict on a call.
    pub(super) fn verdict(&self, call: &Call) -> Verdict {
        let (call, conditions, prediction) = self.worst(call);
        let trial = Trial {
            snapshot: self.snapshot,
            topology: self.topology,
            inferred: self.inferred,
            conditions: &conditions,
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
        let mut agreed = agree(&expected, reading.as_ref(), probed);
        let mut raised_by = self.missing(&call, agreed.outcome.id, &prediction);
        let (looked, _) = self.ends_looked_at(&call);
        if self.gaps > 0 || (!looked && !is_of_policy(&prediction, &cures)) {
            agreed.confidence = agreed.confidence.min(Confidence::Medium);
        }
        if agreed.outcome.id == OutcomeId::Unknown && probed.is_none() {
            raised_by.push("a call made by an agent inside of the mesh, over a fresh connection".to_owned());
        }
        if agreed.confidence == Confidence::High {
            raised_by.clear();
        }
        let is_explained = agreed.outcome.id == expected.id;
        let cause = match (is_explained, cures.first()) {
            _ if agreed.outcome.id.is_delivered() || agreed.outcome.id == OutcomeId::Unknown => None,
            (true, Some(cure)) => Some(cure.change.cause()),
            _ => below_tls(agreed.outcome.id),
        };
        let responsible = match cause {
            None => Vec::new(),
            Some(cause) if !is_explained => self.servers(&call, cause),
            Some(cause) => match cures.is_empty() {
                true => self.servers(&call, cause),
                false => cures.iter().map(|it| self.responsible(it)).collect(),
            },
        };
        let remedy = cause.and_then(|cause| {
            let cure = cures.first().filter(|_| is_explained);
            self.remedies.remedy(
                cause,
                agreed.outcome.id,
                &call,
                cure.map(|it| &it.change),
                self.topology,
            )
        });
        Verdict {
            from: call.from.to_string(),
            to: to(&call, domain),
            reproduced_by: remedy.as_ref().and_then(|it| it.reproduced_by.clone()),
            evidence: evidence(&prediction, reading.as_ref(), probed),
            outcome: agreed.outcome,
            cause,
            responsible,
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
        for endpoint in self.endpoints(call) {
            let call = Call {
                endpoint: endpoint.clone(),
                ..call.clone()
            };
            let servers = match &endpoint {
                Some(pod) => self.pods_of_endpoint(pod),
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

    /// The endpoints to tell apart: one of each workload behind the destination, unless the call names one.
    fn endpoints(&self, call: &Call) -> Vec<Option<PodName>> {
        let service = call.to.service().filter(|_| call.endpoint.is_none());
        let Some((namespace, name, port)) = service else {
            return vec![call.endpoint.clone()];
        };
        let service = self.topology.service(namespace, name);
        let answering = service
            .map(|it| self.topology.answering(it, port))
            .unwrap_or_default();
        match answering.as_slice() {
            [] => vec![None],
            several => several.iter().cloned().map(Some).collect(),
        }
    }

    /// A pod that was seen itself, else those of its workload that were.
    fn pods_of_endpoint<'p>(&'p self, pod: &'p PodName) -> Vec<&'p PodName> {
        match self.observed.proxies.contains_key(pod) && pod.ordinal > 0 {
            true => vec![pod],
            false => self.inferred.kinds_of(&pod.workload),
        }
    }

    /// Whether both ends that have a proxy showed its configuration; and their logs.
    fn ends_looked_at(&self, call: &Call) -> (bool, bool) {
        let reached = self.topology.reached(&call.to);
        let mut workloads: Vec<_> = reached.into_iter().map(|(pod, _)| pod.workload).collect();
        workloads.push(call.from.clone());
        workloads.retain(|it| self.topology.has_sidecar(it));
        let shows = |seen: &dyn Fn(&super::ProxySeen) -> bool| {
            let mut each = workloads.iter();
            each.all(|it| self.observed.of(it).any(|(_, proxy)| seen(proxy)))
        };
        (
            shows(&|it| it.config.seen().is_some()),
            shows(&|it| it.log.seen().is_some()),
        )
    }

    fn missing(&self, call: &Call, outcome: OutcomeId, prediction: &Prediction) -> Vec<String> {
        let (configs, logs) = self.ends_looked_at(call);
        let mut missing = Vec::new();
        if !configs {
            missing.push(
                "what the proxies of both ends have in force (config dumps), certificates above all"
                    .to_owned(),
            );
        }
        if !logs {
            missing.push("the logs of both ends' proxies".to_owned());
        } else if !outcome.is_delivered() && self.told.findings().is_empty() {
            missing.push(
                "access logs: the proxies log no failure (manifests/visibility turns on what Istio hides)"
                    .to_owned(),
            );
        }
        if self.gaps > 0 {
            missing.push(format!(
                "the {} parts of the input that could not be read",
                self.gaps
            ));
        }
        missing.extend(
            prediction
                .outcome
                .reason
                .clone()
                .map(|why| format!("a look by eye: {why}")),
        );
        missing
    }

    fn responsible(&self, cure: &Cure) -> Responsible {
        Responsible {
            object: cure.change.object(self.topology).to_string(),
            cause: cure.change.cause(),
            then: Some(cure.then.id),
        }
    }

    /// The workloads that are called, where no object is to blame.
    fn servers(&self, call: &Call, cause: Cause) -> Vec<Responsible> {
        let pods = match &call.endpoint {
            Some(pod) => vec![pod.clone()],
            None => {
                let reached = self.topology.reached(&call.to);
                reached.into_iter().map(|(pod, _)| pod).collect()
            }
        };
        let objects = pods
            .iter()
            .filter_map(|pod| self.topology.workloads.get(&pod.workload))
            .map(|it| it.object.to_string());
        let mut found: Vec<Responsible> = Vec::new();
        for object in objects {
            if !found.iter().any(|it| it.object == object) {
                found.push(Responsible {
                    object,
                    cause,
                    then: None,
                });
            }
        }
        found
    }
}

/// What prediction, logs, and a probe make of the call together. None of them knows the others.
fn agree(expected: &Outcome, reading: Option<&Reading>, probed: Option<&Probed>) -> Agreed {
    let sure = |outcome: Outcome, confidence| Agreed {
        outcome,
        confidence,
        suspects: Vec::new(),
    };
    if let Some(Probed { outcome, .. }) = probed
        && outcome.id != OutcomeId::Unknown
    {
        let is_seconded = expected.agrees_with(outcome) || reading.is_some_and(|it| it.allows(outcome));
        let confidence = if is_seconded {
            Confidence::High
        } else {
            Confidence::Medium
        };
        return sure(outcome.clone(), confidence);
    }
    let Some(reading) = reading else {
        return match expected.id {
            OutcomeId::Unknown => undecided(expected.candidates.clone()),
            id if id.is_delivered() => sure(expected.clone(), Confidence::High),
            _ => sure(expected.clone(), Confidence::Medium),
        };
    };
    match (expected.id, reading.outcome) {
        (OutcomeId::Unknown, OutcomeId::Unknown) => {
            let both = in_common(&expected.candidates, &reading.candidates);
            match both.as_slice() {
                [one] => sure(Outcome::of(*one), Confidence::Medium),
                _ => undecided(both),
            }
        }
        (OutcomeId::Unknown, named) => {
            let is_possible = expected.candidates.is_empty() || expected.candidates.contains(&named);
            match is_possible {
                true => sure(reading.as_outcome(), Confidence::Medium),
                false => undecided([&[named], expected.candidates.as_slice()].concat()),
            }
        }
        (id, OutcomeId::Unknown) if id.is_delivered() => undecided(reading.candidates.clone()),
        // What is below TLS, or in the application, no configuration shows.
        (id, named) if id.is_delivered() => match below_tls(named) {
            Some(_) => sure(reading.as_outcome(), Confidence::High),
            None => sure(reading.as_outcome(), Confidence::Medium),
        },
        _ if reading.allows(expected) => sure(expected.clone(), Confidence::High),
        (id, named) => {
            let mut suspects = vec![id];
            match named {
                OutcomeId::Unknown => suspects.extend(&reading.candidates),
                named => suspects.push(named),
            }
            undecided(suspects)
        }
    }
}

fn undecided(mut suspects: Vec<OutcomeId>) -> Agreed {
    let mut seen = Vec::new();
    suspects.retain(|it| {
        let is_new = !seen.contains(it);
        seen.push(*it);
        is_new
    });
    let outcome = Outcome::unknown(suspects.clone(), "what was seen does not decide");
    suspects.truncate(CANDIDATES);
    Agreed {
        outcome,
        confidence: Confidence::Low,
        suspects,
    }
}

/// What both leave open; one that names nothing excludes nothing.
fn in_common(ours: &[OutcomeId], theirs: &[OutcomeId]) -> Vec<OutcomeId> {
    match (ours.is_empty(), theirs.is_empty()) {
        (true, _) => theirs.to_vec(),
        (_, true) => ours.to_vec(),
        _ => ours.iter().filter(|it| theirs.contains(it)).copied().collect(),
    }
}

impl Reading {
    /// Whether the lines do not speak against an outcome.
    fn allows(&self, outcome: &Outcome) -> bool {
        let is_side = self.side.is_none() || outcome.side.is_none() || self.side == outcome.side;
        let is_outcome = match self.outcome {
            OutcomeId::Unknown => self.candidates.is_empty() || self.candidates.contains(&outcome.id),
            named => named == outcome.id,
        };
        is_side && is_outcome
    }

    fn as_outcome(&self) -> Outcome {
        Outcome {
            side: self.side,
            ..Outcome::of(self.outcome)
        }
    }
}

/// A missing cipher suite and a missing group look alike on the wire. What is configured tells them apart: what helps.
fn told_apart(outcome: &Outcome, cures: &[Cure]) -> Outcome {
    let both = [OutcomeId::TlsCipherMismatch, OutcomeId::TlsGroupMismatch];
    if outcome.id != OutcomeId::Unknown || outcome.candidates != both {
        return outcome.clone();
    }
    let parameter = cures.iter().find_map(|it| match it.change {
        Change::Unlimited(_, _, parameter) => Some(parameter),
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
    let of_objects = |it: &Cure| {
        matches!(
            it.change.cause(),
            Cause::DestinationRule | Cause::PeerAuthentication | Cause::MissingSidecar | Cause::PortProtocol
        )
    };
    !prediction.outcome.id.is_delivered() && cures.iter().any(of_objects)
}

/// The cause of what mTLS has no part in.
const fn below_tls(id: OutcomeId) -> Option<Cause> {
    match id {
        OutcomeId::ConnectTimeout
        | OutcomeId::HandshakeTimeout
        | OutcomeId::ConnectionRefused
        | OutcomeId::ConnectionReset
        | OutcomeId::NoRoute
        | OutcomeId::NoHealthyUpstream
        | OutcomeId::ServerFirstStall
        | OutcomeId::Misrouted => Some(Cause::BelowTls),
        _ => None,
    }
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
