//! PeerAuthentication: the effective mTLS mode of a workload's ports.
//!
//! Sources: pilot/pkg/security/authn/policy_applier.go@1.30.3 (`ComposePeerAuthentication`),
//! pilot/pkg/model/authentication.go@1.30.3, and their tests.

use std::collections::BTreeMap;

use super::finding::{Finding, Flaw};
use super::policy::{Because, MtlsMode};
use super::rule_id::RuleId;
use super::workload::Workload;
use crate::snapshot::api::{Mtls, PeerAuthenticationSpec, PeerMode, WorkloadSelector};
use crate::snapshot::{Age, Object, ObjectRef, Snapshot, Stored};

/// The policies that count, by class. One wins in each class: the oldest; the others are ignored as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerAuthentications {
    mesh: Option<Policy>,
    namespaces: BTreeMap<String, NamespacePolicies>,
}

#[derive(Clone, Debug, Default)]
struct NamespacePolicies {
    /// Without selector.
    wide: Option<Policy>,
    /// With selector, oldest first.
    workload: Vec<Policy>,
}

#[derive(Clone, Debug)]
struct Policy {
    object: ObjectRef,
    selector: WorkloadSelector,
    mode: Option<MtlsMode>,
    ports: BTreeMap<u16, Option<MtlsMode>>,
}

/// A mode and what decided it.
pub(super) type Decision = (MtlsMode, Because);

impl PeerAuthentications {
    /// Sorts the policies of a snapshot into classes and reports those that are ignored.
    pub(super) fn new(snapshot: &Snapshot, findings: &mut Vec<Finding>) -> Self {
        let root = &snapshot.mesh.root_namespace;
        let mut policies = Self::default();
        for (name, stored, spec) in by_age(snapshot) {
            report_invalid(name, stored, spec, findings);
            let namespace = name.namespace.clone().unwrap_or_default();
            let policy = Policy::new(name, spec);
            let is_mesh = &namespace == root;
            if policy.selector.is_empty() {
                let place = match is_mesh {
                    true => &mut policies.mesh,
                    false => &mut policies.namespaces.entry(namespace).or_default().wide,
                };
                if let Some(winner) = place {
                    let message = format!("ignored: {} is older and has the same scope", winner.object);
                    findings.push(finding(name, stored, Flaw::Duplicate, message));
                } else {
                    *place = Some(policy);
                }
            } else if is_mesh {
                let message =
                    "ignored: a policy with a selector has no effect in the root namespace".to_owned();
                findings.push(finding(name, stored, Flaw::SelectorInRootNamespace, message));
            } else {
                policies
                    .namespaces
                    .entry(namespace)
                    .or_default()
                    .workload
                    .push(policy);
            }
        }
        policies
    }

    /// The mode of a pod port; without port that of ports nobody names. Narrower classes override wider ones where
    /// they set a mode; a port entry counts only in the winning workload policy.
    pub(super) fn mode(&self, workload: &Workload, port: Option<u16>) -> Decision {
        let Some(policy) = self.workload_policy(workload) else {
            return self.hint(&workload.name.namespace);
        };
        if let Some(mode) = port.and_then(|port| policy.ports.get(&port).copied().flatten()) {
            return (mode, policy.because(RuleId::PeerAuthenticationPort));
        }
        match policy.mode {
            Some(mode) => (mode, policy.because(RuleId::PeerAuthenticationWorkload)),
            None => self.hint(&workload.name.namespace),
        }
    }

    /// The mode of a namespace without regard to workload policies, which is also what clients go by
    /// (pilot/pkg/model/push_context.go@1.30.3: `BestEffortInferServiceMTLSMode`).
    pub(super) fn hint(&self, namespace: &str) -> Decision {
        let wide = self.namespaces.get(namespace).and_then(|it| it.wide.as_ref());
        if let Some((mode, policy)) = wide.and_then(|policy| Some((policy.mode?, policy))) {
            return (mode, policy.because(RuleId::PeerAuthenticationNamespace));
        }
        if let Some((mode, policy)) = self.mesh.as_ref().and_then(|policy| Some((policy.mode?, policy))) {
            return (mode, policy.because(RuleId::PeerAuthenticationMesh));
        }
        (
            MtlsMode::Permissive,
            Because {
                object: None,
                rule: RuleId::PeerAuthenticationDefault,
            },
        )
    }

