//! What an outcome alone tells of its cause, where nothing that was seen explains it.

use super::cause::Cause;
use super::change::{Change, Parameter, Part};
use super::ends;
use crate::call::{Call, WorkloadName};
use crate::istio::Topology;
use crate::outcome::{Outcome, OutcomeId, Side};

/// The cause of what mTLS has no part in.
pub(super) const fn below_tls(id: OutcomeId) -> Option<Cause> {
    match id {
        OutcomeId::ConnectTimeout
        | OutcomeId::HandshakeTimeout
        | OutcomeId::ConnectionRefused
        | OutcomeId::ConnectionReset
        | OutcomeId::NoRoute
        | OutcomeId::NoHealthyUpstream
        | OutcomeId::Misrouted => Some(Cause::BelowTls),
        OutcomeId::ServerFirstStall => Some(Cause::InspectedPort),
        _ => None,
    }
}

/// What would have to be set right, by the name of the failure and the end that refused.
pub(super) fn change(topology: &Topology, call: &Call, outcome: &Outcome) -> Option<Change> {
    let server = ends::servers(topology, call).into_iter().next();
    let (refusing, refused) = match outcome.side? {
        Side::Client => ((Side::Client, Some(call.from.clone())), (Side::Server, server)),
        Side::Server => ((Side::Server, server), (Side::Client, Some(call.from.clone()))),
    };
    let part_of = |(_, end): (Side, Option<WorkloadName>), part| Some(Change::Repaired(end?, part));
    let parameter = |parameter| {
        let (side, end) = refused.clone();
        Some(Change::Unlimited(end?, side, parameter))
    };
    match outcome.id {
        OutcomeId::CertificateExpired | OutcomeId::CertificateNotYetValid => part_of(refused, Part::Leaf),
        OutcomeId::SanMismatch | OutcomeId::TrustDomainMismatch => part_of(refused, Part::Identity),
        OutcomeId::BadKeyUsage => part_of(refused, Part::Usage),
        OutcomeId::CertificateRevoked => part_of(refused, Part::Revoked),
        OutcomeId::CaExpired => part_of(refused, Part::Intermediate),
        OutcomeId::UntrustedRoot => part_of(refusing, Part::Bundle),
        OutcomeId::CrlUnavailable => part_of(refusing, Part::Lists),
        OutcomeId::NoCertificateYet => part_of(refusing, Part::Supply),
        OutcomeId::TlsVersionMismatch => parameter(Parameter::Versions),
        OutcomeId::TlsCipherMismatch => parameter(Parameter::Suites),
        OutcomeId::TlsGroupMismatch => parameter(Parameter::Groups),
        _ => None,
    }
}
