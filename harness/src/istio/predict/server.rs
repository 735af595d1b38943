//! What the server's end makes of arriving bytes.

use std::borrow::Cow;

use super::certificate::{Names, Verifier, credentials};
use super::negotiation::{self, TlsParameters};
use super::secrets;
use crate::call::Payload;
use crate::fault::{Conditions, Obstacle, TlsVersion};
use crate::istio::RuleId;
use crate::istio::policy::{Because, Inbound, InboundChain, InboundGroup, InboundTransport, ListenerClass};
use crate::istio::topology::Topology;
use crate::istio::workload::Workload;
use crate::outcome::{Outcome, OutcomeId, Peers, Side, Transport};
use crate::pki::{Revocation, RootName, WorkloadCredentials};

/// Bytes that arrive at a pod port.
pub(super) enum Bytes<'a> {
    Plaintext,
    Tls(Box<Hello<'a>>),
}

/// A TLS client.
pub(super) struct Hello<'a> {
    /// What it offers.
    pub(super) certificate: Option<Cow<'a, WorkloadCredentials>>,
    /// How it judges the server.
    pub(super) trust: Judge<'a>,
    /// ALPN protocols it offers, in order.
    pub(super) alpn: Vec<&'a str>,
    /// The other parameters it offers.
    pub(super) parameters: TlsParameters,
}

/// How a TLS client judges the server.
pub(super) enum Judge<'a> {
    /// Not at all.
    Nobody,
    /// By the mesh roots in its bundle, and by exact SANs.
    Mesh {
        roots: Vec<RootName>,
        sans: &'a [String],
        revocation: Revocation,
    },
    /// By public roots, which never signed a mesh certificate.
    PublicRoots,
}

/// The called port of one pod.
pub(super) struct Server<'a> {
    pub(super) topology: &'a Topology,
    pub(super) conditions: &'a Conditions,
    pub(super) workload: &'a Workload,
    pub(super) port: u16,
    pub(super) payload: Payload,
}

