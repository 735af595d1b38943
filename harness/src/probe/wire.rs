//! TCP connections as they were on the wire between two sidecars, with their alerts decrypted.
//!
//! Evidence beside the evidence: an outcome is named without it. It tells what no proxy and no kernel can: the alert itself,
//! and who sent it, in TLS 1.3 too. What it cannot tell: what stays within a pod, and anything within HTTP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::alert;
use super::kernel::{Attribution, Layer};
use crate::outcome::Side;

/// A connection, or an attempt at one, from its first packet on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WireConnection {
    /// Where it came from.
    pub client: SocketAddr,
    /// Where it went.
    pub server: SocketAddr,
    /// Whether the server took it.
    pub established: bool,
    /// Bytes that the client sent.
    pub sent: usize,
    /// Bytes that the server sent.
    pub received: usize,
    /// The version of TLS that both agreed on, as Envoy spells it (`TLSv1.3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Alerts: of the client, then of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<WireAlert>,
    /// The end that closed it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_first: Option<Side>,
    /// The end that reset it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_by: Option<Side>,
    /// Why some of it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// An alert.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WireAlert {
    /// The end that sent it.
    pub by: Side,
    /// What it says (`AlertDescription`, RFC 8446 section 6).
    pub code: u8,
    /// 1 for warning, 2 for fatal. TLS 1.3 does not go by it.
    pub level: u8,
    /// Whether nobody without the secrets could read it.
    pub encrypted: bool,
    /// Whether its sender had sent data before.
    pub after_data: bool,
}

impl WireAlert {
    /// An alert of an end.
    pub(crate) const fn new(by: Side, level: u8, code: u8, encrypted: bool, after_data: bool) -> Self {
        Self {
            by,
            code,
            level,
            encrypted,
            after_data,
        }
    }

    /// The layer it belongs to; nothing where it says goodbye.
    #[must_use]
    pub fn attribution(&self) -> Option<Attribution> {
        let Self { by, code, .. } = self;
        let name = alert::name(*code).map_or_else(String::new, |name| format!(" ({name})"));
        let encrypted = if self.encrypted { ", encrypted" } else { "" };
        alert::is_refusal(*code).then(|| Attribution {
            layer: match alert::is_of_certificates(*code) {
                true => Layer::Certificate,
                false => Layer::Proxy,
            },
            by: Some(*by),
            seen: format!("the {by} sent alert {code}{name}{encrypted}"),
        })
    }
}

impl WireConnection {
    /// The layer at which it failed; nothing where no failure was on the wire.
    #[must_use]
    pub fn attribution(&self) -> Option<Attribution> {
        if !self.established {
            let refused = self.reset_by == Some(Side::Server);
            return Some(Attribution {
                layer: Layer::Tcp,
                by: None,
                seen: match refused {
                    true => format!("refused by {}", self.server),
                    false => "no answer to its SYN".to_owned(),
                },
            });
        }
        let refusal = self.alerts.iter().find_map(WireAlert::attribution);
        refusal.or_else(|| self.unanswered())
    }

    /// The client said something, and nobody said anything back.
    fn unanswered(&self) -> Option<Attribution> {
        if self.sent == 0 || self.received > 0 || self.unread.is_some() {
            return None;
        }
        let ended_by = self.reset_by.or(self.closed_first);
        let how = if self.reset_by.is_some() {
            "reset"
        } else {
            "closed"
        };
        Some(match ended_by {
            Some(Side::Server) => Attribution {
                layer: Layer::Proxy,
                by: ended_by,
                seen: format!("the server {how} it with {} bytes unanswered", self.sent),
            },
            Some(Side::Client) | None => Attribution {
                layer: Layer::Tcp,
                by: None,
                seen: format!("accepted, and {} bytes never answered", self.sent),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> WireConnection {
        WireConnection {
            client: ([10, 0, 0, 1], 40_000).into(),
            server: ([10, 0, 0, 2], 8080).into(),
            established: true,
            sent: 517,
            received: 1300,
            tls: Some("TLSv1.3".to_owned()),
            alerts: Vec::new(),
            closed_first: None,
            reset_by: None,
            unread: None,
        }
    }

    #[test]
    fn a_failure_belongs_to_the_layer_that_shows_it() {
        let alert = |by, code, encrypted| WireConnection {
            alerts: vec![WireAlert::new(by, 2, code, encrypted, false)],
            ..connection()
        };
        let silent = |reset_by, closed_first| WireConnection {
            received: 0,
            reset_by,
            closed_first,
            ..connection()
        };
        let failed = |reset_by| WireConnection {
            established: false,
            reset_by,
            ..connection()
        };
        let cases = [
            (failed(Some(Side::Server)), "tcp: refused by 10.0.0.2:8080"),
            (failed(None), "tcp: no answer to its SYN"),
            (
                alert(Side::Client, 48, true),
                "certificate: the client sent alert 48 (unknown_ca), encrypted",
            ),
            (
                alert(Side::Server, 70, false),
                "proxy: the server sent alert 70 (protocol_version)",
            ),
            (
                alert(Side::Server, 255, true),
                "proxy: the server sent alert 255, encrypted",
            ),
            (
                silent(Some(Side::Server), None),
                "proxy: the server reset it with 517 bytes unanswered",
            ),
            (
                silent(None, Some(Side::Server)),
                "proxy: the server closed it with 517 bytes unanswered",
            ),
            (
                silent(None, Some(Side::Client)),
                "tcp: accepted, and 517 bytes never answered",
            ),
        ];
        for (connection, expected) in cases {
            assert_eq!(connection.attribution().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_goodbye_is_no_failure() {
        let mut orderly = connection();
        orderly.alerts = vec![WireAlert::new(Side::Server, 1, 0, true, true)];
        assert_eq!(orderly.attribution(), None);
    }
}
