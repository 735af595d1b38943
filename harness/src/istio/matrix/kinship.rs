//! What distinguishes callers, and service ports, for the rules.
//!
//! A key holds everything about a workload or port that a prediction reads, except its name and what follows from
//! that. Keys that are too fine cost time; too coarse they would be wrong, which a test against single predictions
//! of random meshes would show.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::fault::{Conditions, Obstacle, TlsLimits};
use crate::istio::Topology;
use crate::istio::destination_rule::Rule;
use crate::istio::host;
use crate::istio::matrix::Column;
use crate::istio::policy::{Because, InboundGroup, ListenerClass, MtlsMode};
use crate::istio::predict::secrets;
use crate::istio::releases;
use crate::istio::service::Service;
use crate::istio::workload::Workload;
use crate::outcome::Side;
use crate::pki::WorkloadCredentials;
use crate::snapshot::ObjectRef;

/// A mesh, and what of it tells callers and ports apart.
pub(super) struct Kinship<'a> {
    topology: &'a Topology,
    conditions: &'a Conditions,
    /// Labels that select clients of a rule, by namespace.
    client_labels: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// The rules of each host that one names.
    rules_of_host: HashMap<&'a str, Vec<&'a Rule>>,
    rules_of_wildcard: Vec<(&'a str, &'a Rule)>,
    routed_hosts: HashSet<&'a str>,
    routed_wildcards: BTreeSet<&'a str>,
    /// Wildcards of rules that say the same for every host they cover.
    plain_wildcards: BTreeSet<&'a str>,
}

/// What distinguishes callers.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(super) struct CallerKey<'a> {
    pub(super) namespace: &'a str,
    pub(super) kind: CallerKind<'a>,
}

/// What distinguishes callers, wherever they are.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(super) struct CallerKind<'a> {
    sidecar: bool,
    unmodelled: &'a [String],
    configured_by: Option<&'a ObjectRef>,
    labels: Vec<(&'a str, &'a str)>,
    credentials: Option<&'a WorkloadCredentials>,
    waits: bool,
    tls: Tls<'a>,
}

/// The namespaces of callers that a Service tells apart.
#[derive(Debug)]
pub(super) enum Discerned<'a> {
    /// All of them.
    All,
    /// Each of these, and all others from these.
    These(BTreeSet<&'a str>),
}

impl<'a> Discerned<'a> {
    /// What of the caller's `namespace` the Service sees.
    pub(super) fn seen(&self, namespace: &'a str) -> Option<&'a str> {
        match self {
            Self::All => Some(namespace),
            Self::These(namespaces) => namespaces.contains(namespace).then_some(namespace),
        }
    }
}

/// What distinguishes columns.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(super) enum ColumnKey<'a> {
    /// Policies name the host: nothing else is like it.
    Named(&'a Column),
    /// Any other.
    Like {
        namespace: &'a str,
        wildcards: Vec<&'a str>,
        service_entry: Option<&'a ObjectRef>,
        headless: bool,
        endpoints_known: bool,
        port: u16,
        class: ListenerClass,
        http2: bool,
        servers: Vec<ServerKey<'a>>,
        /// Which of them answers.
        answers: Option<usize>,
    },
}

/// What distinguishes workloads behind a port.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(super) struct ServerKey<'a> {
    inbound: Option<InboundKey>,
    mode: MtlsMode,
    tls_mode: bool,
    listens: bool,
    unmodelled: &'a [String],
    configured_by: Option<&'a ObjectRef>,
    authorized_by: Option<&'a ObjectRef>,
    credentials: Option<&'a WorkloadCredentials>,
    waits: bool,
    tls: Tls<'a>,
    obstacle: Option<Obstacle>,
    /// Whether clients of the Service accept its identity.
    expected: bool,
}

/// What distinguishes ends of TLS, but for certificates.
#[derive(Debug, Eq, Hash, PartialEq)]
struct Tls<'a> {
    limits: Option<&'a TlsLimits>,
    post_quantum: bool,
    minds_key_usage: bool,
}