impl Server<'_> {
    /// What becomes of the bytes.
    pub(super) fn receive(&self, bytes: &Bytes<'_>, because: &mut Vec<Because>) -> Outcome {
        if let Some(unknown) = self.outside_of_the_rules(because) {
            return unknown;
        }
        if let Some(obstacle) = self.conditions.obstacle(&self.workload.name, self.port) {
            return obstructed(obstacle, bytes);
        }
        let Some(inbound) = self.topology.inbound(&self.workload.name, self.port) else {
            let object = Some(self.workload.object.to_string());
            because.push(Because {
                object,
                rule: RuleId::ServerWithoutSidecar,
            });
            return self.application(bytes);
        };
        because.push(Because {
            object: declaring(&inbound),
            rule: group_rule(&inbound.group),
        });
        because.extend(inbound.because.iter().cloned());
        if secrets::waits(self.topology, self.conditions, self.workload) {
            return refused(OutcomeId::NoCertificateYet);
        }
        let inspects = inbound.tls_inspector || inbound.http_inspector;
        if self.payload == Payload::ServerFirst && inspects && matches!(bytes, Bytes::Plaintext) {
            because.push(Because {
                object: None,
                rule: RuleId::InboundWaitsForClient,
            });
            return Outcome::of(OutcomeId::ServerFirstStall);
        }
        let outcome = self.proxy(&inbound, bytes);
        self.authorized(outcome, because)
    }

    fn outside_of_the_rules(&self, because: &mut Vec<Because>) -> Option<Outcome> {
        if let Some(reason) = self.workload.unmodelled.first() {
            let object = Some(self.workload.object.to_string());
            because.push(Because {
                object,
                rule: RuleId::UnmodelledServer,
            });
            return Some(Outcome::unknown(
                Vec::new(),
                format!("{reason} of {} is not modelled", self.workload.name),
            ));
        }
        let object = self
            .topology
            .unmodelled
            .configures(self.workload)
            .filter(|_| self.workload.has_sidecar())?;
        because.push(Because {
            object: Some(object.to_string()),
            rule: RuleId::UnmodelledServer,
        });
        Some(Outcome::unknown(
            Vec::new(),
            format!("{object} configures the server's proxy and is not modelled"),
        ))
    }

    /// An AuthorizationPolicy has its say once the transport has delivered.
    fn authorized(&self, outcome: Outcome, because: &mut Vec<Because>) -> Outcome {
        let passed = outcome.id.is_delivered() || outcome.id == OutcomeId::ConnectionRefused;
        match self
            .topology
            .unmodelled
            .authorizes(self.workload)
            .filter(|_| passed)
        {
            Some(object) => {
                because.push(Because {
                    object: Some(object.to_string()),
                    rule: RuleId::UnmodelledAuthorization,
                });
                let reason = format!("{object} may deny the call; what it says is not modelled");
                Outcome::unknown(vec![outcome.id, OutcomeId::AccessDenied], reason)
            }
            None => outcome,
        }
    }

    /// A plaintext application reached without any proxy.
    fn application(&self, bytes: &Bytes<'_>) -> Outcome {
        match bytes {
            _ if !self.workload.listens_on(self.port) => refused(OutcomeId::ConnectionRefused),
            Bytes::Tls(_) => refused(OutcomeId::TlsToPlaintext),
            Bytes::Plaintext if self.payload == Payload::Tcp && self.speaks_http() => {
                refused(OutcomeId::ProtocolMismatch).over(Transport::Plaintext)
            }
            Bytes::Plaintext => Outcome::of(OutcomeId::Plaintext),
        }
    }

    /// Only HTTP says what is inside; behind any other declaration there may be anything.
    fn speaks_http(&self) -> bool {
        self.topology.declared_class(&self.workload.name, self.port) == Some(ListenerClass::Http)
    }

    fn proxy(&self, inbound: &Inbound, bytes: &Bytes<'_>) -> Outcome {
        match (self.chain(inbound, bytes), bytes) {
            (None, Bytes::Plaintext) => refused(OutcomeId::PlaintextToStrict),
            (None, Bytes::Tls(_)) => refused(OutcomeId::NoFilterChain),
            (Some(chain), bytes) if self.is_refused_at_once(chain) => self.refused_at_once(chain, bytes),
            (Some(chain), Bytes::Tls(hello)) if chain.terminates_mtls => {
                let delivered = || self.deliver(chain, Transport::Mtls, self.authenticated(hello));
                self.handshake_refusal(hello).unwrap_or_else(delivered)
            }
            // Neither an HTTP codec nor a plaintext application reads TLS.
            (Some(_), Bytes::Tls(_)) => refused(OutcomeId::TlsToPlaintext),
            (Some(chain), Bytes::Plaintext) => {
                self.deliver(chain, Transport::Plaintext, Outcome::of(OutcomeId::Plaintext))
            }
        }
    }

    /// A TCP proxy connects to the application as soon as it has a connection itself, before any handshake on that one
    /// (tcp_proxy: `upstream_connect_mode` IMMEDIATE); an HTTP connection manager waits for a request.
    fn is_refused_at_once(&self, chain: InboundChain) -> bool {
        !chain.http && !self.workload.listens_on(self.port)
    }

    /// The server hangs up while the handshake goes on. Where a certificate is refused in it, too, either may come first.
    fn refused_at_once(&self, chain: InboundChain, bytes: &Bytes<'_>) -> Outcome {
        let refusal = match bytes {
            Bytes::Tls(hello) if chain.terminates_mtls => self.handshake_refusal(hello),
            Bytes::Tls(_) | Bytes::Plaintext => None,
        };
        match refusal {
            Some(refusal) => Outcome::unknown(
                vec![refusal.id, OutcomeId::ConnectionRefused],
                format!(
                    "nobody listens behind the server's proxy, and there is {}; the first to hang up decides",
                    refusal.id
                ),
            ),
            None => refused(OutcomeId::ConnectionRefused),
        }
    }

    /// The chain Envoy takes: by transport protocol, then by the first offered protocol that any chain names, else the
    /// one that names none. It never goes back. Without TLS inspector everything counts as plaintext, without HTTP
    /// inspector plaintext has no protocol.
    fn chain(&self, inbound: &Inbound, bytes: &Bytes<'_>) -> Option<InboundChain> {
        let (transport, protocols): (_, &[&str]) = match bytes {
            Bytes::Tls(hello) if inbound.tls_inspector => (InboundTransport::Tls, &hello.alpn),
            Bytes::Plaintext if inbound.http_inspector && self.payload == Payload::Http => {
                (InboundTransport::RawBuffer, &["http/1.1"])
            }
            Bytes::Tls(_) | Bytes::Plaintext => (InboundTransport::RawBuffer, &[]),
        };
        let candidates = || inbound.chains.iter().filter(|chain| chain.transport == transport);
        protocols
            .iter()
            .find_map(|protocol| candidates().find(|chain| chain.alpn.contains(protocol)))
            .or_else(|| candidates().find(|chain| chain.alpn.is_empty()))
            .copied()
    }

    /// The end that refuses the other's certificate, if one does. The client sees the server's first.
    fn handshake_refusal(&self, hello: &Hello<'_>) -> Option<Outcome> {
        let own = self.credentials();
        let parameters = TlsParameters::of_server(
            self.workload.proxy_release(),
            self.topology.mesh.min_protocol_version.as_deref() == Some("TLSV1_3"),
            self.conditions.limits(&self.workload.name, Side::Server),
        );
        let version = match negotiation::negotiate(&hello.parameters, &parameters, own.key) {
            Ok(version) => version,
            Err(missing) => return Some(missing.refusal()),
        };
        if let Some(refusal) = self.client_refusal(hello, &own, version) {
            return Some(refusal);
        }
        let Some(certificate) = &hello.certificate else {
            return Some(refused(OutcomeId::NoClientCertificate));
        };
        let trust_domains = self.topology.trust_domains();
        let verifier = Verifier {
            side: Side::Server,
            roots: &own.bundle,
            names: Names::TrustDomains(&trust_domains),
            revocation: own.revocation,
            version,
            minds_key_usage: true,
        };
        verifier.refusal(certificate, self.conditions)
    }

    fn authenticated(&self, hello: &Hello<'_>) -> Outcome {
        let peers = Peers {
            client: hello.certificate.as_ref().map(|it| it.identity.clone()),
            server: Some(self.credentials().identity.clone()),
            ..Peers::default()
        };
        Outcome {
            peers: Some(peers),
            ..Outcome::of(OutcomeId::Mtls)
        }
    }

    fn credentials(&self) -> Cow<'_, WorkloadCredentials> {
        credentials(self.topology, self.conditions, &self.workload.name)
    }

    fn client_refusal(
        &self,
        hello: &Hello<'_>,
        server: &WorkloadCredentials,
        version: TlsVersion,
    ) -> Option<Outcome> {
        match &hello.trust {
            Judge::Nobody => None,
            Judge::PublicRoots => Some(Outcome::refused(OutcomeId::UntrustedRoot, Side::Client)),
            Judge::Mesh {
                roots,
                sans,
                revocation,
            } => {
                let verifier = Verifier {
                    side: Side::Client,
                    roots,
                    names: Names::Exact(sans),
                    revocation: *revocation,
                    version,
                    minds_key_usage: hello.parameters.minds_key_usage,
                };
                verifier.refusal(server, self.conditions)
            }
        }
    }

    /// Hands the bytes inside to the application.
    fn deliver(&self, chain: InboundChain, transport: Transport, delivered: Outcome) -> Outcome {
        if chain.http && self.payload == Payload::ServerFirst {
            let reason = "an HTTP proxy waits for a request, and how long its caller waits is not known";
            return Outcome::unknown(
                vec![OutcomeId::ServerFirstStall, OutcomeId::ProtocolMismatch],
                reason,
            );
        }
        if chain.http && self.payload == Payload::Tcp {
            refused(OutcomeId::ProtocolMismatch).over(transport)
        } else if !self.workload.listens_on(self.port) {
            refused(OutcomeId::ConnectionRefused)
        } else {
            delivered
        }
    }
}

