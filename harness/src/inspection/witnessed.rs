//! Evidence of a call of our own, from what a mesh shows as Istio ships it: what its caller saw, what the sidecars of both ends
//! logged of it in Istio's format, and the secrets they hold.

use crate::call::{Call, CallKind, WorkloadName};
use crate::diagnose::{Observed, ProxyConfig, servers};
use crate::istio::Topology;
use crate::logs::{Entry, View};
use crate::probe::evidence::{AccessLogEntry, Caller, CertificateInUse, Evidence, ProxyEvidence};

/// Whose the lines of a log are.
#[derive(Clone, Copy, Debug)]
pub enum Logged<'a> {
    /// Of this `x-request-id`, and of others.
    Among(&'a str),
    /// Of this call, and of nothing else.
    Alone,
}

/// A call that was made, and the ends it may have had.
#[derive(Clone, Debug)]
pub struct Witnessed<'a> {
    /// The call.
    pub call: &'a Call,
    /// What its caller saw.
    pub caller: &'a Caller,
    /// Which lines are of it.
    pub logged: Logged<'a>,
    /// The workloads that may have answered and have a sidecar.
    pub servers: &'a [WorkloadName],
    /// Whether the caller has a sidecar.
    pub has_sidecar: bool,
    /// What the proxies showed.
    pub observed: &'a Observed,
}

/// The workloads that may answer a call and have a sidecar, which logs what reaches it.
#[must_use]
pub fn witnesses(topology: &Topology, call: &Call) -> Vec<WorkloadName> {
    let mut servers = servers(topology, call);
    servers.retain(|it| topology.has_sidecar(it));
    servers
}

impl Witnessed<'_> {
    /// What the caller's sidecar logged of it.
    fn own(&self) -> Vec<Entry> {
        match self.has_sidecar {
            true => self
                .entries(&self.call.from)
                .filter(|it| it.view == View::Client && self.is_named(it))
                .collect(),
            false => Vec::new(),
        }
    }

    /// What there is to classify.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let own = self.own();
        let served: Vec<Entry> = self
            .servers
            .iter()
            .flat_map(|it| self.entries(it))
            .filter(|it| it.view == View::Server)
            .filter(|it| self.is_named(it) || own.iter().any(|own| own.shares_connection(it)))
            .collect();
        let is_owed = self.has_sidecar && own.is_empty();
        Evidence {
            kind: CallKind::App,
            payload: self.call.payload,
            foreign_application: true,
            caller: self.caller.clone(),
            client_proxy: self
                .has_sidecar
                .then(|| proxy(own, self.config(std::slice::from_ref(&self.call.from)))),
            server_proxy: (!self.servers.is_empty()).then(|| proxy(served, self.config(self.servers))),
            incomplete: is_owed.then(|| "the client sidecar's access log line".to_owned()),
            ..Evidence::default()
        }
    }

    fn is_named(&self, entry: &Entry) -> bool {
        match self.logged {
            Logged::Among(request) => entry.is_of_request(request),
            Logged::Alone => true,
        }
    }

    fn entries<'s>(&'s self, workload: &'s WorkloadName) -> impl Iterator<Item = Entry> + use<'s> {
        self.observed
            .of(workload)
            .filter_map(|(_, proxy)| proxy.log.seen())
            .flat_map(|log| log.lines())
            .filter_map(Entry::read)
    }

    /// What the first of these workloads' proxies that shows it has in force.
    fn config<'s>(&'s self, workloads: &'s [WorkloadName]) -> Option<&'s ProxyConfig> {
        workloads
            .iter()
            .flat_map(|it| self.observed.of(it))
            .find_map(|(_, proxy)| proxy.config.seen())
            .map(|it| &**it)
    }
}

fn proxy(entries: Vec<Entry>, config: Option<&ProxyConfig>) -> ProxyEvidence {
    let (connections, requests): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|it| it.of_listener);
    let said = |of: Vec<Entry>| of.into_iter().map(said).collect();
    ProxyEvidence {
        tls_unlogged: true,
        envoy: config.and_then(|it| it.envoy.as_deref()?.parse().ok()),
        access_log: said(requests),
        listener_log: said(connections),
        missing_secrets: config.map(|it| it.secrets.awaited.clone()).unwrap_or_default(),
        certificates: config.and_then(leaf).into_iter().collect(),
        ..ProxyEvidence::default()
    }
}

fn said(entry: Entry) -> AccessLogEntry {
    AccessLogEntry {
        code: entry.code,
        flags: entry.flags,
        details: entry.details,
        termination: entry.termination,
        up_fail: entry.upstream_reason,
        down_fail: entry.downstream_reason,
        up_cluster: entry.cluster,
        up_host: entry.upstream_host,
        sni: entry.server_name,
        route: entry.route,
        peer: entry.downstream_remote,
        ..AccessLogEntry::default()
    }
}

fn leaf(config: &ProxyConfig) -> Option<CertificateInUse> {
    let leaf = config.secrets.chain.first()?;
    Some(CertificateInUse {
        role: "leaf".to_owned(),
        uris: leaf.uris.clone(),
        ..CertificateInUse::default()
    })
}
