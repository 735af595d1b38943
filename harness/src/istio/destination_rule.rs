//! DestinationRule: which one a client's calls to a host go by.
//!
//! Sources: pilot/pkg/model/push_context.go@1.30.3 (`setDestinationRules`, `destinationRule`,
//! `getExportedDestinationRuleFromNamespace`), pilot/pkg/model/destination_rule.go@1.30.3 (`mergeDestinationRule`),
//! pilot/pkg/model/sidecar.go@1.30.3 (`SidecarScope.DestinationRule`), and their tests.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Flaw};
use super::host;
use super::peer_authentication::{age_key, finding};
use super::releases;
use super::rule_id::RuleId;
use crate::snapshot::api::{DestinationRuleSpec, Subset, TrafficPolicy, WorkloadSelector};
use crate::snapshot::{MeshConfig, Object, ObjectRef, Snapshot, Stored};

/// A DestinationRule, with what others of the same host added to it.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// The first rule.
    pub(super) object: ObjectRef,
    /// The rules merged, the first among them.
    pub(super) from: Vec<ObjectRef>,
    /// Selects client pods.
    pub(super) selector: Option<WorkloadSelector>,
    pub(super) traffic_policy: Option<TrafficPolicy>,
    pub(super) subsets: Vec<Subset>,
    export_to: BTreeSet<String>,
}

/// All DestinationRules, by the namespaces in which clients look for them.
#[derive(Clone, Debug, Default)]
pub(super) struct DestinationRules {
    root_namespace: String,
    /// Rules that clients of the rule's own namespace see.
    local: BTreeMap<String, ByHost>,
    /// Rules of the root namespace that only it sees; its clients see no other rule as their own.
    root_private: ByHost,
    /// Rules that clients of other namespaces may see.
    exported: BTreeMap<String, ByHost>,
}

#[derive(Clone, Debug, Default)]
struct ByHost {
    exact: BTreeMap<String, Vec<Rule>>,
    wildcard: BTreeMap<String, Vec<Rule>>,
}

/// A client as far as rules distinguish clients.
pub(super) struct Client<'a> {
    pub(super) namespace: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
}

impl DestinationRules {
    pub(super) fn new(snapshot: &Snapshot, findings: &mut Vec<Finding>) -> Self {
        let mesh = &snapshot.mesh;
        let by_export_to = releases::merges_by_export_to(&snapshot.release);
        let mut rules = Self {
            root_namespace: mesh.root_namespace.clone(),
            ..Self::default()
        };
        for (name, stored, spec) in in_order(snapshot) {
            report_invalid(name, stored, spec, findings);
            let namespace = name.namespace.clone().unwrap_or_default();
            let host = host::resolve(&spec.host, &namespace, &mesh.cluster_domain);
            let rule = Rule::new(name, spec);
            let exports = &rule.export_to;
            let sees = |who: &str| exports.contains(who);
            let is_local = exports.is_empty() || sees("*") || sees(".") || sees(&namespace);
            let is_private = is_private(exports, &namespace, mesh);
            if is_local {
                rules
                    .local
                    .entry(namespace.clone())
                    .or_default()
                    .add(&host, &rule, by_export_to);
            }
            if is_private && namespace == mesh.root_namespace {
                rules.root_private.add(&host, &rule, by_export_to);
            }
            if !is_private {
                rules
                    .exported
                    .entry(namespace)
                    .or_default()
                    .add(&host, &rule, by_export_to);
            }
        }
        rules
    }

    /// Every host or wildcard that a rule is about, and the rule.
    pub(super) fn hosts(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let places = self
            .local
            .values()
            .chain([&self.root_private])
            .chain(self.exported.values());
        places
            .flat_map(|place| place.exact.iter().chain(&place.wildcard))
            .flat_map(|(host, rules)| rules.iter().map(move |rule| (host.as_str(), rule)))
    }

