//! What the client's end makes of a call.

use super::certificate::credentials;
use super::negotiation::TlsParameters;
use super::secrets;
use super::server::{Bytes, Hello, Judge, Server};
use crate::call::{Call, CallKind, Destination, Payload, PodName};
use crate::fault::Conditions;
use crate::istio::RuleId;
use crate::istio::outbound::{Cluster, Pods};
use crate::istio::policy::{
    Because, ClientCertificate, ClientTls, Discovery, ListenerClass, Outbound, TlsOrigination, Trust,
};
use crate::istio::service::{Service, ServicePort};
use crate::istio::topology::Topology;
use crate::istio::virtual_service::{Routing, Target};
use crate::istio::workload::Workload;
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::snapshot::OutboundTrafficPolicy;

/// What a sidecar offers for HTTP/1.1 and HTTP/2 requests (istio.alpn), and for TCP.
const HTTP_ALPN: [&str; 3] = ["istio-http/1.1", "istio", "http/1.1"];
const HTTP2_ALPN: [&str; 3] = ["istio-h2", "istio", "h2"];
const TCP_ALPN: [&str; 1] = ["istio"];
/// Nothing left the caller's end: it knows nobody to send to.
const NO_ROUTE: Outcome = Outcome::refused(OutcomeId::NoRoute, Side::Client);

/// A call and the mesh it is made in.
pub(super) struct Caller<'a> {
    pub(super) topology: &'a Topology,
    pub(super) conditions: &'a Conditions,
    pub(super) call: &'a Call,
}

