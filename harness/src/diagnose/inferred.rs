//! What proxies show of their certificates, in the words that prediction reads.
//!
//! The result is what a scenario would have to inject for prediction to see the same state; how a handshake ends in that
//! state is for [`crate::istio::predict()`] alone to say.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::observed::{Observed, ProxyConfig};
use crate::call::{PodName, WorkloadName};
use crate::fault::{Conditions, TlsLimits};
use crate::istio::Topology;
use crate::outcome::Side;
use crate::pki::{
    Certificate, Credentials, LeafKey, Revocation, RootName, Supply, Validity, WorkloadCredentials,
};

/// What the proxies that were seen hold and take.
#[derive(Debug, Default)]
pub(super) struct Inferred {
    /// By pod.
    pods: BTreeMap<PodName, Held>,
    /// What most of them trust.
    usual: Vec<RootName>,
    /// A mesh in which all is well with whoever was not seen.
    rest: Conditions,
}

/// What one proxy holds and takes.
#[derive(Debug)]
struct Held {
    credentials: WorkloadCredentials,
    limits: BTreeMap<Side, TlsLimits>,
}

impl Inferred {
    /// Reads what was seen at the time `now`.
    pub(super) fn new(observed: &Observed, topology: &Topology, now: Timestamp) -> Self {
        let seen: Vec<(&PodName, &ProxyConfig)> = observed
            .proxies
            .iter()
            .filter_map(|(pod, proxy)| Some((pod, &**proxy.config.seen()?)))
            .collect();
        let known = Known::of(&seen, now);
        let identified = |pod: &PodName| topology.identity(&pod.workload);
        let held = |(pod, config): &(&PodName, &ProxyConfig)| {
            Some(((*pod).clone(), known.held(config, &identified(pod)?)))
        };
        let mut pods: BTreeMap<PodName, Held> = seen.iter().filter_map(held).collect();
        let usual = usual_bundle(&seen);
        for (pod, config) in &seen {
            let Some(held) = pods.get_mut(*pod) else { continue };
            // Of what has not arrived, nothing but that is wrong.
            if config.secrets.chain.is_empty() {
                held.credentials.issuer = issuer(&usual);
            }
            if config.secrets.roots.is_empty() {
                held.credentials.bundle.clone_from(&usual);
            }
        }
        let roots = known.roots.iter().map(|root| {
            let copies = known.roots.iter().filter(|it| it.is_of_authority(root));
            (name(root), worst(copies.map(|it| validity(it, now))))
        });
        let well = |workload: &WorkloadName| {
            let credentials = WorkloadCredentials {
                issuer: issuer(&usual),
                bundle: usual.clone(),
                ..WorkloadCredentials::healthy(topology.identity(workload)?)
            };
            Some((workload.clone(), credentials))
        };
        let rest = Conditions {
            credentials: Credentials {
                roots: roots.collect(),
                workloads: topology.workloads.keys().filter_map(well).collect(),
            },
            ..Conditions::default()
        };
        Self { pods, usual, rest }
    }

    /// The pods of a workload that were seen, those that differ from each other in what counts.
    pub(super) fn kinds_of(&self, workload: &WorkloadName) -> Vec<&PodName> {
        let mut kinds: Vec<(&PodName, &Held)> = Vec::new();
        for (pod, held) in self.pods.iter().filter(|(pod, _)| pod.workload == *workload) {
            let is_known = |(_, other): &(_, &Held)| {
                other.credentials == held.credentials && other.limits == held.limits
            };
            if !kinds.iter().any(is_known) {
                kinds.push((pod, held));
            }
        }
        kinds.into_iter().map(|(pod, _)| pod).collect()
    }

    /// The state of the mesh in which these pods stand for their workloads; of others, their first.
    pub(super) fn conditions(&self, pods: &[&PodName]) -> Conditions {
        let mut conditions = self.rest.clone();
        let first = self.pods.iter().rev();
        let chosen = pods.iter().filter_map(|pod| self.pods.get_key_value(*pod));
        for (pod, held) in first.chain(chosen) {
            let workload = &pod.workload;
            let credentials = &mut conditions.credentials.workloads;
            credentials.insert(workload.clone(), held.credentials.clone());
            conditions
                .tls_limits
                .insert(workload.clone(), held.limits.clone());
        }
        conditions
    }

    /// What most proxies trust: what a proxy that trusts something else should.
    pub(super) fn usual_bundle(&self) -> &[RootName] {
        &self.usual
    }
}

fn usual_bundle(seen: &[(&PodName, &ProxyConfig)]) -> Vec<RootName> {
    let mut counts: BTreeMap<Vec<RootName>, usize> = BTreeMap::new();
    for (_, config) in seen.iter().filter(|(_, it)| !it.secrets.roots.is_empty()) {
        let bundle: Vec<RootName> = config.secrets.roots.iter().map(name).collect();
        *counts.entry(bundle).or_default() += 1;
    }
    // Of equally many the longer one: in a rotation it is the newer.
    let most = counts
        .into_iter()
        .max_by_key(|(bundle, count)| (*count, bundle.len()));
    most.map_or_else(|| vec![RootName::default()], |(bundle, _)| bundle)
}

/// Who issues the certificates of a mesh that trusts this; in a rotation the newer root is the last.
fn issuer(bundle: &[RootName]) -> RootName {
    bundle.last().cloned().unwrap_or_default()
}

