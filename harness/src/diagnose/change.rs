//! What could be different, one thing at a time: whatever would have let the call through is responsible for its failure.
//!
//! Each [`Change`] is made to a copy of the state and the call predicted anew, by the one engine. So a remedy is known to
//! help before anybody tries it, and an object that merely takes part is not blamed.

use std::collections::BTreeSet;

use serde::Serialize;

use super::inferred::Inferred;
use crate::call::{Call, Payload, PodName, WorkloadName};
use crate::fault::{Conditions, TlsLimits};
use crate::istio::policy::{ListenerClass, Sidecar};
use crate::istio::{Prediction, Topology, predict};
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::pki::{Revocation, Supply, Validity, WorkloadCredentials};
use crate::snapshot::{Object, ObjectRef, Snapshot};

/// What kind of thing is responsible. The id is that of remedies (`manifests/remedies.yaml`).
#[derive(
    Clone,
    Copy,
    Debug,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Cause {
    /// A DestinationRule.
    DestinationRule,
    /// A PeerAuthentication.
    PeerAuthentication,
    /// A VirtualService.
    VirtualService,
    /// Pods without a sidecar.
    MissingSidecar,
    /// The protocol that a Service's port is declared to speak.
    PortProtocol,
    /// The mesh configuration.
    MeshConfig,
    /// A trust domain that servers do not accept.
    TrustDomain,
    /// The identity in a workload's certificate.
    Identity,
    /// A workload's certificate, which is over or not valid yet.
    Leaf,
    /// What a workload's certificate may be used for.
    KeyUsage,
    /// A workload's certificate, which is revoked.
    Revoked,
    /// An authority, which is over.
    Authority,
    /// A chain without its intermediate.
    Chain,
    /// Who issued a workload's certificate.
    Issuer,
    /// The roots that a workload trusts.
    TrustBundle,
    /// The revocation lists that a workload checks.
    RevocationLists,
    /// A secret that a proxy waits for.
    Secret,
    /// What TLS a proxy takes.
    TlsParameters,
    /// The network, or the application behind the proxy.
    BelowTls,
}

/// One thing that could be different.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// An object of policy is deleted.
    Without(ObjectRef),
    /// A workload's pods have a sidecar.
    WithSidecar(WorkloadName),
    /// A port of a Service is declared as TCP.
    AsTcp(ObjectRef, u16),
    /// The mesh configuration raises no floor of TLS versions.
    NoVersionFloor,
    /// Servers accept clients, and clients servers, of another trust domain too.
    Alias(String),
    /// A part of what a workload holds is as it should be.
    Repaired(WorkloadName, Part),
    /// All roots are valid.
    RootsRenewed,
    /// A proxy takes of one parameter of TLS what istiod configures.
    Unlimited(WorkloadName, Side, Parameter),
}

/// A part of what a workload holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Identity,
    Leaf,
    Usage,
    Revoked,
    Intermediate,
    Chain,
    Issuer,
    Bundle,
    Lists,
    Supply,
}

/// A parameter of TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Parameter {
    Versions,
    Suites,
    Groups,
}

/// A change that lets the call through.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cure {
    pub(super) change: Change,
    /// What becomes of the call then.
    pub(super) then: Outcome,
}

/// The state in which a call is predicted.
pub(super) struct Trial<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) topology: &'a Topology,
    pub(super) inferred: &'a Inferred,
    pub(super) conditions: &'a Conditions,
    pub(super) call: &'a Call,
}

const PARTS: [Part; 10] = [
    Part::Supply,
    Part::Leaf,
    Part::Identity,
    Part::Usage,
    Part::Revoked,
    Part::Lists,
    Part::Intermediate,
    Part::Chain,
    Part::Issuer,
    Part::Bundle,
];

