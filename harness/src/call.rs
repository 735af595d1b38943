//! A call: who calls whom, on which port, with which bytes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A workload (Deployment, Pod, …) by namespace and name; written `namespace/name`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WorkloadName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl WorkloadName {
    /// `namespace/name`.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The workload's pod with this ordinal, counted from 0.
    #[must_use]
    pub fn pod(&self, ordinal: u32) -> PodName {
        PodName {
            workload: self.clone(),
            ordinal,
        }
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One pod of a workload; written `namespace/workload-ordinal`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PodName {
    /// The workload it belongs to.
    pub workload: WorkloadName,
    /// Its number among the replicas, from 0.
    pub ordinal: u32,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.workload, self.ordinal)
    }
}

/// Where a call goes.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Destination {
    /// A port of a Service of the snapshot.
    Service {
        /// The Service's namespace.
        namespace: String,
        /// The Service's name.
        name: String,
        /// The Service port (not the pod port).
        port: u16,
    },
    /// A port of a pod, whether or not a Service declares it.
    Pod {
        /// The pod.
        pod: PodName,
        /// The pod port.
        port: u16,
    },
    /// A host that no object of the snapshot declares.
    Host {
        /// The host name as written.
        host: String,
        /// The port.
        port: u16,
    },
}

impl Destination {
    /// The port dialled.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Service { port, .. } | Self::Pod { port, .. } | Self::Host { port, .. } => *port,
        }
    }

    /// Namespace, name and port, if it is a Service.
    #[must_use]
    pub fn service(&self) -> Option<(&str, &str, u16)> {
        match self {
            Self::Service {
                namespace,
                name,
                port,
            } => Some((namespace, name, *port)),
            Self::Pod { .. } | Self::Host { .. } => None,
        }
    }

    /// The authority a caller writes: `payment.payments.svc.cluster.local:8080`.
    #[must_use]
    pub fn authority(&self, cluster_domain: &str) -> String {
        match self {
            Self::Service {
                namespace,
                name,
                port,
            } => {
                format!("{name}.{namespace}.svc.{cluster_domain}:{port}")
            }
            Self::Pod { pod, port } => format!("pod/{pod}:{port}"),
            Self::Host { host, port } => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Destination {
    /// The short form used in ids: `payments/payment:8080`, `pod/payments/payment-0:8080`, `example.com:443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service {
                namespace,
                name,
                port,
            } => write!(f, "{namespace}/{name}:{port}"),
            Self::Pod { pod, port } => write!(f, "pod/{pod}:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Who originates the bytes.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum CallKind {
    /// The application speaks plaintext; its sidecar, if it has one, decides.
    #[default]
    App,
    /// Plaintext straight at the server's pod, bypassing any client sidecar.
    RawPlaintext,
    /// TLS without a client certificate, straight at the server's pod.
    RawTls,
    /// TLS with the caller's workload certificate, straight at the server's pod.
    RawMtls,
    /// The copy of an `app` call that a VirtualService has the caller's sidecar send elsewhere (`mirror`), and whose
    /// answer is thrown away. What becomes of the call itself does not matter.
    Mirrored,
}

impl CallKind {
    /// As written in scenario files and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::RawPlaintext => "raw-plaintext",
            Self::RawTls => "raw-tls",
            Self::RawMtls => "raw-mtls",
            Self::Mirrored => "mirrored",
        }
    }

    /// Whether the application makes it, so that the caller's sidecar, if it has one, decides.
    #[must_use]
    pub const fn is_of_application(self) -> bool {
        matches!(self, Self::App | Self::Mirrored)
    }
}

/// What the application speaks inside the call.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// One HTTP/1.1 request.
    #[default]
    Http,
    /// One line over TCP, answered by one line.
    Tcp,
    /// The server greets whoever connects by a line, before anything was said (as MySQL and SMTP do); then as `tcp`.
    ServerFirst,
}

impl Payload {
    /// As written in scenario files and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::ServerFirst => "server-first",
        }
    }
}

/// What calls share with those before them. Sharing hides faults; that is what it is for here.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// Nothing: every call makes a new connection with a full handshake.
    #[default]
    Fresh,
    /// TLS sessions: every call makes a new connection, and resumes the session of an earlier one where both ends
    /// still can. No certificate is shown then.
    Resume,
    /// Connections and TLS sessions, as istiod leaves it to proxies (keep-alive).
    Reuse,
}

/// One call to make, predict or recognise.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Call {
    /// The calling workload (its first pod makes the call).
    pub from: WorkloadName,
    /// Where it goes.
    pub to: Destination,
    /// The one endpoint this call is about, where a Service has several.
    pub endpoint: Option<PodName>,
    /// Who originates the bytes.
    pub kind: CallKind,
    /// What is spoken inside.
    pub payload: Payload,
    /// ALPN protocols offered by a raw TLS call; empty: what a sidecar would offer for the payload on `raw-mtls`, none on `raw-tls`.
    pub alpn: Vec<String>,
    /// The DestinationRule subset named by the call.
    pub subset: Option<String>,
}

impl Call {
    /// An ordinary call of one application to another.
    #[must_use]
    pub const fn app(from: WorkloadName, to: Destination) -> Self {
        Self {
            from,
            to,
            endpoint: None,
            kind: CallKind::App,
            payload: Payload::Http,
            alpn: Vec::new(),
            subset: None,
        }
    }
}

impl fmt::Display for Call {
    /// The call's part of an id: `payments/checkout->payments/payment:8080#raw-tls,tcp@payment-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)?;
        let mut traits = Vec::new();
        if self.kind != CallKind::App {
            traits.push(self.kind.as_str().to_owned());
        }
        if self.payload != Payload::Http {
            traits.push(self.payload.as_str().to_owned());
        }
        traits.extend(self.alpn.iter().map(|protocol| format!("alpn={protocol}")));
        traits.extend(self.subset.iter().map(|subset| format!("subset={subset}")));
        if !traits.is_empty() {
            write!(f, "#{}", traits.join(","))?;
        }
        if let Some(pod) = &self.endpoint {
            // Of the namespace of the Service that was called.
            write!(f, "@{}-{}", pod.workload.name, pod.ordinal)?;
        }
        Ok(())
    }
}
