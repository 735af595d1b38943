//! What would have let a call through: whatever would is responsible for its failure.
//!
//! Each [`Change`] is made to a copy of the state and the call predicted anew, by the one engine. So a remedy is known to
//! help before anybody tries it, and an object that merely takes part is not blamed.

use std::collections::BTreeSet;

use super::change::{Change, PARTS, Parameter, Part};
use super::ends;
use super::state::Seen;
use crate::call::{Call, CallKind, Payload, WorkloadName};
use crate::istio::policy::ListenerClass;
use crate::istio::{Prediction, host};
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::pki::Validity;
use crate::snapshot::{Object, ObjectRef};

/// What lets the call through.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cure {
    /// One change, or several of which none can be left out.
    pub(super) changes: Vec<Change>,
    /// What becomes of the call then.
    pub(super) then: Outcome,
}

/// A call, in the state in which it fails.
pub(super) struct Trial<'a> {
    pub(super) seen: Seen<'a>,
    pub(super) call: &'a Call,
}

impl Trial<'_> {
    /// Every single change after which the call is delivered: those that keep it mTLS first, then in the order in which
    /// the call meets what they change. Where none helps alone, those that only help together.
    pub(super) fn cures(&self, prediction: &Prediction) -> Vec<Cure> {
        let changes = self.changes(prediction);
        let mut cures: Vec<Cure> = Vec::new();
        for change in &changes {
            let then = self.seen.after(std::slice::from_ref(change), self.call);
            if then.id.is_delivered() {
                let changes = vec![change.clone()];
                cures.push(Cure { changes, then });
            }
        }
        if cures.is_empty() {
            cures.extend(self.joint(changes));
        }
        cures.sort_by_key(|it| {
            let is_usual = it.changes.iter().all(|change| self.is_usual(change));
            (it.then.id != OutcomeId::Mtls, is_usual)
        });
        cures
    }

    /// Of all changes together, those of which none can be left out; the boldest are left out first.
    fn joint(&self, mut changes: Vec<Change>) -> Option<Cure> {
        let mut then = self.seen.after(&changes, self.call);
        if !then.id.is_delivered() {
            // A client without mTLS may not be what the others have in mind.
            changes.retain(|it| it.boldness() < 3);
            then = self.seen.after(&changes, self.call);
        }
        if !then.id.is_delivered() {
            return None;
        }
        let mut order: Vec<Change> = changes.clone();
        order.sort_by_key(|it| std::cmp::Reverse(it.boldness()));
        for change in order {
            let others: Vec<Change> = changes.iter().filter(|it| **it != change).cloned().collect();
            let without = self.seen.after(&others, self.call);
            if without.id.is_delivered() {
                (changes, then) = (others, without);
            }
        }
        // The one that is unlike most others is the likeliest to be wrong.
        changes.sort_by_key(|it| self.is_usual(it));
        Some(Cure { changes, then })
    }

    fn changes(&self, prediction: &Prediction) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        let deciding = self.deciding(prediction);
        // A rule before a policy: a policy says what is wanted, a rule how a client goes about it.
        let (policies, rules): (Vec<_>, Vec<_>) = deciding
            .into_iter()
            .partition(|it| it.kind == "PeerAuthentication");
        for rule in rules {
            let without = Change::Without(rule.clone());
            match self.says_more_than_tls(&rule) {
                true => changes.extend([Change::Mutual(rule), without]),
                false => changes.extend([without, Change::Mutual(rule)]),
            }
        }
        for rule in self.rules_of_host() {
            changes.extend([Change::Mutual(rule.clone()), Change::Exported(rule)]);
        }
        changes.extend(self.without_sidecar().into_iter().map(Change::WithSidecar));
        changes.extend(self.port().map(|(service, port)| Change::AsTcp(service, port)));
        if self.seen.snapshot.mesh.min_protocol_version.is_some() {
            changes.push(Change::NoVersionFloor);
        }
        changes.extend(self.of_ends());
        let roots = &self.seen.conditions.credentials.roots;
        if !roots.values().all(|it| *it == Validity::Current) {
            changes.push(Change::RootsRenewed);
        }
        if self.call.payload == Payload::ServerFirst {
            let ports = ends::answering(self.seen.topology, self.call);
            changes.extend(
                ports
                    .into_iter()
                    .map(|(pod, port)| Change::Uninspected(pod.workload, port)),
            );
        }
        changes.extend(policies.into_iter().map(Change::Without));
        let mut each: Vec<Change> = Vec::new();
        for change in changes {
            if !each.contains(&change) {
                each.push(change);
            }
        }
        each
    }

    /// The objects of policy that took part in the prediction.
    fn deciding(&self, prediction: &Prediction) -> BTreeSet<ObjectRef> {
        let objects = prediction.because.iter().filter_map(|it| it.object.as_ref());
        let parsed = objects.filter_map(|it| it.parse::<ObjectRef>().ok());
        let is_policy = |it: &ObjectRef| {
            let stored = self.seen.snapshot.get(it);
            stored.is_some_and(|it| it.object.is_policy())
        };
        parsed.filter(is_policy).collect()
    }

    /// What is wrong with what both ends hold and take.
    fn of_ends(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (workload, side) in self.ends() {
            let held = self.seen.conditions.credentials.workloads.get(&workload);
            let Some(held) = held else { continue };
            for part in PARTS {
                let mut repaired = held.clone();
                self.seen.repair(&mut repaired, &workload, part);
                if repaired != *held {
                    changes.push(Change::Repaired(workload.clone(), part));
                }
            }
            changes.extend(self.stranger(&held.identity).map(Change::Alias));
            if let Some(limits) = self.seen.conditions.limits(&workload, side) {
                // What both ends might lack is told apart by what helps: the narrower parameter first.
                for parameter in [Parameter::Groups, Parameter::Suites, Parameter::Versions] {
                    let mut lifted = limits.clone();
                    parameter.lift(&mut lifted);
                    if lifted != *limits {
                        changes.push(Change::Unlimited(workload.clone(), side, parameter));
                    }
                }
            }
        }
        changes
    }

    /// Both ends of the call.
    fn ends(&self) -> Vec<(WorkloadName, Side)> {
        let mut ends = vec![(self.call.from.clone(), Side::Client)];
        for server in ends::servers(self.seen.topology, self.call) {
            let end = (server, Side::Server);
            if !ends.contains(&end) {
                ends.push(end);
            }
        }
        ends
    }

    /// The caller and every workload that may answer, or stands beside one that may, if they have no sidecar: clients call
    /// all pods of a headless Service alike.
    fn without_sidecar(&self) -> Vec<WorkloadName> {
        let mut found: Vec<WorkloadName> = Vec::new();
        let behind = self.seen.topology.reached(&self.call.to);
        let ends = self.ends().into_iter().map(|(name, _)| name);
        for name in ends.chain(behind.into_iter().map(|(pod, _)| pod.workload)) {
            let is_there = self.seen.topology.workloads.contains_key(&name);
            if is_there && !self.seen.topology.has_sidecar(&name) && !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }

    /// Whether deleting a rule would take more away than what it says of TLS.
    fn says_more_than_tls(&self, rule: &ObjectRef) -> bool {
        let stored = self.seen.snapshot.get(rule);
        let Some(Object::DestinationRule(rule)) = stored.map(|it| &it.object) else {
            return false;
        };
        let mut policy = rule.spec.traffic_policy.clone().unwrap_or_default();
        policy.tls = None;
        policy != crate::snapshot::api::TrafficPolicy::default() || !rule.spec.subsets.is_empty()
    }

    /// The DestinationRules of the host that is called, whether the caller sees them or not.
    fn rules_of_host(&self) -> Vec<ObjectRef> {
        let Some((namespace, name, _)) = self.call.to.service() else {
            return Vec::new();
        };
        let is_through_sidecar = matches!(self.call.kind, CallKind::App | CallKind::Mirrored)
            && self.seen.topology.has_sidecar(&self.call.from);
        let service = self.seen.topology.service(namespace, name);
        let Some(service) = service.filter(|_| is_through_sidecar) else {
            return Vec::new();
        };
        let domain = &self.seen.topology.mesh.cluster_domain;
        let objects = self.seen.snapshot.objects();
        let rules = objects.filter_map(|(object, stored)| match &stored.object {
            Object::DestinationRule(rule) => {
                let namespace = object.namespace.as_deref().unwrap_or_default();
                let pattern = host::resolve(&rule.spec.host, namespace, domain);
                host::matches(&pattern, &service.host).then(|| object.clone())
            }
            _ => None,
        });
        rules.collect()
    }

    /// The Service port that is declared as HTTP, or as nothing, where something else is spoken.
    fn port(&self) -> Option<(ObjectRef, u16)> {
        let (namespace, name, port) = self.call.to.service()?;
        let service = self.seen.topology.service(namespace, name)?;
        let declared = service.port(port)?;
        let is_wrong = self.call.payload != Payload::Http && declared.class != ListenerClass::Tcp;
        is_wrong.then(|| (service.object(), port))
    }

    /// The trust domain of an identity, if it is none that servers accept.
    fn stranger(&self, identity: &str) -> Option<String> {
        let domain = identity.strip_prefix("spiffe://")?.split('/').next()?;
        let known = self.seen.topology.trust_domains();
        (!known.iter().any(|it| it == domain)).then(|| domain.to_owned())
    }

    /// Whether what the change is about is as it is with most others: then it is less likely the one that is wrong.
    fn is_usual(&self, change: &Change) -> bool {
        let Change::Repaired(workload, part) = change else {
            return false;
        };
        let Some(held) = self.seen.conditions.credentials.workloads.get(workload) else {
            return false;
        };
        let usual = self.seen.inferred.usual_bundle();
        match part {
            Part::Bundle => usual == held.bundle,
            Part::Issuer => usual.contains(&held.issuer),
            _ => false,
        }
    }
}