impl Trial<'_> {
    /// Every single change after which the call is delivered: those that keep it mTLS first, then in the order in which
    /// the call meets what they change.
    pub(super) fn cures(&self, prediction: &Prediction) -> Vec<Cure> {
        let mut cures: Vec<Cure> = Vec::new();
        for change in self.changes(prediction) {
            let then = self.after(&change);
            if then.id.is_delivered() && !cures.iter().any(|it| it.change == change) {
                cures.push(Cure { change, then });
            }
        }
        cures.sort_by_key(|it| (it.then.id != OutcomeId::Mtls, self.is_usual(&it.change)));
        cures
    }

    /// What becomes of the call after a change.
    pub(super) fn after(&self, change: &Change) -> Outcome {
        let (mut snapshot, mut conditions) = (None, None);
        let mut topology = None;
        match change {
            Change::Without(object) => {
                let mut without = self.snapshot.clone();
                // What is not there needs no deletion.
                let _ = without.delete(object);
                snapshot = Some(without);
            }
            Change::AsTcp(service, port) => snapshot = self.as_tcp(service, *port),
            Change::NoVersionFloor => {
                let mut changed = self.snapshot.clone();
                changed.mesh.min_protocol_version = None;
                snapshot = Some(changed);
            }
            Change::Alias(domain) => {
                let mut changed = self.snapshot.clone();
                changed.mesh.trust_domain_aliases.push(domain.clone());
                snapshot = Some(changed);
            }
            Change::WithSidecar(workload) => {
                let mut changed = self.topology.clone();
                if let Some(it) = changed.workloads.get_mut(workload) {
                    let release = self.topology.release.clone();
                    it.sidecar = Sidecar::Injected { release };
                    it.tls_mode = true;
                }
                topology = Some(changed);
            }
            Change::Repaired(workload, part) => {
                let mut changed = self.conditions.clone();
                if let Some(held) = changed.credentials.workloads.get_mut(workload) {
                    self.repair(held, workload, *part);
                }
                conditions = Some(changed);
            }
            Change::RootsRenewed => {
                let mut changed = self.conditions.clone();
                changed.credentials.roots.clear();
                conditions = Some(changed);
            }
            Change::Unlimited(workload, side, parameter) => {
                let mut changed = self.conditions.clone();
                let limits = changed.tls_limits.get_mut(workload);
                if let Some(limits) = limits.and_then(|it| it.get_mut(side)) {
                    parameter.lift(limits);
                }
                conditions = Some(changed);
            }
        }
        // Pods stay as they are: nothing of this restarts them.
        let topology = topology.or_else(|| Some(Topology::new(snapshot.as_ref()?, Some(self.topology))));
        predict(
            topology.as_ref().unwrap_or(self.topology),
            conditions.as_ref().unwrap_or(self.conditions),
            self.call,
        )
        .outcome
    }

    fn changes(&self, prediction: &Prediction) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        let objects = prediction.because.iter().filter_map(|it| it.object.as_ref());
        let objects: BTreeSet<ObjectRef> = objects.filter_map(|it| it.parse().ok()).collect();
        let is_policy = |it: &&ObjectRef| {
            let stored = self.snapshot.get(it);
            stored.is_some_and(|it| it.object.is_policy())
        };
        // A rule before a policy: a policy says what is wanted, a rule how a client goes about it.
        let (rules, policies): (Vec<_>, Vec<_>) = objects
            .iter()
            .filter(is_policy)
            .partition(|it| it.kind != "PeerAuthentication");
        changes.extend(rules.into_iter().cloned().map(Change::Without));
        for workload in self.workloads() {
            changes.push(Change::WithSidecar(workload));
        }
        changes.extend(self.port().map(|(service, port)| Change::AsTcp(service, port)));
        if self.snapshot.mesh.min_protocol_version.is_some() {
            changes.push(Change::NoVersionFloor);
        }
        let ends = self.ends();
        for (workload, side) in &ends {
            let held = self.conditions.credentials.workloads.get(workload);
            let Some(held) = held else { continue };
            for part in PARTS {
                let mut repaired = held.clone();
                self.repair(&mut repaired, workload, part);
                if repaired != *held {
                    changes.push(Change::Repaired(workload.clone(), part));
                }
            }
            changes.extend(self.stranger(held).map(Change::Alias));
            if let Some(limits) = self.conditions.limits(workload, *side) {
                // What both ends might lack is told apart by what helps: the narrower parameter first.
                for parameter in [Parameter::Groups, Parameter::Suites, Parameter::Versions] {
                    let mut lifted = limits.clone();
                    parameter.lift(&mut lifted);
                    if lifted != *limits {
                        changes.push(Change::Unlimited(workload.clone(), *side, parameter));
                    }
                }
            }
        }
        if !self
            .conditions
            .credentials
            .roots
            .values()
            .all(|it| *it == Validity::Current)
        {
            changes.push(Change::RootsRenewed);
        }
        changes.extend(policies.into_iter().cloned().map(Change::Without));
        changes
    }

    /// Both ends of the call that have a proxy which was seen.
    fn ends(&self) -> Vec<(WorkloadName, Side)> {
        let mut ends = vec![(self.call.from.clone(), Side::Client)];
        let servers = self.servers().into_iter().map(|it| (it.workload, Side::Server));
        for end in servers {
            if !ends.contains(&end) {
                ends.push(end);
            }
        }
        ends
    }

    /// The pod that is called, or all that may be.
    fn servers(&self) -> Vec<PodName> {
        match &self.call.endpoint {
            Some(pod) => vec![pod.clone()],
            None => {
                let reached = self.topology.reached(&self.call.to);
                reached.into_iter().map(|(pod, _)| pod).collect()
            }
        }
    }

    /// The caller and every workload behind the destination, if they have no sidecar.
    fn workloads(&self) -> Vec<WorkloadName> {
        let behind = self.topology.reached(&self.call.to);
        let mut names = vec![self.call.from.clone()];
        names.extend(behind.into_iter().map(|(pod, _)| pod.workload));
        let mut found: Vec<WorkloadName> = Vec::new();
        for name in names {
            let is_there = self.topology.workloads.contains_key(&name);
            if is_there && !self.topology.has_sidecar(&name) && !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }

    /// The Service port that is declared as HTTP, where something else is spoken.
    fn port(&self) -> Option<(ObjectRef, u16)> {
        let (namespace, name, port) = self.call.to.service()?;
        let service = self.topology.service(namespace, name)?;
        let declared = service.port(port)?;
        let is_wrong = self.call.payload == Payload::Tcp && declared.class != ListenerClass::Tcp;
        is_wrong.then(|| (service.object(), port))
    }

    fn as_tcp(&self, service: &ObjectRef, number: u16) -> Option<Snapshot> {
        let stored = self.snapshot.get(service)?;
        let Object::Service(service) = &stored.object else {
            return None;
        };
        let mut changed = service.clone();
        let ports = changed
            .spec
            .iter_mut()
            .flat_map(|it| it.ports.iter_mut().flatten());
        for port in ports.filter(|it| it.port == i32::from(number)) {
            port.app_protocol = Some("tcp".to_owned());
        }
        let mut snapshot = self.snapshot.clone();
        snapshot.apply_from(Object::Service(changed), stored.source.clone());
        Some(snapshot)
    }

    /// The trust domain of an identity, if it is none that servers accept.
    fn stranger(&self, held: &WorkloadCredentials) -> Option<String> {
        let domain = held.identity.strip_prefix("spiffe://")?.split('/').next()?;
        let is_known = self.topology.trust_domains().iter().any(|it| it == domain);
        (!is_known).then(|| domain.to_owned())
    }

    fn repair(&self, held: &mut WorkloadCredentials, workload: &WorkloadName, part: Part) {
        let identity = self.topology.identity(workload).unwrap_or_default();
        let usual = self.inferred.usual_bundle();
        let healthy = WorkloadCredentials::healthy(identity);
        match part {
            Part::Identity => held.identity = healthy.identity,
            Part::Leaf => held.leaf = healthy.leaf,
            Part::Usage => held.usage = healthy.usage,
            Part::Revoked => held.revoked = false,
            Part::Intermediate => held.intermediate = healthy.intermediate,
            Part::Chain => held.serves_intermediate = true,
            Part::Lists => held.revocation = Revocation::Unchecked,
            Part::Supply => held.supply = Supply::FULL,
            Part::Issuer => {
                // One that the other end trusts.
                let other = self.conditions.credentials.workloads.iter();
                let mut bundles = other
                    .filter(|(name, _)| *name != workload)
                    .map(|(_, it)| &it.bundle);
                let is_trusted = bundles.clone().all(|it| it.contains(&held.issuer));
                if let Some(root) = bundles.find_map(|it| it.last()).filter(|_| !is_trusted) {
                    held.issuer = root.clone();
                }
            }
            Part::Bundle => {
                let others = self.conditions.credentials.workloads.values();
                let issuers: BTreeSet<_> = others.map(|it| it.issuer.clone()).collect();
                for root in usual.into_iter().flatten().chain(issuers) {
                    if !held.bundle.contains(&root) {
                        held.bundle.push(root);
                    }
                }
            }
        }
    }

    /// Whether what the change is about is as it is with most others: then it is less likely the one that is wrong.
    fn is_usual(&self, change: &Change) -> bool {
        let Change::Repaired(workload, part) = change else {
            return false;
        };
        let Some(held) = self.conditions.credentials.workloads.get(workload) else {
            return false;
        };
        match part {
            Part::Bundle => self.inferred.usual_bundle().is_none_or(|it| it == held.bundle),
            Part::Issuer => held.bundle.contains(&held.issuer),
            _ => false,
        }
    }
}