impl Caller<'_> {
    pub(super) fn outcome(&self, because: &mut Vec<Because>) -> Outcome {
        let Some(workload) = self.topology.workloads.get(&self.call.from) else {
            return unknown(format!("no workload is named {}", self.call.from));
        };
        if self.call.kind.is_of_application()
            && let Some(outcome) = self.outside_of_the_rules(workload, because)
        {
            return outcome;
        }
        if self.call.kind == CallKind::App
            && self.is_captured(workload)
            && secrets::waits(self.topology, self.conditions, workload)
        {
            return Outcome::refused(OutcomeId::NoCertificateYet, Side::Client);
        }
        match &self.call.to {
            Destination::Service {
                namespace,
                name,
                port,
            } => match self.topology.service(namespace, name) {
                Some(service) => self.to_service(workload, service, *port, because),
                None => {
                    let host = format!("{name}.{namespace}.svc.{}", self.topology.mesh.cluster_domain);
                    self.to_host(workload, &host, because)
                }
            },
            Destination::Pod { pod, port } => self.to_pod(workload, pod, *port, because),
            Destination::Host { host, .. } => self.to_host(workload, host, because),
        }
    }

    fn outside_of_the_rules(&self, workload: &Workload, because: &mut Vec<Because>) -> Option<Outcome> {
        if let Some(reason) = workload.unmodelled.first() {
            because.push(Because {
                object: Some(workload.object.to_string()),
                rule: RuleId::UnmodelledClient,
            });
            return Some(unknown(format!("{reason} of {} is not modelled", workload.name)));
        }
        let object = self
            .topology
            .unmodelled
            .configures(workload)
            .filter(|_| workload.has_sidecar())?;
        because.push(Because {
            object: Some(object.to_string()),
            rule: RuleId::UnmodelledClient,
        });
        Some(unknown(format!(
            "{object} configures the client's proxy and is not modelled"
        )))
    }

    fn to_service(
        &self,
        client: &Workload,
        service: &Service,
        number: u16,
        because: &mut Vec<Because>,
    ) -> Outcome {
        if let Some(object) = self.topology.unmodelled.declares(&service.host) {
            because.push(Because {
                object: Some(object.to_string()),
                rule: RuleId::UnmodelledServiceEntry,
            });
            return unknown(format!(
                "{object} declares {} too and is not modelled",
                service.host
            ));
        }
        if service.external || service.selector.is_none() {
            because.push(Because {
                object: Some(service.object().to_string()),
                rule: RuleId::UnmodelledEndpoints,
            });
            return unknown(format!(
                "the endpoints of {} are not in the snapshot",
                service.object()
            ));
        }
        let Some(port) = service.port(number) else {
            because.push(Because {
                object: Some(service.object().to_string()),
                rule: RuleId::ServiceNoSuchPort,
            });
            return self.undeclared(client);
        };
        if service.headless && self.endpoints(service, port).is_empty() {
            // Its name has no address then.
            because.push(Because {
                object: Some(service.object().to_string()),
                rule: RuleId::OutboundNoEndpoint,
            });
            return NO_ROUTE;
        }
        if !self.call.kind.is_of_application() {
            return self.each(self.endpoints(service, port), because, |_| self.raw_bytes());
        }
        if !self.is_captured(client) {
            if !client.has_sidecar() {
                because.push(Because {
                    object: Some(client.object.to_string()),
                    rule: RuleId::ClientWithoutSidecar,
                });
            }
            return self.each(self.endpoints(service, port), because, |_| Bytes::Plaintext);
        }
        if self.call.payload == Payload::ServerFirst && port.class != ListenerClass::Tcp {
            return waits_for_client(Some(service.object().to_string()), because);
        }
        if port.class == ListenerClass::Http && self.call.payload == Payload::Tcp {
            return self.not_http_on_http_port(service, port, because);
        }
        self.through_cluster(client, service, port, because)
    }

    /// Bytes that are not HTTP leave an HTTP listener by its default chain: to the address dialled, as they are.
    fn not_http_on_http_port(
        &self,
        service: &Service,
        port: &ServicePort,
        because: &mut Vec<Because>,
    ) -> Outcome {
        because.push(Because {
            object: Some(service.object().to_string()),
            rule: RuleId::OutboundNotHttp,
        });
        match self.topology.mesh.outbound_traffic_policy {
            OutboundTrafficPolicy::RegistryOnly => Outcome::refused(OutcomeId::EgressBlocked, Side::Client),
            OutboundTrafficPolicy::AllowAny => {
                self.each(self.endpoints(service, port), because, |_| Bytes::Plaintext)
            }
        }
    }

    /// A call that the client's sidecar routes: by the subset it names, else by a VirtualService, else plainly.
    fn through_cluster(
        &self,
        client: &Workload,
        service: &Service,
        port: &ServicePort,
        because: &mut Vec<Because>,
    ) -> Outcome {
        let namespace = &client.name.namespace;
        let routes = &self.topology.virtual_services;
        let plain = Target {
            host: service.host.clone(),
            subset: self.call.subset.clone(),
            port: Some(port.port),
            weight: 0,
        };
        if self.call.kind == CallKind::Mirrored {
            return self.copy(client, service, port, because);
        }
        if self.call.subset.is_some() {
            return self.to_target(client, &plain, port.port, because);
        }
        match routes.route(namespace, &service.host, port.class, self.call.payload) {
            None => self.to_target(client, &plain, port.port, because),
            Some(Routing::Unmodelled { object, reason }) => {
                because.push(Because {
                    object: Some(object.to_string()),
                    rule: RuleId::UnmodelledRoute,
                });
                unknown(format!(
                    "{object} routes the call and {reason}, which is not modelled"
                ))
            }
            Some(Routing::To {
                object, destinations, ..
            }) => {
                because.push(Because {
                    object: Some(object.to_string()),
                    rule: RuleId::VirtualServiceRoute,
                });
                let outcomes = destinations
                    .iter()
                    .map(|target| self.to_target(client, target, port.port, because));
                agreed(outcomes.collect(), "its routes differ")
            }
        }
    }

    /// The copy of a call, if a VirtualService asks for one of every call.
    fn copy(
        &self,
        client: &Workload,
        service: &Service,
        port: &ServicePort,
        because: &mut Vec<Because>,
    ) -> Outcome {
        let routes = &self.topology.virtual_services;
        let routing = routes.route(
            &client.name.namespace,
            &service.host,
            port.class,
            self.call.payload,
        );
        let Some(Routing::To { object, mirrors, .. }) = routing else {
            return unknown("no VirtualService mirrors the call".to_owned());
        };
        because.push(Because {
            object: Some(object.to_string()),
            rule: RuleId::VirtualServiceMirror,
        });
        match mirrors.as_slice() {
            [mirror] if mirror.is_of_all() => self.to_target(client, &mirror.target, port.port, because),
            [_] => unknown(format!("{object} mirrors only some calls")),
            [] => unknown(format!("{object} mirrors no call")),
            [..] => unknown(format!("{object} mirrors the call to several destinations")),
        }
    }

    fn to_target(
        &self,
        client: &Workload,
        target: &Target,
        called_port: u16,
        because: &mut Vec<Because>,
    ) -> Outcome {
        let port = target.port.unwrap_or(called_port);
        let subset = target.subset.as_deref();
        let service = self.topology.service_of_host(&target.host);
        let outbound = service.and_then(|service| self.outbound(client, service, port, subset));
        match outbound {
            Some(outbound) => {
                let dialled = self.dialled(&outbound);
                self.over(&outbound, dialled, because)
            }
            // Envoy answers for a route to a cluster it does not have.
            None => {
                because.push(Because {
                    object: None,
                    rule: RuleId::OutboundNoCluster,
                });
                NO_ROUTE
            }
        }
    }

    /// What the client's sidecar does, with one endpoint for each workload.
    fn outbound(
        &self,
        client: &Workload,
        service: &Service,
        port: u16,
        subset: Option<&str>,
    ) -> Option<Outbound> {
        let cluster = Cluster::of(self.topology, client, service, service.port(port)?, subset)?;
        Some(cluster.outbound(Pods::First))
    }

    /// One pod of each workload behind a Service port, and its port.
    fn endpoints(&self, service: &Service, port: &ServicePort) -> Vec<(PodName, u16)> {
        let behind = self.topology.behind(service, port);
        behind
            .filter_map(|(workload, pod_port)| Some((self.topology.ready(workload).next()?, pod_port)))
            .collect()
    }

    /// The pods that a cluster may reach: those it was told, or, where the address dialled is the endpoint, any pod of
    /// the Service, whatever its subset.
    fn dialled(&self, outbound: &Outbound) -> Vec<(PodName, u16)> {
        if outbound.discovery == Discovery::Eds {
            let endpoints = outbound.endpoints.iter();
            return endpoints.map(|it| (it.pod.clone(), it.port)).collect();
        }
        let key = (outbound.namespace.clone(), outbound.service.clone());
        let service = self.topology.services.get(&key);
        service
            .and_then(|service| Some(self.endpoints(service, service.port(outbound.port)?)))
            .unwrap_or_default()
    }

    fn over(&self, outbound: &Outbound, dialled: Vec<(PodName, u16)>, because: &mut Vec<Because>) -> Outcome {
        because.extend(outbound.because.iter().cloned());
        if dialled.is_empty() && outbound.discovery == Discovery::Eds {
            because.push(Because {
                object: None,
                rule: RuleId::OutboundNoEndpoint,
            });
            return Outcome::refused(OutcomeId::NoHealthyUpstream, Side::Client);
        }
        if let ClientTls::Auto(tls) | ClientTls::Fixed(tls) = &outbound.tls
            && let Some(file) = file_of(tls)
        {
            return unknown(format!("{file} is not in the snapshot"));
        }
        let marks = |pod: &PodName| outbound.endpoints.iter().any(|it| it.pod == *pod && it.tls_mode);
        self.each(dialled, because, |pod| match &outbound.tls {
            ClientTls::Fixed(tls) => self.sidecar_bytes(outbound, tls),
            ClientTls::Auto(tls) if marks(pod) => self.sidecar_bytes(outbound, tls),
            ClientTls::Auto(_) | ClientTls::Plaintext => Bytes::Plaintext,
        })
    }

    /// A pod dialled by its address. Sidecars have listeners for the addresses behind headless TCP and undeclared ports;
    /// everything else is passed on as it is.
    fn to_pod(&self, client: &Workload, pod: &PodName, port: u16, because: &mut Vec<Because>) -> Outcome {
        let exists = self
            .topology
            .workloads
            .get(&pod.workload)
            .is_some_and(|it| pod.ordinal < it.replicas);
        if !exists {
            return NO_ROUTE;
        }
        let dialled = vec![(pod.workload.pod(0), port)];
        if !self.call.kind.is_of_application() {
            return self.each(dialled, because, |_| self.raw_bytes());
        }
        if self.is_captured(client) {
            let headless = self.topology.headless_listener(&pod.workload, port);
            if self.call.payload == Payload::ServerFirst && self.is_inspected(headless, port) {
                return waits_for_client(headless.map(|service| service.object().to_string()), because);
            }
            if let Some(outbound) = headless.and_then(|service| self.outbound(client, service, port, None)) {
                return self.over(&outbound, dialled, because);
            }
            because.push(Because {
                object: None,
                rule: RuleId::OutboundPassthrough,
            });
            if self.topology.mesh.outbound_traffic_policy == OutboundTrafficPolicy::RegistryOnly {
                return Outcome::refused(OutcomeId::EgressBlocked, Side::Client);
            }
        }
        self.each(dialled, because, |_| Bytes::Plaintext)
    }

    /// Whether the listener that takes in what is sent to a pod's port waits for the first bytes: that of a headless
    /// Service whose protocol is to be detected, or the one of all HTTP on that port number.
    fn is_inspected(&self, headless: Option<&Service>, port: u16) -> bool {
        let is_http = |service: &Service| {
            let port = service.port(port);
            port.is_some_and(|port| port.class == ListenerClass::Http)
        };
        match headless {
            Some(service) => service
                .port(port)
                .is_some_and(|port| port.class == ListenerClass::Auto),
            None => self.topology.services.values().any(is_http),
        }
    }

    fn to_host(&self, client: &Workload, host: &str, because: &mut Vec<Because>) -> Outcome {
        if let Some(object) = self.topology.unmodelled.declares(host) {
            because.push(Because {
                object: Some(object.to_string()),
                rule: RuleId::UnmodelledServiceEntry,
            });
            return unknown(format!("{object} declares {host} and is not modelled"));
        }
        because.push(Because {
            object: None,
            rule: RuleId::OutboundUnknownHost,
        });
        self.undeclared(client)
    }

    /// Whether what the client's application sends is taken in by a sidecar.
    fn is_captured(&self, client: &Workload) -> bool {
        client.has_sidecar() && !self.conditions.uncaptured.contains(&client.name)
    }

    /// A host or port that no object declares.
    fn undeclared(&self, client: &Workload) -> Outcome {
        let registry_only = self.topology.mesh.outbound_traffic_policy == OutboundTrafficPolicy::RegistryOnly;
        match self.call.kind.is_of_application() && self.is_captured(client) && registry_only {
            true => Outcome::refused(OutcomeId::EgressBlocked, Side::Client),
            false => NO_ROUTE,
        }
    }

    /// The outcome at the endpoint the call is about, or at all of them if they agree. A Service without endpoints
    /// refuses: kube-proxy rejects what is sent to its address.
    fn each<'b>(
        &'b self,
        dialled: Vec<(PodName, u16)>,
        because: &mut Vec<Because>,
        bytes: impl Fn(&PodName) -> Bytes<'b>,
    ) -> Outcome {
        let wanted = |workload: &Workload| {
            let endpoint = self.call.endpoint.as_ref();
            endpoint.is_none_or(|it| it.workload == workload.name && it.ordinal < workload.replicas)
        };
        if dialled.is_empty() {
            because.push(Because {
                object: None,
                rule: RuleId::OutboundNoEndpoint,
            });
            return Outcome::refused(OutcomeId::ConnectionRefused, Side::Server);
        }
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (pod, port) in &dialled {
            if let Some(workload) = self.topology.workloads.get(&pod.workload).filter(|it| wanted(it)) {
                let server = Server {
                    topology: self.topology,
                    conditions: self.conditions,
                    workload,
                    port: *port,
                    payload: self.call.payload,
                };
                outcomes.push(server.receive(&bytes(pod), because));
            }
        }
        agreed(outcomes, "its endpoints differ")
    }

    fn sidecar_bytes<'b>(&'b self, outbound: &'b Outbound, tls: &'b TlsOrigination) -> Bytes<'b> {
        let own = credentials(self.topology, self.conditions, &self.call.from);
        let trust = match &tls.trust {
            Trust::Nobody => Judge::Nobody,
            Trust::Mesh => Judge::Mesh {
                roots: own.bundle.clone(),
                sans: &tls.sans,
                revocation: own.revocation,
            },
            Trust::System | Trust::File(_) => Judge::PublicRoots,
        };
        let alpn = match (
            tls.alpn_override && self.call.payload == Payload::Http,
            outbound.http2,
        ) {
            (true, true) => HTTP2_ALPN.to_vec(),
            (true, false) => HTTP_ALPN.to_vec(),
            (false, _) => tls.alpn.iter().map(String::as_str).collect(),
        };
        let certificate = (tls.certificate == ClientCertificate::Workload).then_some(own);
        let release = self
            .topology
            .workloads
            .get(&self.call.from)
            .and_then(Workload::proxy_release);
        let limits = self.conditions.limits(&self.call.from, Side::Client);
        Bytes::Tls(Box::new(Hello {
            certificate,
            trust,
            alpn,
            parameters: TlsParameters::of_client(release, limits),
        }))
    }

    /// What a caller that bypasses its sidecar sends. It judges nobody.
    fn raw_bytes(&self) -> Bytes<'_> {
        let asked: Vec<&str> = self.call.alpn.iter().map(String::as_str).collect();
        let (certificate, usual) = match (self.call.kind, self.call.payload) {
            (CallKind::App | CallKind::Mirrored | CallKind::RawPlaintext, _) => return Bytes::Plaintext,
            (CallKind::RawTls, _) => (None, Vec::new()),
            (CallKind::RawMtls, Payload::Http) => (Some(self.own()), HTTP_ALPN.to_vec()),
            (CallKind::RawMtls, Payload::Tcp | Payload::ServerFirst) => (Some(self.own()), TCP_ALPN.to_vec()),
        };
        let alpn = if asked.is_empty() { usual } else { asked };
        Bytes::Tls(Box::new(Hello {
            certificate,
            trust: Judge::Nobody,
            alpn,
            parameters: TlsParameters::of_raw_caller(),
        }))
    }

    fn own(&self) -> std::borrow::Cow<'_, crate::pki::WorkloadCredentials> {
        credentials(self.topology, self.conditions, &self.call.from)
    }
}

/// The client's own proxy waits for the client to speak.
fn waits_for_client(object: Option<String>, because: &mut Vec<Because>) -> Outcome {
    because.push(Because {
        object,
        rule: RuleId::OutboundWaitsForClient,
    });
    Outcome::of(OutcomeId::ServerFirstStall)
}

/// A file that decides about a handshake and whose contents no snapshot holds.
fn file_of(tls: &TlsOrigination) -> Option<&str> {
    match (&tls.certificate, &tls.trust) {
        (ClientCertificate::Files { certificate, .. }, _) => Some(certificate),
        (_, Trust::File(file)) => Some(file),
        _ => None,
    }
}

/// The one outcome, where all are the same.
fn agreed(outcomes: Vec<Outcome>, why_not: &str) -> Outcome {
    let Some(first) = outcomes.first() else {
        return NO_ROUTE;
    };
    if outcomes
        .iter()
        .all(|outcome| outcome.agrees_with(first) && outcome.transport == first.transport)
    {
        return first.clone();
    }
    let ids = outcomes.iter().flat_map(Outcome::possible).copied();
    Outcome::unknown(ids.collect(), why_not)
}

fn unknown(reason: String) -> Outcome {
    Outcome::unknown(Vec::new(), reason)
}
