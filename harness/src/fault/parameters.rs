//! The parameters of faults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CipherSuite, KeyExchangeGroup, TlsVersion};
use crate::one_or_many::OneOrMany;
use crate::outcome::Side;
use crate::pki::{LeafKey, RootName};

/// What the parameters of every fault have.
pub(super) trait Parameters {
    /// The workloads it is about, as written; `None` for what concerns no single workload.
    fn workload(&self) -> Option<&OneOrMany<String>>;
    /// Its own name.
    fn name(&self) -> Option<&str>;
    /// Whether its point is that nothing visible changes.
    fn masks(&self) -> bool;
}

/// A struct of parameters with the fields that all have, `name` and `masks`.
macro_rules! parameters {
    ($(#[$doc:meta])* $name:ident($workload:expr) { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// The name that `heal` refers to. Default: the kind.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub name: Option<String>,
            /// The point of this fault is that nothing visible changes.
            #[serde(default)]
            pub masks: bool,
        }

        impl Parameters for $name {
            fn workload(&self) -> Option<&OneOrMany<String>> {
                let of: fn(&Self) -> Option<&OneOrMany<String>> = $workload;
                of(self)
            }

            fn name(&self) -> Option<&str> {
                self.name.as_deref()
            }

            fn masks(&self) -> bool {
                self.masks
            }
        }
    };
}

parameters! {
    /// Parameters of `san-suffix`.
    SanSuffix(|it| Some(&it.workload)) {
        /// Whose certificate.
        workload: OneOrMany<String>,
        /// The text appended to the SPIFFE id, for example `.`.
        suffix: String,
    }
}

parameters! {
    /// Parameters of `san-replace`.
    SanReplace(|it| Some(&it.workload)) {
        /// Whose certificate.
        workload: OneOrMany<String>,
        /// The URI put into the SAN instead, for example `spiffe://cluster.local/ns/payments/sa/other`.
        san: String,
    }
}

parameters! {
    /// Parameters of `trust-domain`.
    TrustDomain(|it| Some(&it.workload)) {
        /// Whose certificate.
        workload: OneOrMany<String>,
        /// The trust domain in its SPIFFE id instead of the mesh's own, for example `old.example`.
        domain: String,
    }
}

parameters! {
    /// Parameters of the faults that need nothing but a workload.
    LeafFault(|it| Some(&it.workload)) {
        /// Whose certificate, or agent.
        workload: OneOrMany<String>,
    }
}

parameters! {
    /// Parameters of the faults that concern everybody unless workloads are named.
    WideFault(|it| Some(&it.workload)) {
        /// Whose. Default: everybody's, as when something of the whole cluster is wrong.
        #[serde(default = "everybody")]
        workload: OneOrMany<String>,
    }
}

parameters! {
    /// Parameters of `expired-root`.
    RootFault(|_| None) {
        /// Which root. Default: `mesh`, the one every mesh starts with.
        #[serde(default = "mesh_root")]
        root: String,
    }
}

parameters! {
    /// Parameters of `extended-key-usage`.
    ExtendedKeyUsage(|it| Some(&it.workload)) {
        /// Whose certificate.
        workload: OneOrMany<String>,
        /// The only purpose the certificate is good for.
        only: Purpose,
    }
}

/// What a certificate is good for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// `serverAuth`: to be called.
    ServerAuth,
    /// `clientAuth`: to call.
    ClientAuth,
}

parameters! {
    /// Parameters of `leaf-key`.
    LeafKeyFault(|it| Some(&it.workload)) {
        /// Whose certificate.
        workload: OneOrMany<String>,
        /// Type and size of its key pair.
        key: LeafKey,
    }
}

parameters! {
    /// Parameters of `missing-secret`.
    MissingSecret(|it| Some(&it.workload)) {
        /// Whose proxy waits.
        workload: OneOrMany<String>,
        /// What it waits for.
        secret: Secret,
    }
}

/// A secret of a sidecar.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// Its certificate and key (`default`).
    Certificate,
    /// The roots it trusts (`ROOTCA`).
    Roots,
}

parameters! {
    /// Parameters of `tls-limits`. What is not given is as istiod configures it.
    TlsLimitsFault(|it| Some(&it.workload)) {
        /// Whose proxy.
        workload: OneOrMany<String>,
        /// Limited as it calls (`client`), or as it is called (`server`). Default: both.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<Side>,
        /// The oldest version it speaks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_version: Option<TlsVersion>,
        /// The newest version it speaks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_version: Option<TlsVersion>,
        /// The cipher suites of TLS 1.2 it takes, as OpenSSL names them. Those of TLS 1.3 cannot be chosen.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cipher_suites: Vec<CipherSuite>,
        /// The key exchange groups it takes, as BoringSSL names them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<KeyExchangeGroup>,
    }
}

parameters! {
    /// Parameters of the faults of the network in front of a workload.
    PortFault(|it| Some(&it.workload)) {
        /// In front of whom.
        workload: OneOrMany<String>,
        /// Which port of its pods. Default: all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    }
}

parameters! {
    /// Parameters of `misdirected-port`.
    MisdirectedPort(|it| Some(&it.workload)) {
        /// Whose capture.
        workload: OneOrMany<String>,
        /// Which port of its pods. Default: all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// The port of the pod to which it is led.
        to: u16,
    }
}

parameters! {
    /// Parameters of `uncaptured-calls`.
    UncapturedCalls(|it| Some(&it.workload)) {
        /// Whose calls.
        workload: OneOrMany<String>,
    }
}

parameters! {
    /// Parameters of `webhook-removed`: it is that of the whole mesh.
    WebhookRemoved(|_| None) {}
}

pub(super) fn everybody() -> OneOrMany<String> {
    OneOrMany::from("*".to_owned())
}

pub(super) fn mesh_root() -> String {
    RootName::MESH.to_owned()
}