impl Cause {
    /// What it is about its object, in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::DestinationRule => "how it has clients call",
            Self::PeerAuthentication => "what it has servers accept",
            Self::VirtualService => "where it sends calls",
            Self::MissingSidecar => "its pods have no sidecar",
            Self::PortProtocol => "what it declares the port to speak",
            Self::MeshConfig => "the oldest TLS it lets servers speak",
            Self::TrustDomain => "the trust domains it lets servers accept",
            Self::Identity => "who its certificate says it is",
            Self::Leaf => "when its certificate is valid",
            Self::KeyUsage => "what its certificate may be used for",
            Self::Revoked => "its certificate is revoked",
            Self::Authority => "when the authority is valid",
            Self::Chain => "its chain lacks the intermediate",
            Self::Issuer => "who issued its certificate",
            Self::TrustBundle => "the roots it trusts",
            Self::RevocationLists => "the revocation lists it checks",
            Self::Secret => "its proxy waits for a secret",
            Self::TlsParameters => "the TLS its proxy takes",
            Self::BelowTls => "the way to it, or the application",
        }
    }
}

impl Parameter {
    fn lift(self, limits: &mut TlsLimits) {
        match self {
            Self::Versions => (limits.min_version, limits.max_version) = (None, None),
            Self::Suites => limits.cipher_suites.clear(),
            Self::Groups => limits.groups.clear(),
        }
    }
}

