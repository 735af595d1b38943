//! A failure that a line tells of.

use serde::Serialize;

use crate::outcome::{OutcomeId, Side};

use super::patterns::{About, Layer};

/// The end that wrote a line.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// The client's proxy: one line for a request, whatever the attempts.
    Client,
    /// The server's proxy: one line for a connection.
    Server,
    /// A log that does not say: Envoy's own, an agent's, istiod's, ztunnel's, an application's.
    Component,
}

impl View {
    /// As written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Component => "component",
        }
    }
}

/// A failure that a line tells of, or several lines of one request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// When, as the line has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What happened; `unknown` where the lines do not decide.
    pub outcome: OutcomeId,
    /// The end that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// With `unknown`: what it could be, in the order of the vocabulary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<OutcomeId>,
    /// Whether it is a failure of mTLS.
    pub about: About,
    /// Who wrote it.
    pub view: View,
    /// Which program wrote it.
    pub layer: Layer,
    /// Where the call went: `host:port` of a Service, else an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The namespace of `upstream`, or of the pod that wrote the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Who called, as far as known: the pod that wrote the line, else an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The pattern that named the line.
    pub pattern: String,
    /// How many lines of the other end, of the same request, are counted with it.
    #[serde(skip_serializing_if = "is_zero")]
    pub corroborated: u32,
    /// The line, shortened, without the query of its path.
    pub sample: String,
    /// Where it was read: a file, or `-`.
    pub source: String,
    /// What tells the same connection at the other end.
    #[serde(skip)]
    pub(super) connection: Connection,
}

/// What an access log line tells of its connection between the two proxies.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Connection {
    /// The client's end: what its line calls the upstream local address, the server's the downstream remote address.
    pub(super) client: Option<String>,
    /// The server's end: the upstream host there, the downstream local address here.
    pub(super) server: Option<String>,
    /// The client's address without a port.
    pub(super) caller: Option<String>,
    /// Milliseconds since 1970, and how long it took.
    pub(super) began: Option<i64>,
    pub(super) took: i64,
}

impl Finding {
    /// What it can be: the outcome, or the candidates.
    pub(super) fn meanings(&self) -> &[OutcomeId] {
        match self.outcome {
            OutcomeId::Unknown => &self.candidates,
            _ => std::slice::from_ref(&self.outcome),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