    /// The rule for calls of a client to a service host, and the rule id of the place it was found in: the client's
    /// namespace, else the service's, else the root namespace. Only the most specific host of the first place that
    /// has any counts; nothing is inherited from other hosts or places.
    pub(super) fn find(
        &self,
        client: &Client<'_>,
        host: &str,
        service_namespace: &str,
    ) -> Option<(&Rule, RuleId)> {
        let own = match client.namespace == self.root_namespace {
            true => Some(&self.root_private),
            false => self.local.get(client.namespace),
        };
        if let Some(rules) = own.and_then(|rules| rules.most_specific(host)) {
            return Some((client.pick(rules.iter())?, RuleId::DestinationRuleClientNamespace));
        }
        let places = [
            (service_namespace, RuleId::DestinationRuleServiceNamespace),
            (self.root_namespace.as_str(), RuleId::DestinationRuleRootNamespace),
        ];
        for (place, id) in places {
            let Some(rules) = self
                .exported
                .get(place)
                .and_then(|rules| rules.most_specific(host))
            else {
                continue;
            };
            let mut visible = rules
                .iter()
                .filter(|rule| rule.is_exported_to(client.namespace))
                .peekable();
            if visible.peek().is_some() {
                return Some((client.pick(visible)?, id));
            }
        }
        None
    }
}

impl Client<'_> {
    /// The rule whose selector picks the client's pod, else the last one without selector.
    fn pick<'r>(&self, rules: impl Iterator<Item = &'r Rule>) -> Option<&'r Rule> {
        let mut for_all = None;
        for rule in rules {
            match &rule.selector {
                None => for_all = Some(rule),
                Some(selector) if rule.is_of(self.namespace) && selector.matches(self.labels) => {
                    return Some(rule);
                }
                Some(_) => {}
            }
        }
        for_all
    }
}

impl ByHost {
    /// The exact host, else the longest wildcard that matches, alphabetically first among equals
    /// (pilot/pkg/model/config.go@1.30.3: `MostSpecificHostMatch`).
    fn most_specific(&self, wanted: &str) -> Option<&Vec<Rule>> {
        self.exact.get(wanted).or_else(|| {
            let matching = self
                .wildcard
                .iter()
                .filter(|(pattern, _)| host::matches(pattern, wanted));
            // Keys come in alphabetical order and the last of equal maxima wins, hence reversed.
            matching
                .rev()
                .max_by_key(|(pattern, _)| pattern.len())
                .map(|(_, rules)| rules)
        })
    }

    /// Adds a rule, merging it into those of the same host where that is allowed. `by_export_to`: rules merge only if
    /// they are exported to the same namespaces, or the newcomer to more than a base that says to which.
    fn add(&mut self, host: &str, rule: &Rule, by_export_to: bool) {
        let place = if host.starts_with('*') {
            &mut self.wildcard
        } else {
            &mut self.exact
        };
        let rules = place.entry(host.to_owned()).or_default();
        let mut keep = true;
        for base in &mut *rules {
            if by_export_to {
                keep = rule.export_to != base.export_to;
                let exported_to_more =
                    !base.export_to.is_empty() && rule.export_to.is_superset(&base.export_to);
                if keep && !exported_to_more {
                    continue;
                }
            }
            if rule.selector.is_some() && base.selector.is_some() && rule.selector != base.selector {
                keep |= by_export_to;
                continue;
            }
            if rule.selector == base.selector {
                keep = false;
            }
            base.absorb(rule);
        }
        if keep {
            rules.push(rule.clone());
        }
    }
}

impl Rule {
    fn new(name: &ObjectRef, spec: &DestinationRuleSpec) -> Self {
        // A rule with a selector is never exported.
        let export_to = match &spec.workload_selector {
            Some(_) => BTreeSet::from([".".to_owned()]),
            None => spec.export_to.iter().cloned().collect(),
        };
        Self {
            object: name.clone(),
            from: vec![name.clone()],
            selector: spec.workload_selector.clone(),
            traffic_policy: spec.traffic_policy.clone(),
            subsets: spec.subsets.clone(),
            export_to,
        }
    }

    pub(super) fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// Whether what the rule does to a call depends on who is behind the host: by name, or by label.
    pub(super) fn depends_on_servers(&self) -> bool {
        let names_sans = |policy: &TrafficPolicy| {
            let of_ports = policy.port_level_settings.iter().map(|it| &it.tls);
            let mut settings = of_ports.chain([&policy.tls]).flatten();
            settings.any(|tls| !tls.subject_alt_names.is_empty())
        };
        !self.subsets.is_empty() || self.traffic_policy.as_ref().is_some_and(names_sans)
    }

