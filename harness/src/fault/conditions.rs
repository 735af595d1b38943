//! Replaying what happened into the state of the certificates.

use std::collections::BTreeMap;

use super::{Fault, Rotation};
use crate::call::WorkloadName;
use crate::one_or_many::OneOrMany;
use crate::pki::{Credentials, RootName, Validity, WorkloadCredentials};
use crate::reference::{ReferenceError, resolve_workload};

/// What is deliberately different from what the objects of the snapshot ask for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conditions {
    /// The certificates in force.
    pub credentials: Credentials,
}

impl Conditions {
    /// The state after `history`, for workloads of these identities (their SPIFFE ids).
    ///
    /// What happened to a workload that is not among `identities` has no effect; a workload that appeared later than
    /// a rotation of `*` is as if it had been there.
    #[must_use]
    pub fn of(identities: &BTreeMap<WorkloadName, String>, history: &History) -> Self {
        let mut replay = Replay::healthy(identities);
        for event in &history.events {
            match event {
                Event::Injected { fault, targets } => replay.inject(fault, targets),
                Event::Rotated { step, targets } => replay.rotate(step, targets),
            }
        }
        Self {
            credentials: replay.credentials,
        }
    }
}

/// The faults that are active and the rotations that were made, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct History {
    events: Vec<Event>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Event {
    Injected { fault: Fault, targets: Targets },
    Rotated { step: Rotation, targets: Targets },
}

/// The workloads an event is about. Resolved when it happens: a name stays bound to the workload it meant then.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Targets {
    All,
    Some(Vec<WorkloadName>),
}

impl History {
    /// Injects a fault into workloads among `known`.
    ///
    /// # Errors
    /// When it names a workload that is not there.
    pub fn inject<'a>(
        &mut self,
        fault: &Fault,
        known: impl IntoIterator<Item = &'a WorkloadName>,
    ) -> Result<(), ReferenceError> {
        let targets = Targets::resolve(fault.workload(), known)?;
        self.events.push(Event::Injected {
            fault: fault.clone(),
            targets,
        });
        Ok(())
    }

    /// Takes one step of a rotation.
    ///
    /// # Errors
    /// When it names a workload that is not there.
    pub fn rotate<'a>(
        &mut self,
        step: &Rotation,
        known: impl IntoIterator<Item = &'a WorkloadName>,
    ) -> Result<(), ReferenceError> {
        let targets = Targets::resolve(step.workload(), known)?;
        self.events.push(Event::Rotated {
            step: step.clone(),
            targets,
        });
        Ok(())
    }

    /// Removes the fault of this name. Says whether it was active.
    pub fn heal(&mut self, name: &str) -> bool {
        let before = self.events.len();
        self.events
            .retain(|event| !matches!(event, Event::Injected { fault, .. } if fault.name() == name));
        self.events.len() < before
    }

    /// Removes every fault.
    pub fn heal_all(&mut self) {
        self.events.retain(|event| matches!(event, Event::Rotated { .. }));
    }

    /// The active faults, in the order they were injected.
    pub fn active(&self) -> impl Iterator<Item = &Fault> {
        self.events.iter().filter_map(|event| match event {
            Event::Injected { fault, .. } => Some(fault),
            Event::Rotated { .. } => None,
        })
    }
}

impl Targets {
    fn resolve<'a>(
        written: Option<&OneOrMany<String>>,
        known: impl IntoIterator<Item = &'a WorkloadName>,
    ) -> Result<Self, ReferenceError> {
        let Some(written) = written else {
            return Ok(Self::All);
        };
        if written.iter().any(|name| name == "*") {
            return Ok(Self::All);
        }
        let known: Vec<&WorkloadName> = known.into_iter().collect();
        let found = written
            .iter()
            .map(|name| resolve_workload(name, known.iter().copied()));
        Ok(Self::Some(found.collect::<Result<_, _>>()?))
    }

    fn contains(&self, workload: &WorkloadName) -> bool {
        match self {
            Self::All => true,
            Self::Some(workloads) => workloads.contains(workload),
        }
    }
}

/// Credentials, and beside them what the certificates alone do not tell: from which CA a workload gets the next one.
struct Replay {
    credentials: Credentials,
    healthy: BTreeMap<WorkloadName, String>,
    authorities: BTreeMap<WorkloadName, Authority>,
}

#[derive(Clone, Default)]
struct Authority {
    root: RootName,
    intermediate: Validity,
}

