//! What can be broken, with its parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::one_or_many::OneOrMany;
use crate::pki::RootName;

/// Something deliberately wrong. One key names the kind, its value holds the parameters.
///
/// `workload` takes `name`, `namespace/name`, a list of them, or `*` for all.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Appends text to the identity in the workload's certificate: a trailing dot, a wrong trust domain's rest.
    SanSuffix(SanSuffix),
    /// Replaces the identity in the workload's certificate.
    SanReplace(SanReplace),
    /// The workload's certificate has expired: its agent stopped renewing (istiod unreachable, token refused).
    ExpiredLeaf(LeafFault),
    /// The workload's certificate is not valid yet: the signer's clock runs ahead of the verifier's.
    NotYetValidLeaf(LeafFault),
    /// The intermediate certificate in the chain that workloads serve has expired: a plugged-in CA nobody renewed.
    ExpiredIntermediate(IntermediateFault),
    /// A root certificate has expired, wherever it is trusted.
    ExpiredRoot(RootFault),
    /// The workload's chain comes from a root that nobody else trusts: two clusters, or a CA replaced without overlap.
    ForeignRoot(LeafFault),
}

/// Parameters of `san-suffix`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SanSuffix {
    /// Whose certificate.
    pub workload: OneOrMany<String>,
    /// The text appended to the SPIFFE id, for example `.`.
    pub suffix: String,
    /// The name that `heal` refers to. Default: the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The point of this fault is that nothing visible changes.
    #[serde(default)]
    pub masks: bool,
}

/// Parameters of `san-replace`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SanReplace {
    /// Whose certificate.
    pub workload: OneOrMany<String>,
    /// The URI put into the SAN instead, for example `spiffe://cluster.local/ns/payments/sa/other`.
    pub san: String,
    /// The name that `heal` refers to. Default: the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The point of this fault is that nothing visible changes.
    #[serde(default)]
    pub masks: bool,
}

/// Parameters of the faults of a leaf certificate that need nothing but a workload.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LeafFault {
    /// Whose certificate.
    pub workload: OneOrMany<String>,
    /// The name that `heal` refers to. Default: the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The point of this fault is that nothing visible changes.
    #[serde(default)]
    pub masks: bool,
}

/// Parameters of `expired-intermediate`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IntermediateFault {
    /// In whose chain. Default: everybody's, as when the plugged-in CA of the cluster expires.
    #[serde(default = "everybody")]
    pub workload: OneOrMany<String>,
    /// The name that `heal` refers to. Default: the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The point of this fault is that nothing visible changes.
    #[serde(default)]
    pub masks: bool,
}

/// Parameters of `expired-root`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RootFault {
    /// Which root. Default: `mesh`, the one every mesh starts with.
    #[serde(default = "mesh_root")]
    pub root: String,
    /// The name that `heal` refers to. Default: the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The point of this fault is that nothing visible changes.
    #[serde(default)]
    pub masks: bool,
}

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
    /// Alerts and error texts as recorded from Envoy 1.40 (`source/common/tls`); a stock sidecar logs the server's
    /// side of a failed handshake nowhere.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::SanSuffix(_) => FaultKind {
                id: "san-suffix",
                imitates: "a proxy release that asks for, or is issued, an identity with extra characters",
                shows: "503 URX,UF at callers; their proxies log `verify SAN list` failures, the server logs nothing",
            },
            Self::SanReplace(_) => FaultKind {
                id: "san-replace",
                imitates: "a pod that runs under another service account than its peers were told, or another trust domain",
                shows: "503 URX,UF at callers while the certificate itself is valid and current",
            },
            Self::ExpiredLeaf(_) => FaultKind {
                id: "expired-leaf",
                imitates: "an agent that could not renew: istiod unreachable for a day, token or CSR refused",
                shows: "alert certificate_expired; `istioctl proxy-config secret` shows VALID CERT false for this pod only",
            },
            Self::NotYetValidLeaf(_) => FaultKind {
                id: "not-yet-valid-leaf",
                imitates: "a signer whose clock is ahead of the nodes, or a node whose clock is behind",
                shows: "alert certificate_expired, although NOT BEFORE lies in the future; it heals by itself in time",
            },
            Self::ExpiredIntermediate(_) => FaultKind {
                id: "expired-intermediate",
                imitates: "a plugged-in `cacerts` intermediate that nobody renewed; istiod keeps handing out its chain",
                shows: "alert certificate_expired although every leaf is current; restarting pods changes nothing",
            },
            Self::ExpiredRoot(_) => FaultKind {
                id: "expired-root",
                imitates: "the end of a root's life, usually the self-signed one of an installation ten years ago or a short-lived own root",
                shows: "every new mTLS connection of the mesh fails at once; connections that are open go on",
            },
            Self::ForeignRoot(_) => FaultKind {
                id: "foreign-root",
                imitates: "a workload signed by another CA: a second cluster without a shared root, a root swapped without overlap",
                shows: "alert unknown_ca; callers log `CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate`",
            },
        }
    }

    /// What `heal` calls it: its `name`, else the id of its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        let given = match self {
            Self::SanSuffix(f) => &f.name,
            Self::SanReplace(f) => &f.name,
            Self::ExpiredLeaf(f) | Self::NotYetValidLeaf(f) | Self::ForeignRoot(f) => &f.name,
            Self::ExpiredIntermediate(f) => &f.name,
            Self::ExpiredRoot(f) => &f.name,
        };
        given.as_deref().unwrap_or(self.kind().id)
    }

    /// Whether its point is that nothing visible changes.
    #[must_use]
    pub const fn masks(&self) -> bool {
        match self {
            Self::SanSuffix(f) => f.masks,
            Self::SanReplace(f) => f.masks,
            Self::ExpiredLeaf(f) | Self::NotYetValidLeaf(f) | Self::ForeignRoot(f) => f.masks,
            Self::ExpiredIntermediate(f) => f.masks,
            Self::ExpiredRoot(f) => f.masks,
        }
    }

    /// The workloads it is about, as written; `None` for what concerns no single workload.
    #[must_use]
    pub const fn workload(&self) -> Option<&OneOrMany<String>> {
        match self {
            Self::SanSuffix(f) => Some(&f.workload),
            Self::SanReplace(f) => Some(&f.workload),
            Self::ExpiredLeaf(f) | Self::NotYetValidLeaf(f) | Self::ForeignRoot(f) => Some(&f.workload),
            Self::ExpiredIntermediate(f) => Some(&f.workload),
            Self::ExpiredRoot(_) => None,
        }
    }
}

pub(super) fn everybody() -> OneOrMany<String> {
    OneOrMany::from("*".to_owned())
}

fn mesh_root() -> String {
    RootName::MESH.to_owned()
}
