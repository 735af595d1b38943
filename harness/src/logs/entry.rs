//! A line of Istio's access log as evidence of one call, healthy or not.

use super::access::{Access, host, present};
use super::envelope::{Inner, unwrap};
use super::finding::{Connection, View};

/// A line of an access log: what it says field by field, and whose call it is of. Istio's formats have no field for TLS versions
/// and peers.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The end that wrote it.
    pub view: View,
    /// Whether it is of a listener: of a connection, not of what went through it.
    pub of_listener: bool,
    /// `%RESPONSE_CODE%`; 0 for TCP.
    pub code: Option<u16>,
    /// `%RESPONSE_FLAGS%`.
    pub flags: Option<String>,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Option<String>,
    /// `%CONNECTION_TERMINATION_DETAILS%`.
    pub termination: Option<String>,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`.
    pub upstream_reason: Option<String>,
    /// `%DOWNSTREAM_TRANSPORT_FAILURE_REASON%`, or what the TLS inspector said; only formats with more than Istio's have them.
    pub downstream_reason: Option<String>,
    /// `%UPSTREAM_CLUSTER_RAW%`.
    pub cluster: Option<String>,
    /// `%UPSTREAM_HOST%`.
    pub upstream_host: Option<String>,
    /// `%REQUESTED_SERVER_NAME%`.
    pub server_name: Option<String>,
    /// `%ROUTE_NAME%`.
    pub route: Option<String>,
    /// `%DOWNSTREAM_REMOTE_ADDRESS%`.
    pub downstream_remote: Option<String>,
    request_id: Option<String>,
    connection: Connection,
}

impl Entry {
    /// Reads a line; `None` if it is none of an access log.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let (_, inner) = unwrap(line);
        let access = match &inner {
            Inner::Text(text) => Access::from_text(text),
            Inner::Json(map) => Access::from_json(map),
        }?;
        let view = access.view();
        let connection = access.connection(view);
        let (words, quoted) = parts(&access.telling);
        let word = |index: usize| words.get(index).and_then(|it| present(it));
        let reason = |index: usize| quoted.get(index).and_then(|it| present(it));
        Some(Self {
            view,
            of_listener: access.cluster.is_none() && access.request_id.is_none(),
            code: word(0).and_then(|it| it.parse().ok()),
            flags: word(1),
            details: word(2),
            termination: word(3),
            upstream_reason: reason(0),
            downstream_reason: reason(1).or_else(|| reason(2)),
            connection,
            request_id: access.request_id,
            cluster: access.cluster,
            upstream_host: access.up_host,
            server_name: access.server_name,
            route: access.route,
            downstream_remote: access.down_remote,
        })
    }

    /// Whether it is of the request with this `x-request-id`.
    #[must_use]
    pub fn is_of_request(&self, id: &str) -> bool {
        self.request_id.as_deref() == Some(id)
    }

    /// Whether both lines are of one connection between two proxies: by the address of the client's end, where both have it;
    /// else by the caller's address without its port, where the one began while the other lasted.
    #[must_use]
    pub fn shares_connection(&self, other: &Self) -> bool {
        let (own, theirs) = (&self.connection, &other.connection);
        if let (Some(own), Some(theirs)) = (&own.client, &theirs.client) {
            return own == theirs;
        }
        let callers = |of: &Self| {
            let client = of.connection.client.as_deref().map(host).map(str::to_owned);
            client.or_else(|| of.connection.caller.clone())
        };
        let overlap = match (own.began, theirs.began) {
            (Some(own_began), Some(began)) => {
                own_began <= began + theirs.took && began <= own_began + own.took
            }
            _ => false,
        };
        overlap && callers(self).is_some() && callers(self) == callers(other)
    }
}

/// What stands before the quoted reasons, word by word, and the reasons.
fn parts(telling: &str) -> (Vec<&str>, Vec<&str>) {
    let mut pieces = telling.split('"');
    let words = pieces.next().unwrap_or_default().split_whitespace().collect();
    (words, pieces.step_by(2).collect())
}

#[cfg(test)]
mod tests;