impl Replay {
    fn healthy(identities: &BTreeMap<WorkloadName, String>) -> Self {
        let workloads = identities
            .iter()
            .map(|(name, identity)| (name.clone(), WorkloadCredentials::healthy(identity.clone())))
            .collect();
        Self {
            credentials: Credentials {
                workloads,
                ..Credentials::default()
            },
            healthy: identities.clone(),
            authorities: identities
                .keys()
                .map(|name| (name.clone(), Authority::default()))
                .collect(),
        }
    }

    fn inject(&mut self, fault: &Fault, targets: &Targets) {
        if let Fault::ExpiredRoot(expired) = fault {
            self.credentials
                .roots
                .insert(RootName(expired.root.clone()), Validity::Expired);
            return;
        }
        self.each(targets, |holder, authority, _| match fault {
            Fault::SanSuffix(san) => holder.identity.push_str(&san.suffix),
            Fault::SanReplace(replaced) => holder.identity.clone_from(&replaced.san),
            Fault::ExpiredLeaf(_) => holder.leaf = Validity::Expired,
            Fault::NotYetValidLeaf(_) => holder.leaf = Validity::NotYetValid,
            Fault::ExpiredIntermediate(_) => {
                holder.intermediate = Validity::Expired;
                authority.intermediate = Validity::Expired;
            }
            Fault::ForeignRoot(_) => {
                // A whole chain of its own; the CA that re-issues stays the mesh's.
                holder.issuer = RootName(format!("foreign:{}", fault.name()));
                holder.intermediate = Validity::Current;
            }
            Fault::ExpiredRoot(_) => {}
        });
    }

    fn rotate(&mut self, step: &Rotation, targets: &Targets) {
        match step {
            Rotation::Trust(added) => {
                let root = RootName(added.root.clone());
                self.credentials.roots.entry(root.clone()).or_default();
                self.each(targets, |holder, _, _| {
                    if !holder.bundle.contains(&root) {
                        holder.bundle.push(root.clone());
                    }
                });
            }
            Rotation::Retire(retired) => {
                self.each(targets, |holder, _, _| {
                    holder.bundle.retain(|root| root.0 != retired.root)
                });
            }
            Rotation::Cutover(cutover) => {
                let root = RootName(cutover.root.clone());
                self.credentials.roots.entry(root.clone()).or_default();
                self.each(targets, |holder, authority, identity| {
                    authority.move_to(Some(&cutover.root));
                    holder.bundle = vec![root.clone()];
                    holder.identity = identity.to_owned();
                    holder.leaf = Validity::Current;
                    holder.serve(authority);
                });
            }
            Rotation::Leaf(reissued) => self.each(targets, |holder, authority, identity| {
                authority.move_to(reissued.root.as_deref());
                holder.identity = identity.to_owned();
                holder.leaf = Validity::Current;
                holder.serve(authority);
            }),
            Rotation::Intermediate(reissued) => self.each(targets, |holder, authority, _| {
                authority.move_to(reissued.root.as_deref());
                authority.intermediate = Validity::Current;
                holder.serve(authority);
            }),
        }
    }

    fn each(
        &mut self,
        targets: &Targets,
        mut change: impl FnMut(&mut WorkloadCredentials, &mut Authority, &str),
    ) {
        for (name, holder) in &mut self.credentials.workloads {
            if let (true, Some(identity)) = (targets.contains(name), self.healthy.get(name)) {
                let authority = self.authorities.entry(name.clone()).or_default();
                change(holder, authority, identity);
            }
        }
    }
}

impl Authority {
    /// Another root means another CA, with an intermediate of its own; the same root changes nothing.
    fn move_to(&mut self, root: Option<&str>) {
        if let Some(root) = root.filter(|root| *root != self.root.0) {
            *self = Self {
                root: RootName(root.to_owned()),
                intermediate: Validity::Current,
            };
        }
    }
}