/// Certificates that were seen anywhere.
struct Known<'a> {
    now: Timestamp,
    /// What is trusted by somebody, and what signed itself.
    roots: Vec<&'a Certificate>,
    /// What is served beside leaves.
    authorities: Vec<&'a Certificate>,
    /// Serial numbers that a list of their issuer names.
    revoked: Vec<(&'a str, &'a str)>,
}

impl<'a> Known<'a> {
    fn of(seen: &[(&PodName, &'a ProxyConfig)], now: Timestamp) -> Self {
        let secrets = || seen.iter().map(|(_, config)| &config.secrets);
        let served = || secrets().flat_map(|it| it.chain.iter().skip(1));
        let trusted = secrets().flat_map(|it| &it.roots);
        let lists = secrets().flat_map(|it| &it.lists);
        Self {
            now,
            roots: trusted.chain(served().filter(|it| it.is_signed_by(it))).collect(),
            authorities: served().collect(),
            revoked: lists
                .flat_map(|list| {
                    list.revoked
                        .iter()
                        .map(move |it| (list.issuer.as_str(), it.as_str()))
                })
                .collect(),
        }
    }

    fn held(&self, config: &ProxyConfig, identity: &str) -> Held {
        let secrets = &config.secrets;
        let [awaits_certificate, awaits_roots] = config.awaits();
        let mut credentials = WorkloadCredentials::healthy(identity);
        credentials.supply = Supply {
            certificate: !awaits_certificate,
            roots: !awaits_roots,
        };
        if let Some(leaf) = secrets.chain.first() {
            self.read_leaf(leaf, &secrets.chain, &mut credentials);
        }
        if !secrets.roots.is_empty() {
            credentials.bundle = secrets.roots.iter().map(name).collect();
        }
        credentials.revocation = self.revocation(config);
        let limits = [(Side::Client, &config.client), (Side::Server, &config.server)]
            .into_iter()
            .filter(|(_, it)| it.limits != TlsLimits::default())
            .map(|(side, it)| (side, it.limits.clone()))
            .collect();
        Held { credentials, limits }
    }

    fn read_leaf(&self, leaf: &Certificate, chain: &[Certificate], credentials: &mut WorkloadCredentials) {
        if let Some(uri) = leaf.uris.first() {
            credentials.identity.clone_from(uri);
        }
        credentials.leaf = validity(leaf, self.now);
        credentials.key = leaf.key.unwrap_or(LeafKey::EcdsaP256);
        credentials.usage = leaf.usage;
        credentials.revoked = self.has_revoked(leaf);
        let path = self.path(leaf, chain);
        credentials.issuer = path.root.map_or_else(|| unknown(&path), name);
        credentials.serves_intermediate = path.is_served;
        credentials.intermediate_is_revoked = path.between.iter().any(|it| self.has_revoked(it));
        credentials.intermediate = worst(path.between.iter().map(|it| validity(it, self.now)));
    }

    fn has_revoked(&self, certificate: &Certificate) -> bool {
        let it = (certificate.issuer.as_str(), certificate.serial.as_str());
        self.revoked.contains(&it)
    }

    /// From the leaf up, as far as what was seen leads.
    fn path<'c>(&self, leaf: &'c Certificate, chain: &'c [Certificate]) -> Path<'c>
    where
        'a: 'c,
    {
        let mut path = Path {
            top: leaf,
            between: Vec::new(),
            root: None,
            is_served: true,
        };
        // Each step adds one of finitely many: a circle ends when all were taken.
        for _ in 0..=chain.len() + self.authorities.len() {
            if let Some(root) = self.roots.iter().find(|it| path.top.is_signed_by(it)) {
                path.root = Some(root);
                return path;
            }
            let is_next = |it: &&Certificate| !path.between.contains(it) && path.top.is_signed_by(it);
            let served = chain.iter().skip(1).find(is_next);
            let next = served.or_else(|| self.authorities.iter().copied().find(is_next));
            let Some(next) = next else { return path };
            path.is_served &= served.is_some();
            path.between.push(next);
            path.top = next;
        }
        path
    }

    fn revocation(&self, config: &ProxyConfig) -> Revocation {
        let secrets = &config.secrets;
        if secrets.lists.is_empty() {
            return Revocation::Unchecked;
        }
        let is_over = |it: &crate::pki::RevocationList| it.next_update.is_some_and(|end| end < self.now);
        let has_list = |root: &Certificate| secrets.lists.iter().any(|list| list.issuer == root.subject);
        if secrets.lists.iter().any(is_over) {
            Revocation::Expired
        } else if secrets.roots.iter().all(has_list) {
            Revocation::Current
        } else {
            Revocation::WithoutRoot
        }
    }
}

/// A chain as it was followed.
struct Path<'c> {
    top: &'c Certificate,
    between: Vec<&'c Certificate>,
    root: Option<&'c Certificate>,
    /// Whether its own proxy serves all of it below the root.
    is_served: bool,
}

/// Nobody who was seen trusts whoever is at the top of this chain.
fn unknown(path: &Path<'_>) -> RootName {
    RootName(format!("{} (unknown)", path.top.issuer))
}

/// The same for every certificate of one authority, so that a renewed one is not another root.
fn name(root: &Certificate) -> RootName {
    RootName(format!("{} {}", root.subject, root.key_id()))
}

fn validity(certificate: &Certificate, now: Timestamp) -> Validity {
    if certificate.not_after < now {
        Validity::Expired
    } else if certificate.not_before > now {
        Validity::NotYetValid
    } else {
        Validity::Current
    }
}

fn worst(all: impl Iterator<Item = Validity>) -> Validity {
    all.fold(Validity::Current, |worst, it| match worst {
        Validity::Current => it,
        bad => bad,
    })
}