#[derive(Debug, Eq, Hash, PartialEq)]
struct InboundKey {
    class: ListenerClass,
    mode: MtlsMode,
    because: Vec<Because>,
    declared: Declared,
}

#[derive(Debug, Eq, Hash, PartialEq)]
enum Declared {
    ByTheService,
    ByAnother(String),
    ByPortLevel,
    Nowhere,
}

impl<'a> Kinship<'a> {
    pub(super) fn new(topology: &'a Topology, conditions: &'a Conditions) -> Self {
        let mut kinship = Self {
            topology,
            conditions,
            client_labels: BTreeMap::new(),
            rules_of_host: HashMap::new(),
            rules_of_wildcard: Vec::new(),
            routed_hosts: HashSet::new(),
            routed_wildcards: BTreeSet::new(),
            plain_wildcards: BTreeSet::new(),
        };
        for (pattern, rule) in topology.destination_rules.hosts() {
            if let Some(selector) = &rule.selector {
                let namespace = rule.object.namespace.as_deref().unwrap_or_default();
                let labels = kinship.client_labels.entry(namespace).or_default();
                labels.extend(
                    selector
                        .match_labels
                        .iter()
                        .flatten()
                        .map(|(key, _)| key.as_str()),
                );
            }
            match pattern.starts_with('*') {
                true => kinship.rules_of_wildcard.push((pattern, rule)),
                false => kinship.rules_of_host.entry(pattern).or_default().push(rule),
            }
            if pattern.starts_with('*') && !rule.depends_on_servers() {
                kinship.plain_wildcards.insert(pattern);
            }
        }
        for pattern in topology.virtual_services.hosts() {
            match pattern.starts_with('*') {
                false => kinship.routed_hosts.insert(pattern),
                true => kinship.routed_wildcards.insert(pattern),
            };
        }
        kinship
    }

    pub(super) fn caller(&self, workload: &'a Workload) -> CallerKey<'a> {
        let namespace = workload.name.namespace.as_str();
        let keys = self.client_labels.get(namespace).into_iter().flatten();
        CallerKey {
            namespace,
            kind: CallerKind {
                sidecar: workload.has_sidecar() && !self.conditions.uncaptured.contains(&workload.name),
                unmodelled: &workload.unmodelled,
                configured_by: self.topology.unmodelled.configures(workload),
                labels: keys
                    .filter_map(|key| Some((*key, workload.labels.get(*key)?.as_str())))
                    .collect(),
                credentials: self.unhealthy(workload),
                waits: secrets::waits(self.topology, self.conditions, workload),
                tls: self.tls(workload, Side::Client),
            },
        }
    }

    /// Which namespaces of callers `service` tells apart: those that have a rule for it of their own. A route, or a rule
    /// that only some namespaces see, tells all apart.
    pub(super) fn discerned(&self, service: &Service) -> Discerned<'a> {
        let host = service.host.as_str();
        if self.is_routed(host) {
            return Discerned::All;
        }
        let named = self.rules_of_host.get(host).into_iter().flatten().copied();
        let mut discerned = BTreeSet::new();
        for rule in named.chain(self.wildcard_rules(host)) {
            if !rule.is_alike_elsewhere() {
                return Discerned::All;
            }
            discerned.insert(rule.object.namespace.as_deref().unwrap_or_default());
        }
        Discerned::These(discerned)
    }

