//! Replaying what happened over healthy credentials.

use std::collections::{BTreeMap, BTreeSet};

use super::history::Targets;
use super::parameters::{PortFault, Purpose, Secret, TlsLimitsFault};
use super::{Conditions, Fault, Obstacle, RestartStep, Rotation, TlsLimits};
use crate::call::WorkloadName;
use crate::outcome::Side;
use crate::pki::{
    Credentials, LeafKey, LeafUsage, Revocation, RootName, Supply, Validity, WorkloadCredentials,
};

/// Conditions, and beside them what they alone do not tell: from which CA a workload gets the next certificate, what
/// of its bundle reaches it, and whether anything does.
pub(super) struct Replay {
    conditions: Conditions,
    healthy: BTreeMap<WorkloadName, String>,
    agents: BTreeMap<WorkloadName, Agent>,
    stuck: BTreeSet<WorkloadName>,
    /// Whether the mesh publishes revocation lists.
    publishes_lists: bool,
}

#[derive(Clone, Default)]
struct Agent {
    authority: Authority,
    bundle: KeptRoots,
}

#[derive(Clone)]
struct Authority {
    root: RootName,
    intermediate: Validity,
    /// Counts the intermediates it had.
    generation: u32,
    intermediate_is_revoked: bool,
    chain_is_complete: bool,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            root: RootName::default(),
            intermediate: Validity::Current,
            generation: 0,
            intermediate_is_revoked: false,
            chain_is_complete: true,
        }
    }
}

impl Agent {
    /// Gives `holder` a new leaf of the workload's own identity, from `root` if it names one.
    fn reissue(&mut self, holder: &mut WorkloadCredentials, identity: &str, root: Option<&str>) {
        self.authority.move_to(root);
        holder.identity = identity.to_owned();
        (holder.leaf, holder.short_lived) = (Validity::Current, false);
        (holder.key, holder.usage) = (LeafKey::default(), LeafUsage::default());
        holder.revoked = false;
        holder.serve(&self.authority);
    }
}

/// The roots of a bundle that arrive.
#[derive(Clone, Copy, Default)]
enum KeptRoots {
    #[default]
    All,
    First,
    Last,
}

impl Replay {
    pub(super) fn healthy(identities: &BTreeMap<WorkloadName, String>) -> Self {
        let workloads = identities
            .iter()
            .map(|(name, identity)| (name.clone(), WorkloadCredentials::healthy(identity.clone())))
            .collect();
        Self {
            conditions: Conditions {
                credentials: Credentials {
                    workloads,
                    ..Credentials::default()
                },
                ..Conditions::default()
            },
            healthy: identities.clone(),
            agents: identities
                .keys()
                .map(|name| (name.clone(), Agent::default()))
                .collect(),
            stuck: BTreeSet::new(),
            publishes_lists: false,
        }
    }

    /// The state after all that was replayed.
    pub(super) fn conditions(mut self) -> Conditions {
        for (name, holder) in &mut self.conditions.credentials.workloads {
            if self.publishes_lists && holder.revocation == Revocation::Unchecked {
                holder.revocation = Revocation::Current;
            }
            let kept = self
                .agents
                .get(name)
                .map(|agent| agent.bundle)
                .unwrap_or_default();
            let gone = match kept {
                KeptRoots::All => 0..0,
                KeptRoots::First => holder.bundle.len().min(1)..holder.bundle.len(),
                KeptRoots::Last => 0..holder.bundle.len().saturating_sub(1),
            };
            holder.bundle.drain(gone);
        }
        self.conditions
    }

    pub(super) fn inject(&mut self, fault: &Fault, targets: &Targets) {
        match fault {
            Fault::ExpiredRoot(expired) => {
                let root = RootName(expired.root.clone());
                self.conditions.credentials.roots.insert(root, Validity::Expired);
            }
            Fault::StuckAgent(_) => {
                let names = self.healthy.keys().filter(|name| targets.contains(name));
                self.stuck.extend(names.cloned());
            }
            Fault::TlsLimits(limits) => self.limit(limits, targets),
            Fault::BlackHole(port) => self.obstruct(port, Obstacle::BlackHole, targets),
            Fault::SilentPort(port) => self.obstruct(port, Obstacle::Silence, targets),
            Fault::RefusedPort(port) => self.obstruct(port, Obstacle::Refusal, targets),
            Fault::UncapturedPort(port) => self.obstruct(port, Obstacle::Bypass, targets),
            Fault::MisdirectedPort(fault) => {
                self.obstruct_port(fault.port, Obstacle::Misdirection(fault.to), targets);
            }
            Fault::WebhookRemoved(_) => self.conditions.webhook_removed = true,
            Fault::UncapturedCalls(_) => {
                let names = self.healthy.keys().filter(|name| targets.contains(name));
                self.conditions.uncaptured.extend(names.cloned());
            }
            of_credentials => {
                self.publishes_lists |=
                    matches!(fault, Fault::RevokedLeaf(_) | Fault::RevokedIntermediate(_));
                self.each(targets, |holder, agent, _| damage(of_credentials, holder, agent));
            }
        }
    }

