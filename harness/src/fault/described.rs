//! What each kind of fault imitates, and what an operator sees of it.

use super::Fault;

/// What is known about a kind of fault, for the reader of a scenario.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FaultKind {
    /// As written in scenario files.
    pub id: &'static str,
    /// What it imitates in a real cluster.
    pub imitates: &'static str,
    /// What an operator sees.
    pub shows: &'static str,
}

impl Fault {
    /// Its kind: id, what it imitates, what it shows.
    ///
    /// Alerts and error texts as recorded from Envoy 1.36 to 1.40 (`source/common/tls`); a stock sidecar logs the
    /// server's side of a failed handshake nowhere.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        let (id, imitates, shows) = match self {
            Self::SanSuffix(_) => (
                "san-suffix",
                "a proxy release that asks for, or is issued, an identity with extra characters",
                "503 URX,UF at callers; their proxies log `verify SAN list` failures, the server logs nothing",
            ),
            Self::SanReplace(_) => (
                "san-replace",
                "a pod that runs under another service account than its peers were told, or another trust domain",
                "503 URX,UF at callers while the certificate itself is valid and current",
            ),
            Self::TrustDomain(_) => (
                "trust-domain",
                "two clusters with one root and different `meshConfig.trustDomain`, or a domain renamed without \
                 `trustDomainAliases`",
                "as a server 503 URX,UF at callers; as a client 503 UC, and `fail_verify_san` counted by the server",
            ),
            Self::ExpiredLeaf(_) => (
                "expired-leaf",
                "an agent that could not renew: istiod unreachable for a day, token or CSR refused",
                "alert certificate_expired; `istioctl proxy-config secret` shows VALID CERT false for this pod only",
            ),
            Self::ExpiringLeaf(_) => (
                "expiring-leaf",
                "the moment in which an agent that could not renew lets its proxy's leaf end: no push, no new TLS context",
                "as expired-leaf, but only where a handshake is full: open connections and a server that resumes a \
                 client's session look at the client's certificate no more (`ssl.session_reused` goes up)",
            ),
            Self::NotYetValidLeaf(_) => (
                "not-yet-valid-leaf",
                "a signer whose clock is ahead of the nodes, or a node whose clock is behind",
                "alert certificate_expired, although NOT BEFORE lies in the future; it heals by itself in time",
            ),
            Self::RevokedLeaf(_) => (
                "revoked-leaf",
                "a key that leaked, revoked by a plugged-in CA with `ca-crl.pem` (PILOT_ENABLE_CA_CRL, Istio 1.27)",
                "alert certificate_revoked, in both directions, for this workload only",
            ),
            Self::ExpiredCrl(_) => (
                "expired-crl",
                "a `ca-crl.pem` that nobody publishes any more: its nextUpdate has passed",
                "alert certificate_expired and `CRL has expired`, although every certificate is current",
            ),
            Self::MissingCrl(_) => (
                "missing-crl",
                "a `ca-crl.pem` with the list of the issuing CA only; Envoy wants one of every CA in the chain",
                "alert unknown_ca and `unable to get certificate CRL`, although every certificate is current",
            ),
            Self::KeyEnciphermentOnly(_) => (
                "key-encipherment-only",
                "an RSA template of an external CA made for RSA key exchange: key usage without digitalSignature",
                "`KEY_USAGE_BIT_INCORRECT` at the other end, under TLS 1.2 only from Envoy 1.38 on",
            ),
            Self::ExtendedKeyUsage(_) => (
                "extended-key-usage",
                "a template of an external CA for web servers only, or for clients only",
                "alert unsupported_certificate, in one direction; calls the other way go through",
            ),
            Self::LeafKey(_) => (
                "leaf-key",
                "an external CA, or ECC_SIGNATURE_ALGORITHM and WORKLOAD_RSA_KEY_SIZE of the agent",
                "nothing, where both ends support the key",
            ),
            Self::ExpiredIntermediate(_) => (
                "expired-intermediate",
                "a plugged-in `cacerts` intermediate that nobody renewed; istiod keeps handing out its chain",
                "alert certificate_expired although every leaf is current; restarting pods changes nothing",
            ),
            Self::NotYetValidIntermediate(_) => (
                "not-yet-valid-intermediate",
                "a plugged-in `cacerts` intermediate that was put in before its notBefore, or made by a clock that is ahead",
                "alert certificate_expired, although nothing has expired; every new leaf comes with the same chain",
            ),
            Self::RevokedIntermediate(_) => (
                "revoked-intermediate",
                "a signing key that leaked: the root's list in `ca-crl.pem` names the intermediate (PILOT_ENABLE_CA_CRL, \
                 Istio 1.27)",
                "alert certificate_revoked for everybody whose chain leads through it, whatever leaf they hold",
            ),
            Self::MissingIntermediate(_) => (
                "missing-intermediate",
                "a `cacerts` secret whose cert-chain.pem lacks the intermediate that signs",
                "alert unknown_ca although both ends trust the same root; new leaves change nothing",
            ),
            Self::ExpiredRoot(_) => (
                "expired-root",
                "the end of a root's life, usually the self-signed one of an installation ten years ago or a short-lived own root",
                "every new mTLS connection of the mesh fails at once; connections that are open go on",
            ),
            Self::ForeignRoot(_) => (
                "foreign-root",
                "a workload signed by another CA: a second cluster without a shared root, a root swapped without overlap",
                "alert unknown_ca; callers log `CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate`",
            ),
            Self::OldRootOnly(_) => (
                "old-root-only",
                "a proxy that has not got the new bundle while a root is rotated",
                "alert unknown_ca for peers that already hold leaves of the new root",
            ),
            Self::LastRootOnly(_) => (
                "last-root-only",
                "istiod 1.24.4 and 1.25.1, whose answer makes agents keep only the last root of several",
                "alert unknown_ca for peers of the other root; one certificate in ROOTCA where the ConfigMap has two",
            ),
            Self::StuckAgent(_) => (
                "stuck-agent",
                "an agent that cannot reach istiod (network policy, expired token) while the rest of the mesh moves on",
                "an old serial in `istioctl proxy-config secret`, and unknown_ca once the old root is dropped",
            ),
            Self::MissingSecret(_) => (
                "missing-secret",
                "a new pod whose agent gets no certificate, or no roots: istiod down, CSR refused, token missing",
                "the proxy stays not ready with clusters and listeners warming; TCP to it is refused. Kubernetes \
                 takes such a pod out of its Services, which this harness does not",
            ),
            Self::TlsLimits(_) => (
                "tls-limits",
                "an EnvoyFilter, `meshMTLS.minProtocolVersion`, or a COMPLIANCE_POLICY that only one end has",
                "alert protocol_version, or handshake_failure in answer to the ClientHello; no certificate is looked at",
            ),
            Self::BlackHole(_) => (
                "black-hole",
                "a NetworkPolicy, security group, or node firewall that drops what is sent to the pod",
                "503 URX,UF `connection_timeout` after the connect timeout, times the attempts",
            ),
            Self::SilentPort(_) => (
                "silent-port",
                "a proxy that hangs, or a port in front of it that accepts and does nothing (a stopped process, a \
                 wrong port mapping)",
                "503 URX,UF `connection_timeout`: in the access log the same as a black hole",
            ),
            Self::RefusedPort(_) => (
                "refused-port",
                "a pod whose proxy is gone, or a redirect to a port on which nobody listens",
                "503 URX,UF `delayed connect error: Connection refused` at callers, nothing at the server",
            ),
            Self::UncapturedPort(_) => (
                "uncaptured-port",
                "`traffic.sidecar.istio.io/excludeInboundPorts`; for all ports, a pod whose init container or CNI plugin \
                 did not write the rules",
                "503 URX,UF `WRONG_VERSION_NUMBER` at callers with a sidecar, nothing at the server's; plaintext is \
                 answered whatever the policy says",
            ),
            Self::MisdirectedPort(_) => (
                "misdirected-port",
                "a REDIRECT or DNAT rule to a port that is not the sidecar's, written by hand or by another tool",
                "503 URX,UF `WRONG_VERSION_NUMBER` at callers, nothing at the server's sidecar",
            ),
            Self::UncapturedCalls(_) => (
                "uncaptured-calls",
                "`traffic.sidecar.istio.io/excludeOutboundPorts` or `excludeOutboundIPRanges`, or an application that runs \
                 as the proxy's user, 1337",
                "a connection closed without an answer; nothing in the client sidecar's log",
            ),
            Self::WebhookRemoved(_) => (
                "webhook-removed",
                "a MutatingWebhookConfiguration that was deleted: by hand, with the revision it belonged to, or by \
                 `istioctl tag remove`",
                "nothing, until pods are made anew: they come up ready and without istio-proxy, and no event says why",
            ),
        };
        FaultKind { id, imitates, shows }
    }
}