impl WorkloadCredentials {
    fn serve(&mut self, authority: &Authority) {
        self.issuer = authority.root.clone();
        self.intermediate = authority.intermediate;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENT: &str = "spiffe://cluster.local/ns/payments/sa/payment";

    fn identities() -> BTreeMap<WorkloadName, String> {
        ["checkout", "payment"]
            .into_iter()
            .map(|name| {
                let identity = format!("spiffe://cluster.local/ns/payments/sa/{name}");
                (WorkloadName::new("payments", name), identity)
            })
            .collect()
    }

    /// What `payment` holds after these faults (`- kind: {…}`) and rotations, written as in a scenario.
    fn payment_after(events: &[serde_json::Value]) -> WorkloadCredentials {
        let identities = identities();
        let mut history = History::default();
        for event in events {
            match serde_json::from_value::<Fault>(event.clone()) {
                Ok(fault) => history.inject(&fault, identities.keys()).unwrap(),
                Err(_) => {
                    let step: Rotation = serde_json::from_value(event.clone()).unwrap();
                    history.rotate(&step, identities.keys()).unwrap();
                }
            }
        }
        let mut conditions = Conditions::of(&identities, &history);
        conditions
            .credentials
            .workloads
            .remove(&WorkloadName::new("payments", "payment"))
            .unwrap()
    }

    fn yaml(text: &str) -> Vec<serde_json::Value> {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn each_fault_breaks_exactly_one_thing() {
        let healthy = || WorkloadCredentials::healthy(PAYMENT);
        let table = [
            ("san-suffix: {workload: payment, suffix: '.'}", {
                let mut c = healthy();
                c.identity = format!("{PAYMENT}.");
                c
            }),
            (
                "san-replace: {workload: payments/payment, san: 'spiffe://other'}",
                {
                    let mut c = healthy();
                    c.identity = "spiffe://other".to_owned();
                    c
                },
            ),
            ("expired-leaf: {workload: [payment, checkout]}", {
                let mut c = healthy();
                c.leaf = Validity::Expired;
                c
            }),
            ("not-yet-valid-leaf: {workload: payment}", {
                let mut c = healthy();
                c.leaf = Validity::NotYetValid;
                c
            }),
            ("expired-intermediate: {}", {
                let mut c = healthy();
                c.intermediate = Validity::Expired;
                c
            }),
            ("expired-leaf: {workload: checkout}", healthy()),
            ("expired-root: {}", healthy()),
            ("foreign-root: {workload: payment}", {
                let mut c = healthy();
                c.issuer = RootName("foreign:foreign-root".to_owned());
                c
            }),
        ];
        for (fault, expected) in table {
            assert_eq!(payment_after(&yaml(&format!("- {fault}"))), expected, "{fault}");
        }
    }

    #[test]
    fn reissuing_a_leaf_heals_what_came_before_it_and_belongs_to_the_leaf() {
        for fault in [
            "expired-leaf: {workload: payment}",
            "san-suffix: {workload: payment, suffix: '.'}",
            "foreign-root: {workload: payment}",
        ] {
            let healed = payment_after(&yaml(&format!("- {fault}\n- leaf: {{workload: payment}}")));
            let expected = WorkloadCredentials {
                generation: 1,
                ..WorkloadCredentials::healthy(PAYMENT)
            };
            assert_eq!(healed, expected, "{fault}");
        }
    }

    #[test]
    fn a_fault_that_comes_after_the_rotation_holds() {
        let broken = payment_after(&yaml("- leaf: {}\n- expired-leaf: {workload: payment}"));
        assert_eq!((broken.leaf, broken.generation), (Validity::Expired, 1));
    }

    #[test]
    fn reissuing_a_leaf_does_not_heal_the_intermediate_but_reissuing_that_does() {
        let broken = "- expired-intermediate: {}\n- leaf: {}";
        assert_eq!(payment_after(&yaml(broken)).intermediate, Validity::Expired);
        let renewed = payment_after(&yaml(&format!("{broken}\n- intermediate: {{}}")));
        assert_eq!((renewed.intermediate, renewed.generation), (Validity::Current, 2));
    }

    #[test]
    fn a_root_is_replaced_by_trusting_then_reissuing_then_retiring() {
        let rotated = payment_after(&yaml(
            "- expired-root: {root: mesh}\n- trust: {root: renewed}\n- leaf: {root: renewed}\n- retire: {root: mesh}",
        ));
        assert_eq!(rotated.issuer.0, "renewed");
        assert_eq!(rotated.bundle, [RootName("renewed".to_owned())]);
    }

    #[test]
    fn a_healed_fault_leaves_no_trace() {
        let identities = identities();
        let mut history = History::default();
        let fault: Fault = serde_saphyr::from_str("expired-leaf: {workload: payment, name: stale}").unwrap();
        history.inject(&fault, identities.keys()).unwrap();
        assert_eq!(history.active().map(Fault::name).collect::<Vec<_>>(), ["stale"]);
        assert!(history.heal("stale"));
        assert!(!history.heal("stale"));
        assert_eq!(history, History::default());
    }

    #[test]
    fn an_expired_root_is_expired_for_everybody() {
        let identities = identities();
        let mut history = History::default();
        let fault: Fault = serde_saphyr::from_str("expired-root: {}").unwrap();
        history.inject(&fault, identities.keys()).unwrap();
        let roots = Conditions::of(&identities, &history).credentials.roots;
        assert_eq!(roots, [(RootName::default(), Validity::Expired)].into());
    }
}
