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
    /// Every authority at the top of a chain or in a bundle.
    roots: BTreeMap<RootName, Validity>,
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
        let pods = seen
            .iter()
            .filter_map(|(pod, config)| {
                let identity = topology.identity(&pod.workload)?;
                Some(((*pod).clone(), known.held(config, &identity)))
            })
            .collect();
        let roots = known.roots.iter().map(|root| {
            let copies = known.roots.iter().filter(|it| it.is_of_authority(root));
            (name(root), worst(copies.map(|it| validity(it, now))))
        });
        Self {
            pods,
            roots: roots.collect(),
        }
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
        let mut conditions = Conditions {
            credentials: Credentials {
                roots: self.roots.clone(),
                workloads: BTreeMap::new(),
            },
            ..Conditions::default()
        };
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
    pub(super) fn usual_bundle(&self) -> Option<Vec<RootName>> {
        let mut counts: Vec<(&Vec<RootName>, usize)> = Vec::new();
        for held in self.pods.values() {
            let bundle = &held.credentials.bundle;
            match counts.iter_mut().find(|(it, _)| *it == bundle) {
                Some((_, count)) => *count += 1,
                None => counts.push((bundle, 1)),
            }
        }
        // Of equally many the longer one: in a rotation it is the newer.
        let most = counts.iter().max_by_key(|(bundle, count)| (*count, bundle.len()));
        most.map(|(bundle, _)| (*bundle).clone())
    }
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
        credentials.revoked = self
            .revoked
            .contains(&(leaf.issuer.as_str(), leaf.serial.as_str()));
        let path = self.path(leaf, chain);
        credentials.issuer = path.root.map_or_else(|| unknown(&path), name);
        credentials.serves_intermediate = path.is_served;
        credentials.intermediate = worst(path.between.iter().map(|it| validity(it, self.now)));
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
