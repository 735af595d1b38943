//! One thing that could be different.

use super::cause::Cause;
use crate::call::WorkloadName;
use crate::fault::TlsLimits;
use crate::istio::Topology;
use crate::outcome::Side;
use crate::snapshot::ObjectRef;

/// One thing that could be different.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// An object of policy is deleted.
    Without(ObjectRef),
    /// A DestinationRule has its clients speak mTLS, on all of its ports and to all of its subsets.
    Mutual(ObjectRef),
    /// All clients see a DestinationRule.
    Exported(ObjectRef),
    /// A workload's pods have a sidecar.
    WithSidecar(WorkloadName),
    /// A port of a Service is declared as TCP.
    AsTcp(ObjectRef, u16),
    /// Nothing reads the first bytes of a workload's port.
    Uninspected(WorkloadName, u16),
    /// The mesh configuration raises no floor of TLS versions.
    NoVersionFloor,
    /// Servers accept clients, and clients servers, of another trust domain too.
    Alias(String),
    /// A part of what a workload holds is as it should be.
    Repaired(WorkloadName, Part),
    /// All roots are valid.
    RootsRenewed,
    /// A proxy takes of one parameter of TLS what istiod configures.
    Unlimited(WorkloadName, Side, Parameter),
}

/// A part of what a workload holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Identity,
    Leaf,
    Usage,
    Revoked,
    Intermediate,
    Chain,
    Issuer,
    Bundle,
    Lists,
    Supply,
}

/// Every part, in the order in which a handshake meets them.
pub(super) const PARTS: [Part; 10] = [
    Part::Supply,
    Part::Leaf,
    Part::Identity,
    Part::Usage,
    Part::Revoked,
    Part::Lists,
    Part::Intermediate,
    Part::Chain,
    Part::Issuer,
    Part::Bundle,
];

/// A parameter of TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Parameter {
    Versions,
    Suites,
    Groups,
}

impl Parameter {
    pub(super) fn lift(self, limits: &mut TlsLimits) {
        match self {
            Self::Versions => (limits.min_version, limits.max_version) = (None, None),
            Self::Suites => limits.cipher_suites.clear(),
            Self::Groups => limits.groups.clear(),
        }
    }
}

impl Change {
    /// The kind of thing that is responsible if this helps.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Without(object) => match object.kind.as_str() {
                "DestinationRule" => Cause::DestinationRule,
                "VirtualService" => Cause::VirtualService,
                _ => Cause::PeerAuthentication,
            },
            Self::Mutual(_) => Cause::RuleTls,
            Self::Exported(_) => Cause::HiddenRule,
            Self::WithSidecar(_) => Cause::MissingSidecar,
            Self::AsTcp(..) => Cause::PortProtocol,
            Self::Uninspected(..) => Cause::InspectedPort,
            Self::NoVersionFloor => Cause::MeshConfig,
            Self::Alias(_) => Cause::TrustDomain,
            Self::RootsRenewed => Cause::Authority,
            Self::Unlimited(..) => Cause::TlsParameters,
            Self::Repaired(_, part) => match part {
                Part::Identity => Cause::Identity,
                Part::Leaf => Cause::Leaf,
                Part::Usage => Cause::KeyUsage,
                Part::Revoked => Cause::Revoked,
                Part::Intermediate => Cause::Authority,
                Part::Chain => Cause::Chain,
                Part::Issuer => Cause::Issuer,
                Part::Bundle => Cause::TrustBundle,
                Part::Lists => Cause::RevocationLists,
                Part::Supply => Cause::Secret,
            },
        }
    }

    /// The object that would be changed.
    pub(super) fn object(&self, topology: &Topology) -> ObjectRef {
        let root = topology.mesh.root_namespace.as_str();
        let of = |workload: &WorkloadName| match topology.workloads.get(workload) {
            Some(it) => it.object.clone(),
            None => ObjectRef::new("Deployment", Some(&workload.namespace), workload.name.clone()),
        };
        match self {
            Self::Without(object)
            | Self::Mutual(object)
            | Self::Exported(object)
            | Self::AsTcp(object, _) => object.clone(),
            Self::RootsRenewed | Self::Repaired(_, Part::Intermediate) => {
                ObjectRef::new("Secret", Some(root), "cacerts")
            }
            Self::WithSidecar(workload)
            | Self::Uninspected(workload, _)
            | Self::Repaired(workload, _)
            | Self::Unlimited(workload, ..) => of(workload),
            Self::NoVersionFloor | Self::Alias(_) => ObjectRef::new("ConfigMap", Some(root), "istio"),
        }
    }

    /// How far it goes: of several changes that only help together, the boldest are the first to be done without.
    pub(super) const fn boldness(&self) -> u8 {
        match self {
            Self::Without(_) | Self::AsTcp(..) | Self::Uninspected(..) | Self::Alias(_) => 5,
            Self::Mutual(_) | Self::Exported(_) => 4,
            Self::NoVersionFloor | Self::Unlimited(..) => 3,
            Self::WithSidecar(_) => 2,
            // A new leaf hides what the old one lacked; trust that arrives hides nothing.
            Self::Repaired(_, Part::Issuer | Part::Identity) => 1,
            Self::Repaired(..) | Self::RootsRenewed => 0,
        }
    }
}