/// What becomes of bytes that do not reach the pod.
fn obstructed(obstacle: Obstacle, bytes: &Bytes<'_>) -> Outcome {
    match (obstacle, bytes) {
        (Obstacle::Refusal, _) => refused(OutcomeId::ConnectionRefused),
        (Obstacle::BlackHole, _) => Outcome::of(OutcomeId::ConnectTimeout),
        (Obstacle::Silence, Bytes::Tls(_)) => Outcome::of(OutcomeId::HandshakeTimeout),
        (Obstacle::Silence, Bytes::Plaintext) => Outcome::unknown(
            Vec::new(),
            "nobody answers the request; how long its caller waits is not known",
        ),
    }
}

const fn refused(id: OutcomeId) -> Outcome {
    Outcome::refused(id, Side::Server)
}

fn declaring(inbound: &Inbound) -> Option<String> {
    match &inbound.group {
        InboundGroup::Declared { namespace, name, .. } => Some(format!("Service/{namespace}/{name}")),
        InboundGroup::PortLevel | InboundGroup::CatchAll => None,
    }
}

const fn group_rule(group: &InboundGroup) -> RuleId {
    match group {
        InboundGroup::Declared { .. } => RuleId::InboundDeclaredPort,
        InboundGroup::PortLevel => RuleId::InboundPortLevel,
        InboundGroup::CatchAll => RuleId::InboundCatchAll,
    }
}