impl Change {
    /// The kind of thing that is responsible if this helps.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Without(object) => match object.kind.as_str() {
                "DestinationRule" => Cause::DestinationRule,
                "VirtualService" => Cause::VirtualService,
                _ => Cause::PeerAuthentication,
            },
            Self::WithSidecar(_) => Cause::MissingSidecar,
            Self::AsTcp(..) => Cause::PortProtocol,
            Self::NoVersionFloor => Cause::MeshConfig,
            Self::Alias(_) => Cause::TrustDomain,
            Self::RootsRenewed => Cause::Authority,
            Self::Unlimited(..) => Cause::TlsParameters,
            Self::Repaired(_, part) => match part {
                Part::Identity => Cause::Identity,
                Part::Leaf => Cause::Leaf,
                Part::Usage => Cause::KeyUsage,
                Part::Revoked => Cause::Revoked,
                Part::Intermediate => Cause::Authority,
                Part::Chain => Cause::Chain,
                Part::Issuer => Cause::Issuer,
                Part::Bundle => Cause::TrustBundle,
                Part::Lists => Cause::RevocationLists,
                Part::Supply => Cause::Secret,
            },
        }
    }

    /// The object that would be changed.
    pub(super) fn object(&self, topology: &Topology) -> ObjectRef {
        let root = topology.mesh.root_namespace.as_str();
        let of = |workload: &WorkloadName| match topology.workloads.get(workload) {
            Some(it) => it.object.clone(),
            None => ObjectRef::new("Deployment", Some(&workload.namespace), workload.name.clone()),
        };
        match self {
            Self::Without(object) | Self::AsTcp(object, _) => object.clone(),
            Self::WithSidecar(workload) | Self::Repaired(workload, _) | Self::Unlimited(workload, ..) => {
                of(workload)
            }
            Self::NoVersionFloor | Self::Alias(_) => ObjectRef::new("ConfigMap", Some(root), "istio"),
            Self::RootsRenewed => ObjectRef::new("Secret", Some(root), "cacerts"),
        }
    }
}
