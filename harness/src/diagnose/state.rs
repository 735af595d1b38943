//! A mesh in which something is different.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::change::{Change, Part};
use super::inferred::Inferred;
use crate::call::{Call, WorkloadName};
use crate::fault::Conditions;
use crate::istio::policy::Sidecar;
use crate::istio::{Topology, predict};
use crate::outcome::Outcome;
use crate::pki::{Revocation, Supply, WorkloadCredentials};
use crate::snapshot::api::{
    ClientTlsSettings, Mtls, PeerAuthentication, PeerAuthenticationSpec, PeerMode, TlsMode, TrafficPolicy,
    WorkloadSelector,
};
use crate::snapshot::{Object, ObjectRef, Snapshot};

/// A mesh as it was seen.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) topology: &'a Topology,
    pub(super) inferred: &'a Inferred,
    pub(super) conditions: &'a Conditions,
}

impl Seen<'_> {
    /// What becomes of a call once all of these are made.
    pub(super) fn after(&self, changes: &[Change], call: &Call) -> Outcome {
        let snapshot = self.objects(changes);
        let conditions = self.held(changes);
        // Pods stay as they are: nothing of this restarts them.
        let mut topology = snapshot.map(|it| Topology::new(&it, Some(self.topology)));
        for change in changes {
            if let Change::WithSidecar(workload) = change {
                let changed = topology.get_or_insert_with(|| self.topology.clone());
                if let Some(it) = changed.workloads.get_mut(workload) {
                    let release = self.topology.release.clone();
                    it.sidecar = Sidecar::Injected { release };
                    it.tls_mode = true;
                }
            }
        }
        let topology = topology.as_ref().unwrap_or(self.topology);
        predict(topology, conditions.as_ref().unwrap_or(self.conditions), call).outcome
    }

    /// The objects after these changes; `None` where no object changes.
    pub(super) fn objects(&self, changes: &[Change]) -> Option<Snapshot> {
        let mut changed: Option<Snapshot> = None;
        for change in changes {
            let now = changed.as_ref().unwrap_or(self.snapshot);
            if let Some(next) = self.altered(now, change) {
                changed = Some(next);
            }
        }
        changed
    }

    fn altered(&self, now: &Snapshot, change: &Change) -> Option<Snapshot> {
        let mut snapshot = now.clone();
        match change {
            Change::Without(object) => {
                snapshot.delete(object).ok()?;
            }
            Change::Mutual(rule) => replace(&mut snapshot, rule, mutual)?,
            Change::Exported(rule) => replace(&mut snapshot, rule, exported)?,
            Change::AsTcp(service, port) => replace(&mut snapshot, service, |it| as_tcp(it, *port))?,
            Change::Uninspected(workload, port) => {
                snapshot.apply(self.without_mtls(workload, *port)?);
            }
            Change::NoVersionFloor => snapshot.mesh.min_protocol_version = None,
            Change::Alias(domain) => snapshot.mesh.trust_domain_aliases.push(domain.clone()),
            Change::WithSidecar(_) | Change::Repaired(..) | Change::RootsRenewed | Change::Unlimited(..) => {
                return None;
            }
        }
        Some(snapshot)
    }

    /// A policy that takes mTLS, and with it the inspector, from one port.
    fn without_mtls(&self, workload: &WorkloadName, port: u16) -> Option<Object> {
        let labels = self.topology.workloads.get(workload)?.labels.clone();
        let mode = Mtls {
            mode: PeerMode::Disable,
        };
        Some(Object::PeerAuthentication(Box::new(PeerAuthentication {
            metadata: ObjectMeta {
                name: Some(format!("{}-{port}", workload.name)),
                namespace: Some(workload.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: PeerAuthenticationSpec {
                selector: Some(WorkloadSelector {
                    match_labels: Some(labels),
                }),
                mtls: None,
                port_level_mtls: Some(BTreeMap::from([(u32::from(port), mode)])),
            },
        })))
    }

    /// What proxies hold and take after these changes; `None` where nothing of that changes.
    fn held(&self, changes: &[Change]) -> Option<Conditions> {
        let mut changed: Option<Conditions> = None;
        for change in changes {
            let now = || changed.clone().unwrap_or_else(|| self.conditions.clone());
            match change {
                Change::Repaired(workload, part) => {
                    let mut next = now();
                    if let Some(held) = next.credentials.workloads.get_mut(workload) {
                        self.repair(held, workload, *part);
                    }
                    changed = Some(next);
                }
                Change::RootsRenewed => {
                    let mut next = now();
                    next.credentials.roots.clear();
                    changed = Some(next);
                }
                Change::Unlimited(workload, side, parameter) => {
                    let mut next = now();
                    let limits = next.tls_limits.get_mut(workload);
                    if let Some(limits) = limits.and_then(|it| it.get_mut(side)) {
                        parameter.lift(limits);
                    }
                    changed = Some(next);
                }
                _ => {}
            }
        }
        changed
    }

    /// Sets one part of what a workload holds right.
    pub(super) fn repair(&self, held: &mut WorkloadCredentials, workload: &WorkloadName, part: Part) {
        let identity = self.topology.identity(workload).unwrap_or_default();
        let healthy = WorkloadCredentials::healthy(identity);
        let usual = self.inferred.usual_bundle();
        match part {
            Part::Identity => held.identity = healthy.identity,
            Part::Leaf => held.leaf = healthy.leaf,
            Part::Usage => held.usage = healthy.usage,
            Part::Revoked => held.revoked = false,
            Part::Intermediate => {
                held.intermediate = healthy.intermediate;
                held.intermediate_is_revoked = false;
            }
            Part::Chain => held.serves_intermediate = true,
            Part::Lists => held.revocation = Revocation::Unchecked,
            Part::Supply => held.supply = Supply::FULL,
            Part::Issuer => {
                if let Some(root) = usual.last().filter(|_| !usual.contains(&held.issuer)) {
                    held.issuer = root.clone();
                }
            }
            Part::Bundle => {
                let others = self.conditions.credentials.workloads.values();
                let issuers: BTreeSet<_> = others.map(|it| &it.issuer).collect();
                for root in usual.iter().chain(issuers) {
                    if !held.bundle.contains(root) {
                        held.bundle.push(root.clone());
                    }
                }
            }
        }
    }
}

/// Changes an object in place; `None` where it is not there, or stays as it is.
fn replace(snapshot: &mut Snapshot, name: &ObjectRef, alter: impl FnOnce(&mut Object)) -> Option<()> {
    let stored = snapshot.get(name)?;
    let (mut object, source) = (stored.object.clone(), stored.source.clone());
    alter(&mut object);
    if object == stored.object {
        return None;
    }
    snapshot.apply_from(object, source);
    Some(())
}

/// Has a rule's clients speak mTLS everywhere: an entry of a port or subset replaces what is said above it.
fn mutual(object: &mut Object) {
    let Object::DestinationRule(rule) = object else {
        return;
    };
    let tls = || {
        Some(ClientTlsSettings {
            mode: TlsMode::IstioMutual,
            ..ClientTlsSettings::default()
        })
    };
    let set = |policy: &mut TrafficPolicy| {
        policy.tls = tls();
        for port in &mut policy.port_level_settings {
            port.tls = tls();
        }
    };
    set(rule.spec.traffic_policy.get_or_insert_default());
    rule.spec
        .subsets
        .iter_mut()
        .filter_map(|it| it.traffic_policy.as_mut())
        .for_each(set);
}

fn exported(object: &mut Object) {
    if let Object::DestinationRule(rule) = object {
        rule.spec.export_to = vec!["*".to_owned()];
    }
}

fn as_tcp(object: &mut Object, number: u16) {
    let Object::Service(service) = object else {
        return;
    };
    let ports = service
        .spec
        .iter_mut()
        .flat_map(|it| it.ports.iter_mut().flatten());
    for port in ports.filter(|it| it.port == i32::from(number)) {
        port.app_protocol = Some("tcp".to_owned());
    }
}
