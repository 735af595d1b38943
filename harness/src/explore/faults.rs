//! What is wrong with the certificates of a case.

use proptest::collection::vec;
use proptest::prelude::*;

use super::case::ALIAS;
use super::world::World;
use crate::fault::{
    ExtendedKeyUsage, Fault, KeyExchangeGroup, LeafFault, PortFault, Purpose, RootFault, SanReplace,
    SanSuffix, TlsLimitsFault, TlsVersion, WideFault,
};
use crate::one_or_many::OneOrMany;
use crate::outcome::Side;

/// A fault of the workload that a number means.
#[derive(Clone, Copy, Debug)]
pub(super) struct DrawnFault {
    pub(super) workload: usize,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    ExpiredLeaf,
    NotYetValidLeaf,
    ExpiredIntermediate,
    ExpiredRoot,
    ForeignRoot,
    TrailingDot,
    OtherAccount,
    OtherTrustDomain,
    FormerTrustDomain,
    NoPath,
    NoSpiffeId,
    MissingIntermediate,
    Revoked,
    ExpiredCrl,
    MissingCrl,
    ServerAuthOnly,
    ClientAuthOnly,
    OldClient,
    NewServer,
    OtherGroup,
    RefusedPort,
}

pub(super) fn faults() -> impl Strategy<Value = Vec<DrawnFault>> {
    let what = prop_oneof![
        2 => Just(What::ExpiredLeaf),
        1 => Just(What::NotYetValidLeaf),
        2 => Just(What::ExpiredIntermediate),
        1 => Just(What::ExpiredRoot),
        2 => Just(What::ForeignRoot),
        1 => Just(What::TrailingDot),
        2 => Just(What::OtherAccount),
        1 => Just(What::OtherTrustDomain),
        1 => Just(What::FormerTrustDomain),
        1 => Just(What::NoPath),
        1 => Just(What::NoSpiffeId),
        1 => Just(What::MissingIntermediate),
        1 => Just(What::Revoked),
        1 => Just(What::ExpiredCrl),
        1 => Just(What::MissingCrl),
        1 => Just(What::ServerAuthOnly),
        1 => Just(What::ClientAuthOnly),
        1 => Just(What::OldClient),
        1 => Just(What::NewServer),
        1 => Just(What::OtherGroup),
        1 => Just(What::RefusedPort),
    ];
    let one = (0..4_usize, what).prop_map(|(workload, what)| DrawnFault { workload, what });
    prop_oneof![1 => Just(Vec::new()), 1 => vec(one, 1..=2)]
}

impl DrawnFault {
    pub(super) fn fault(self, number: usize, world: &World) -> Fault {
        let holder = world.workload(self.workload);
        let workload = OneOrMany::from(holder.reference());
        let name = Some(format!("fault-{number}"));
        // Whether anybody notices is for the exploration to find out.
        let masks = true;
        let leaf = LeafFault {
            workload: workload.clone(),
            name: name.clone(),
            masks,
        };
        let replaced = |san: String| {
            Fault::SanReplace(SanReplace {
                workload: workload.clone(),
                san,
                name: name.clone(),
                masks,
            })
        };
        let wide = WideFault {
            workload: workload.clone(),
            name: name.clone(),
            masks,
        };
        let usable = |only| {
            Fault::ExtendedKeyUsage(ExtendedKeyUsage {
                workload: workload.clone(),
                only,
                name: name.clone(),
                masks,
            })
        };
        let limits = TlsLimitsFault {
            workload: workload.clone(),
            end: None,
            min_version: None,
            max_version: None,
            cipher_suites: Vec::new(),
            groups: Vec::new(),
            name: name.clone(),
            masks,
        };
        match self.what {
            What::ExpiredLeaf => Fault::ExpiredLeaf(leaf),
            What::NotYetValidLeaf => Fault::NotYetValidLeaf(leaf),
            What::ForeignRoot => Fault::ForeignRoot(leaf),
            What::ExpiredIntermediate => Fault::ExpiredIntermediate(wide),
            What::ExpiredRoot => Fault::ExpiredRoot(RootFault {
                root: crate::pki::RootName::MESH.to_owned(),
                name,
                masks,
            }),
            What::TrailingDot => Fault::SanSuffix(SanSuffix {
                workload,
                suffix: ".".to_owned(),
                name,
                masks,
            }),
            What::OtherAccount => replaced(format!("spiffe://{}/ns/alpha/sa/other", world.trust_domain)),
            What::OtherTrustDomain => replaced(holder.identity("other.example")),
            What::FormerTrustDomain => replaced(holder.identity(ALIAS)),
            What::NoPath => replaced("spiffe://other.example".to_owned()),
            What::MissingIntermediate => Fault::MissingIntermediate(wide),
            What::Revoked => Fault::RevokedLeaf(leaf),
            What::ExpiredCrl => Fault::ExpiredCrl(wide),
            What::MissingCrl => Fault::MissingCrl(wide),
            What::ServerAuthOnly => usable(Purpose::ServerAuth),
            What::ClientAuthOnly => usable(Purpose::ClientAuth),
            What::OldClient => Fault::TlsLimits(TlsLimitsFault {
                end: Some(Side::Client),
                max_version: Some(TlsVersion::V1_2),
                ..limits
            }),
            What::NewServer => Fault::TlsLimits(TlsLimitsFault {
                end: Some(Side::Server),
                min_version: Some(TlsVersion::V1_3),
                ..limits
            }),
            What::OtherGroup => Fault::TlsLimits(TlsLimitsFault {
                end: Some(Side::Server),
                groups: vec![KeyExchangeGroup::P384],
                ..limits
            }),
            What::RefusedPort => Fault::RefusedPort(PortFault {
                workload,
                port: None,
                name,
                masks,
            }),
            What::NoSpiffeId => replaced("https://other.example/workload".to_owned()),
        }
    }
}