    pub(super) fn rotate(&mut self, step: &Rotation, targets: &Targets) {
        match step {
            Rotation::Root(_) => {
                let all: Vec<WorkloadName> = self.healthy.keys().cloned().collect();
                for step in step.steps(&all) {
                    // They name whom they were made for.
                    if let Ok(targets) = Targets::resolve(step.workload(), &all) {
                        self.rotate(&step, &targets);
                    }
                }
            }
            Rotation::Trust(added) => {
                let root = RootName(added.root.clone());
                let roots = &mut self.conditions.credentials.roots;
                roots.entry(root.clone()).or_default();
                self.each_that_hears(targets, |holder, _, _| {
                    if !holder.bundle.contains(&root) {
                        holder.bundle.push(root.clone());
                    }
                });
            }
            Rotation::Retire(retired) => {
                self.each_that_hears(targets, |holder, _, _| {
                    holder.bundle.retain(|root| root.0 != retired.root)
                });
            }
            Rotation::Cutover(cutover) => {
                let root = RootName(cutover.root.clone());
                let roots = &mut self.conditions.credentials.roots;
                roots.entry(root.clone()).or_default();
                self.each_that_hears(targets, |holder, agent, identity| {
                    holder.bundle = vec![root.clone()];
                    agent.reissue(holder, identity, Some(&cutover.root));
                });
            }
            Rotation::Leaf(reissued) => self.each_that_hears(targets, |holder, agent, identity| {
                agent.reissue(holder, identity, reissued.root.as_deref());
            }),
            Rotation::Intermediate(reissued) => self.each_that_hears(targets, |holder, agent, _| {
                agent.authority.move_to(reissued.root.as_deref());
                agent.authority.renew_intermediate();
                holder.serve(&agent.authority);
            }),
        }
    }

    pub(super) fn restart(&mut self, step: &RestartStep) {
        let conditions = &mut self.conditions;
        match step {
            RestartStep::Drain(pod) => {
                conditions.unready.insert(pod.clone());
            }
            RestartStep::Replace(pod) => {
                *conditions.restarts.entry(pod.clone()).or_default() += 1;
                self.supply_anew(&pod.workload);
            }
            RestartStep::Admit(pod) => {
                conditions.unready.remove(pod);
            }
            RestartStep::Kill(workload) => {
                conditions.killed.insert(workload.clone());
            }
            RestartStep::Revive { workload, replicas } => {
                conditions.killed.remove(workload);
                for ordinal in 0..*replicas {
                    *conditions.restarts.entry(workload.pod(ordinal)).or_default() += 1;
                }
                self.supply_anew(workload);
            }
        }
    }

    /// What the agents of new pods get: a new leaf, or, where they cannot ask for one, nothing.
    fn supply_anew(&mut self, workload: &WorkloadName) {
        let only = Targets::Some(vec![workload.clone()]);
        if self.stuck.contains(workload) {
            self.each(&only, |holder, _, _| holder.supply = Supply::NOTHING);
        } else {
            self.each(&only, |holder, agent, identity| {
                agent.reissue(holder, identity, None)
            });
        }
    }

    /// Time passes until the leaves that were to end soon have ended.
    pub(super) fn elapse(&mut self) {
        for holder in self.conditions.credentials.workloads.values_mut() {
            if holder.short_lived {
                holder.leaf = Validity::Expired;
            }
        }
    }

    fn limit(&mut self, fault: &TlsLimitsFault, targets: &Targets) {
        let limits = TlsLimits {
            min_version: fault.min_version,
            max_version: fault.max_version,
            cipher_suites: fault.cipher_suites.clone(),
            groups: fault.groups.clone(),
        };
        for end in [Side::Client, Side::Server] {
            if fault.end.is_some_and(|only| only != end) {
                continue;
            }
            for name in self.healthy.keys().filter(|name| targets.contains(name)) {
                let ends = self.conditions.tls_limits.entry(name.clone()).or_default();
                ends.entry(end).or_default().tighten(&limits);
            }
        }
    }

    fn obstruct(&mut self, fault: &PortFault, obstacle: Obstacle, targets: &Targets) {
        self.obstruct_port(fault.port, obstacle, targets);
    }

    fn obstruct_port(&mut self, port: Option<u16>, obstacle: Obstacle, targets: &Targets) {
        for name in self.healthy.keys().filter(|name| targets.contains(name)) {
            let ports = self.conditions.obstacles.entry(name.clone()).or_default();
            ports.insert(port, obstacle);
        }
    }

    fn each_that_hears(
        &mut self,
        targets: &Targets,
        mut change: impl FnMut(&mut WorkloadCredentials, &mut Agent, &str),
    ) {
        let stuck = std::mem::take(&mut self.stuck);
        self.each_but(&stuck, targets, &mut change);
        self.stuck = stuck;
    }

    fn each(
        &mut self,
        targets: &Targets,
        mut change: impl FnMut(&mut WorkloadCredentials, &mut Agent, &str),
    ) {
        self.each_but(&BTreeSet::new(), targets, &mut change);
    }