    pub(super) fn column(&self, service: &'a Service, column: &'a Column) -> ColumnKey<'a> {
        let covers = |pattern: &&&str| host::matches(pattern, &service.host);
        let port = service.port(column.port);
        let host = service.host.as_str();
        let is_named = self.rules_of_host.contains_key(host)
            || self.is_routed(host)
            || self.wildcard_rules(host).any(Rule::depends_on_servers);
        let Some(port) = port.filter(|_| !is_named) else {
            return ColumnKey::Named(column);
        };
        let behind: Vec<_> = self.topology.behind(service, port).collect();
        ColumnKey::Like {
            namespace: &service.namespace,
            wildcards: self.plain_wildcards.iter().filter(covers).copied().collect(),
            service_entry: self.topology.unmodelled.declares(&service.host),
            headless: service.headless,
            endpoints_known: !service.external && service.selector.is_some(),
            port: port.port,
            class: port.class,
            http2: port.http2,
            answers: column.endpoint.as_ref().and_then(|pod| {
                behind
                    .iter()
                    .position(|(workload, _)| workload.name == pod.workload)
            }),
            servers: behind
                .into_iter()
                .map(|(workload, pod_port)| self.server(service, workload, pod_port))
                .collect(),
        }
    }

    fn server(&self, service: &Service, workload: &'a Workload, pod_port: u16) -> ServerKey<'a> {
        let inbound = self
            .topology
            .inbound(&workload.name, pod_port)
            .map(|inbound| InboundKey {
                class: inbound.class,
                mode: inbound.mode,
                because: inbound.because,
                declared: match inbound.group {
                    InboundGroup::Declared { service: host, .. } if host == service.host => {
                        Declared::ByTheService
                    }
                    InboundGroup::Declared { service: host, .. } => Declared::ByAnother(host),
                    InboundGroup::PortLevel => Declared::ByPortLevel,
                    InboundGroup::CatchAll => Declared::Nowhere,
                },
            });
        let credentials = self.unhealthy(workload);
        let healthy = self.topology.identity(&workload.name).unwrap_or_default();
        let identity = credentials.map_or(&healthy, |it| &it.identity);
        let obstacle = self.conditions.obstacle(&workload.name, pod_port);
        ServerKey {
            inbound,
            mode: self
                .topology
                .peer_authentications
                .mode(workload, Some(pod_port))
                .0,
            tls_mode: workload.tls_mode,
            listens: workload.listens_on(match obstacle {
                Some(Obstacle::Misdirection(to)) => to,
                _ => pod_port,
            }),
            unmodelled: &workload.unmodelled,
            configured_by: self.topology.unmodelled.configures(workload),
            authorized_by: self.topology.unmodelled.authorizes(workload),
            expected: service.identities.is_empty() || service.identities.contains(identity),
            credentials,
            waits: secrets::waits(self.topology, self.conditions, workload),
            tls: self.tls(workload, Side::Server),
            obstacle,
        }
    }

    fn is_routed(&self, host: &str) -> bool {
        self.routed_hosts.contains(host) || self.routed_wildcards.iter().any(|it| host::matches(it, host))
    }

    /// The rules whose wildcards cover `host`.
    fn wildcard_rules(&self, host: &str) -> impl Iterator<Item = &'a Rule> {
        let covering = self
            .rules_of_wildcard
            .iter()
            .filter(move |(pattern, _)| host::matches(pattern, host));
        covering.map(|(_, rule)| *rule)
    }

    fn tls(&self, workload: &Workload, end: Side) -> Tls<'a> {
        let release = workload.proxy_release();
        Tls {
            limits: self.conditions.limits(&workload.name, end),
            post_quantum: release.is_some_and(releases::offers_post_quantum_group),
            minds_key_usage: release.is_some_and(releases::clients_mind_rsa_key_usage),
        }
    }

    /// Credentials that differ from those every workload of its identity holds.
    fn unhealthy(&self, workload: &Workload) -> Option<&'a WorkloadCredentials> {
        let held = self.conditions.credentials.workloads.get(&workload.name)?;
        let identity = self.topology.identity(&workload.name).unwrap_or_default();
        let healthy = WorkloadCredentials {
            generation: held.generation,
            intermediate_generation: held.intermediate_generation,
            ..WorkloadCredentials::healthy(identity)
        };
        (*held != healthy).then_some(held)
    }
}