    /// Whether the winning workload policy has an entry for a port, with or without a mode.
    pub(super) fn has_port_entry(&self, workload: &Workload, port: u16) -> bool {
        self.workload_policy(workload)
            .is_some_and(|policy| policy.ports.contains_key(&port))
    }

    /// The ports that the winning workload policy has entries for.
    pub(super) fn ports_named(&self, workload: &Workload) -> impl Iterator<Item = u16> + '_ {
        let policy = self.workload_policy(workload);
        policy.into_iter().flat_map(|policy| policy.ports.keys().copied())
    }

    fn workload_policy(&self, workload: &Workload) -> Option<&Policy> {
        let policies = &self.namespaces.get(&workload.name.namespace)?.workload;
        policies
            .iter()
            .find(|policy| policy.selector.matches(&workload.labels))
    }
}

impl Policy {
    fn new(name: &ObjectRef, spec: &PeerAuthenticationSpec) -> Self {
        let selector = spec.selector.clone().unwrap_or_default();
        let entries = spec.port_level_mtls.iter().flatten();
        let ports = match selector.is_empty() {
            true => BTreeMap::new(),
            false => entries
                .filter_map(|(port, mtls)| Some((u16::try_from(*port).ok()?, set(mtls))))
                .collect(),
        };
        Self {
            object: name.clone(),
            selector,
            mode: spec.mtls.as_ref().and_then(set),
            ports,
        }
    }

    fn because(&self, rule: RuleId) -> Because {
        Because {
            object: Some(self.object.to_string()),
            rule,
        }
    }
}

/// The mode, unless it is UNSET, which inherits.
fn set(mtls: &Mtls) -> Option<MtlsMode> {
    match mtls.mode {
        PeerMode::Disable => Some(MtlsMode::Disable),
        PeerMode::Permissive => Some(MtlsMode::Permissive),
        PeerMode::Strict => Some(MtlsMode::Strict),
        PeerMode::Unset => None,
    }
}

/// Oldest first; equal ages by name, then namespace (pilot/pkg/model/config.go@1.30.3: `sortConfigByCreationTime`).
fn by_age(snapshot: &Snapshot) -> Vec<(&ObjectRef, &Stored, &PeerAuthenticationSpec)> {
    let mut policies: Vec<_> = snapshot
        .objects()
        .filter_map(|(name, stored)| match &stored.object {
            Object::PeerAuthentication(policy) => Some((name, stored, &policy.spec)),
            _ => None,
        })
        .collect();
    policies.sort_by_key(|(name, stored, _)| age_key(name, stored.age));
    policies
}

/// The key by which Istio sorts configuration: age, then name, then namespace.
pub(super) fn age_key(name: &ObjectRef, age: Age) -> (Age, &str, Option<&str>) {
    (age, &name.name, name.namespace.as_deref())
}

/// What the API server would refuse (pkg/config/validation/validation.go@1.30.3: `ValidatePeerAuthentication`).
fn report_invalid(
    name: &ObjectRef,
    stored: &Stored,
    spec: &PeerAuthenticationSpec,
    findings: &mut Vec<Finding>,
) {
    let Some(ports) = &spec.port_level_mtls else {
        return;
    };
    let mut report = |flaw, message: &str| findings.push(finding(name, stored, flaw, message.to_owned()));
    if spec.selector.as_ref().is_none_or(WorkloadSelector::is_empty) {
        report(
            Flaw::PortLevelWithoutSelector,
            "invalid: portLevelMtls needs a selector; without one it is ignored",
        );
    }
    if ports.is_empty() {
        report(Flaw::Invalid, "invalid: portLevelMtls has no entry");
    }
    if ports.keys().any(|port| !(1..=65535).contains(port)) {
        report(
            Flaw::Invalid,
            "invalid: portLevelMtls names a port outside of 1..65535, which is ignored",
        );
    }
}

pub(super) fn finding(object: &ObjectRef, stored: &Stored, flaw: Flaw, message: String) -> Finding {
    Finding {
        object: object.clone(),
        flaw,
        message,
        source: stored.source.clone(),
    }
}