    fn each_but(
        &mut self,
        excepted: &BTreeSet<WorkloadName>,
        targets: &Targets,
        change: &mut impl FnMut(&mut WorkloadCredentials, &mut Agent, &str),
    ) {
        for (name, holder) in &mut self.conditions.credentials.workloads {
            if !targets.contains(name) || excepted.contains(name) {
                continue;
            }
            if let (Some(identity), Some(agent)) = (self.healthy.get(name), self.agents.get_mut(name)) {
                change(holder, agent, identity);
            }
        }
    }
}

/// What a fault of certificates does to one workload; others do nothing to it.
fn damage(fault: &Fault, holder: &mut WorkloadCredentials, agent: &mut Agent) {
    match fault {
        Fault::SanSuffix(san) => holder.identity.push_str(&san.suffix),
        Fault::SanReplace(replaced) => holder.identity.clone_from(&replaced.san),
        Fault::TrustDomain(other) => {
            let path = holder
                .identity
                .strip_prefix("spiffe://")
                .and_then(|id| id.split_once('/'));
            if let Some((_, path)) = path {
                holder.identity = format!("spiffe://{}/{path}", other.domain);
            }
        }
        Fault::ExpiredLeaf(_) => (holder.leaf, holder.short_lived) = (Validity::Expired, false),
        Fault::ExpiringLeaf(_) => (holder.leaf, holder.short_lived) = (Validity::Current, true),
        Fault::NotYetValidLeaf(_) => (holder.leaf, holder.short_lived) = (Validity::NotYetValid, false),
        Fault::RevokedLeaf(_) => holder.revoked = true,
        Fault::ExpiredCrl(_) => holder.revocation = Revocation::Expired,
        Fault::MissingCrl(_) => holder.revocation = Revocation::WithoutRoot,
        Fault::KeyEnciphermentOnly(_) => {
            // Envoy does not load a certificate with an elliptic curve's key that may not sign.
            holder.key = LeafKey::Rsa2048;
            holder.usage.digital_signature = false;
        }
        Fault::ExtendedKeyUsage(usage) => {
            holder.usage.server_auth = usage.only == Purpose::ServerAuth;
            holder.usage.client_auth = usage.only == Purpose::ClientAuth;
        }
        Fault::LeafKey(leaf) => holder.key = leaf.key,
        Fault::ExpiredIntermediate(_) => {
            holder.intermediate = Validity::Expired;
            agent.authority.intermediate = Validity::Expired;
        }
        Fault::NotYetValidIntermediate(_) => {
            holder.intermediate = Validity::NotYetValid;
            agent.authority.intermediate = Validity::NotYetValid;
        }
        Fault::RevokedIntermediate(_) => {
            holder.intermediate_is_revoked = true;
            agent.authority.intermediate_is_revoked = true;
        }
        Fault::MissingIntermediate(_) => {
            holder.serves_intermediate = false;
            agent.authority.chain_is_complete = false;
        }
        Fault::ForeignRoot(_) => {
            // A whole chain of its own; the CA that re-issues stays the mesh's.
            holder.issuer = RootName(format!("foreign:{}", fault.name()));
            (holder.intermediate, holder.intermediate_generation) = (Validity::Current, 0);
            holder.intermediate_is_revoked = false;
            holder.serves_intermediate = true;
        }
        Fault::OldRootOnly(_) => agent.bundle = KeptRoots::First,
        Fault::LastRootOnly(_) => agent.bundle = KeptRoots::Last,
        Fault::MissingSecret(missing) => match missing.secret {
            Secret::Certificate => holder.supply.certificate = false,
            Secret::Roots => holder.supply.roots = false,
        },
        Fault::ExpiredRoot(_)
        | Fault::StuckAgent(_)
        | Fault::TlsLimits(_)
        | Fault::BlackHole(_)
        | Fault::SilentPort(_)
        | Fault::RefusedPort(_)
        | Fault::UncapturedPort(_)
        | Fault::MisdirectedPort(_)
        | Fault::UncapturedCalls(_)
        | Fault::WebhookRemoved(_) => {}
    }
}

impl Authority {
    /// Another root means another CA, with an intermediate of its own; the same root changes nothing.
    fn move_to(&mut self, root: Option<&str>) {
        if let Some(root) = root.filter(|root| *root != self.root.0) {
            *self = Self {
                root: RootName(root.to_owned()),
                ..Self::default()
            };
        }
    }

    /// Under the same key: what the old one signed stays signed.
    fn renew_intermediate(&mut self) {
        *self = Self {
            root: std::mem::take(&mut self.root),
            generation: self.generation + 1,
            ..Self::default()
        };
    }
}

impl WorkloadCredentials {
    fn serve(&mut self, authority: &Authority) {
        self.issuer = authority.root.clone();
        self.intermediate = authority.intermediate;
        self.intermediate_generation = authority.generation;
        self.intermediate_is_revoked = authority.intermediate_is_revoked;
        self.serves_intermediate = authority.chain_is_complete;
        self.generation += 1;
    }
}