    /// Takes over what a later rule of the same host adds: subsets of new names, and its whole policy if there is none.
    fn absorb(&mut self, later: &Self) {
        self.from.push(later.object.clone());
        for subset in &later.subsets {
            if self.subset(&subset.name).is_none() {
                self.subsets.push(subset.clone());
            }
        }
        if self.traffic_policy.is_none() {
            self.traffic_policy.clone_from(&later.traffic_policy);
        }
    }

    fn is_of(&self, namespace: &str) -> bool {
        self.object.namespace.as_deref() == Some(namespace)
    }

    /// Whether it is not exported to some namespaces alone. One that is exported to none is in its own alone.
    pub(super) fn is_alike_elsewhere(&self) -> bool {
        let named = self
            .export_to
            .iter()
            .filter(|it| !matches!(it.as_str(), "*" | "."));
        self.export_to.contains("*") || named.count() == 0
    }

    fn is_exported_to(&self, namespace: &str) -> bool {
        self.export_to.is_empty() || self.export_to.contains("*") || self.export_to.contains(namespace)
    }
}

/// Whether no other namespace sees the rule. A default of `.` counts only for rules that say nothing.
fn is_private(export_to: &BTreeSet<String>, namespace: &str, mesh: &MeshConfig) -> bool {
    match export_to.len() {
        0 => mesh.default_destination_rule_export_to.iter().any(|it| it == "."),
        1 => export_to.contains(".") || export_to.contains(namespace),
        _ => false,
    }
}

/// Rules with a selector first, then oldest first; equal ages by name, then namespace.
fn in_order(snapshot: &Snapshot) -> Vec<(&ObjectRef, &Stored, &DestinationRuleSpec)> {
    let mut rules: Vec<_> = snapshot
        .objects()
        .filter_map(|(name, stored)| match &stored.object {
            Object::DestinationRule(rule) => Some((name, stored, &rule.spec)),
            _ => None,
        })
        .collect();
    rules.sort_by_key(|(name, stored, spec)| (spec.workload_selector.is_none(), age_key(name, stored.age)));
    rules
}

/// What the API server would refuse (pkg/config/validation/validation.go@1.30.3: `ValidateDestinationRule`).
fn report_invalid(
    name: &ObjectRef,
    stored: &Stored,
    spec: &DestinationRuleSpec,
    findings: &mut Vec<Finding>,
) {
    let mut report = |message: String| findings.push(finding(name, stored, Flaw::Invalid, message));
    let own = name.namespace.as_deref().unwrap_or_default();
    let listed = |it: &str| spec.export_to.iter().any(|to| to == it);
    if spec.host.is_empty() {
        report("invalid: it names no host".to_owned());
    }
    if spec.export_to.iter().collect::<BTreeSet<_>>().len() != spec.export_to.len()
        || (listed(".") && listed(own))
    {
        report("invalid: exportTo names a namespace twice".to_owned());
    }
    if listed("*") && spec.export_to.len() > 1 {
        report("invalid: exportTo has `*` beside other namespaces".to_owned());
    }
    if spec.workload_selector.is_some() && spec.export_to.iter().any(|to| to != "." && to != own) {
        report(
            "invalid: a rule with a workloadSelector can be exported to its own namespace only".to_owned(),
        );
    }
    let subsets = spec
        .subsets
        .iter()
        .filter_map(|subset| subset.traffic_policy.as_ref());
    for entry in spec
        .traffic_policy
        .iter()
        .chain(subsets)
        .flat_map(|policy| &policy.port_level_settings)
    {
        if entry.port.is_none_or(|port| port.number == 0) {
            report("invalid: an entry of portLevelSettings names no port".to_owned());
        }
        if *entry
            == (crate::snapshot::api::PortTrafficPolicy {
                port: entry.port,
                ..Default::default()
            })
        {
            report("invalid: an entry of portLevelSettings sets nothing".to_owned());
        }
    }
}
