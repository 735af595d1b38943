//! How one end judges the other's certificate.

use std::borrow::Cow;

use crate::call::WorkloadName;
use crate::fault::Conditions;
use crate::istio::topology::Topology;
use crate::outcome::{Outcome, OutcomeId, Side};
use crate::pki::{RootName, Validity, WorkloadCredentials};

/// An end that verifies a certificate.
pub(super) struct Verifier<'a> {
    /// Which end it is.
    pub(super) side: Side,
    /// The roots it trusts.
    pub(super) roots: &'a [RootName],
    /// The names it accepts.
    pub(super) names: Names<'a>,
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
    /// The refusal of a certificate, if it is refused: first its chain, then validity from the root down, then its name,
    /// as BoringSSL and Envoy go about it.
    pub(super) fn refusal(
        &self,
        presented: &WorkloadCredentials,
        conditions: &Conditions,
    ) -> Option<Outcome> {
        let refused = |id| Some(Outcome::refused(id, self.side));
        if !self.roots.contains(&presented.issuer) {
            return refused(OutcomeId::UntrustedRoot);
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
                Validity::NotYetValid => {
                    let reason = "no outcome names an authority that is not valid yet";
                    return Some(Outcome::unknown(vec![OutcomeId::CertificateNotYetValid], reason));
                }
            }
        }
        match presented.leaf {
            Validity::Current => self.name_refusal(&presented.identity),
            Validity::Expired => refused(OutcomeId::CertificateExpired),
            Validity::NotYetValid => refused(OutcomeId::CertificateNotYetValid),
        }
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
