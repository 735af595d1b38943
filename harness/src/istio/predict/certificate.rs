//! How one end judges the other's certificate.

use std::borrow::Cow;

use crate::call::WorkloadName;
use crate::fault::{Conditions, TlsVersion};
use crate::istio::topology::Topology;
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::pki::{LeafKey, Revocation, RootName, Validity, WorkloadCredentials};

/// An end that verifies a certificate.
pub(super) struct Verifier<'a> {
    /// Which end it is.
    pub(super) side: Side,
    /// The roots it trusts.
    pub(super) roots: &'a [RootName],
    /// The names it accepts.
    pub(super) names: Names<'a>,
    /// The revocation lists it checks.
    pub(super) revocation: Revocation,
    /// The TLS version spoken.
    pub(super) version: TlsVersion,
    /// Whether it minds, under TLS 1.2 too, that an RSA key may not sign.
    pub(super) minds_key_usage: bool,
}

/// The names that an end accepts.
pub(super) enum Names<'a> {
    /// One of these SANs, exactly; none listed: any name (clients).
    Exact(&'a [String]),
    /// Any SPIFFE id of one of these trust domains (servers).
    TrustDomains(&'a [String]),
}

/// What a workload serves and trusts: what the conditions say, else healthy credentials of its own identity.
pub(super) fn credentials<'a>(
    topology: &Topology,
    conditions: &'a Conditions,
    workload: &WorkloadName,
) -> Cow<'a, WorkloadCredentials> {
    match conditions.credentials.workloads.get(workload) {
        Some(credentials) => Cow::Borrowed(credentials),
        None => Cow::Owned(WorkloadCredentials::healthy(
            topology.identity(workload).unwrap_or_default(),
        )),
    }
}

impl Verifier<'_> {
    /// The refusal of a certificate, if it is refused, in the order in which BoringSSL and Envoy go about it: its
    /// chain, purpose, revocation from the leaf up, validity from the root down, its name. Whether the key may sign is
    /// looked at before all that under TLS 1.3, and after it under TLS 1.2 (ssl/tls13_both.cc,
    /// ssl/handshake_client.cc).
    pub(super) fn refusal(
        &self,
        presented: &WorkloadCredentials,
        conditions: &Conditions,
    ) -> Option<Outcome> {
        let refused = |id| Some(Outcome::refused(id, self.side));
        let may_not_sign = presented.key == LeafKey::Rsa2048 && !presented.usage.digital_signature;
        if may_not_sign && self.version == TlsVersion::V1_3 {
            return refused(OutcomeId::BadKeyUsage);
        }
        if !self.roots.contains(&presented.issuer) || !presented.serves_intermediate {
            return refused(OutcomeId::UntrustedRoot);
        }
        let has_purpose = match self.side {
            Side::Client => presented.usage.server_auth,
            // A purpose of clients is to sign, too (crypto/x509/v3_purp.cc: `check_purpose_ssl_client`).
            Side::Server => presented.usage.client_auth && !may_not_sign,
        };
        if !has_purpose {
            return refused(OutcomeId::BadKeyUsage);
        }
        let revoked = presented.revoked || presented.intermediate_is_revoked;
        match (self.revocation, presented.revoked) {
            (Revocation::Expired, _) | (Revocation::WithoutRoot, false) => {
                return refused(OutcomeId::CrlUnavailable);
            }
            (Revocation::WithoutRoot, true) => return refused(OutcomeId::CertificateRevoked),
            (Revocation::Current, _) if revoked => return refused(OutcomeId::CertificateRevoked),
            (Revocation::Unchecked | Revocation::Current, _) => {}
        }
        let root = conditions
            .credentials
            .roots
            .get(&presented.issuer)
            .copied()
            .unwrap_or_default();
        for authority in [root, presented.intermediate] {
            match authority {
                Validity::Current => {}
                Validity::Expired => return refused(OutcomeId::CaExpired),
                // One outcome, whichever certificate of the chain it is.
                Validity::NotYetValid => return refused(OutcomeId::CertificateNotYetValid),
            }
        }
        match presented.leaf {
            Validity::Current => {}
            Validity::Expired => return refused(OutcomeId::CertificateExpired),
            Validity::NotYetValid => return refused(OutcomeId::CertificateNotYetValid),
        }
        self.name_refusal(&presented.identity).or_else(|| {
            let is_minded = may_not_sign && self.minds_key_usage;
            is_minded.then(|| Outcome::refused(OutcomeId::BadKeyUsage, self.side))
        })
    }

    fn name_refusal(&self, identity: &str) -> Option<Outcome> {
        let id = match self.names {
            Names::Exact(names) if names.is_empty() || names.iter().any(|name| name == identity) => {
                return None;
            }
            Names::Exact(_) => OutcomeId::SanMismatch,
            // A prefix match with the slash after the trust domain: what follows is not looked at.
            Names::TrustDomains(accepted) => match trust_domain(identity) {
                Some((domain, _)) if !accepted.iter().any(|it| it == domain) => {
                    OutcomeId::TrustDomainMismatch
                }
                Some((_, Some(_))) => return None,
                Some((_, None)) | None => OutcomeId::SanMismatch,
            },
        };
        Some(Outcome::refused(id, self.side))
    }
}

/// The trust domain of a SPIFFE id, and its path if it has one.
fn trust_domain(identity: &str) -> Option<(&str, Option<&str>)> {
    let id = identity.strip_prefix("spiffe://")?;
    Some(match id.split_once('/') {
        Some((domain, path)) => (domain, Some(path)),
        None => (id, None),
    })
}
