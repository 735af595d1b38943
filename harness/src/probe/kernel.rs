//! TCP connections as the kernel saw them, and the layer at which one of them failed.
//!
//! Evidence beside the evidence: an outcome is named without it. It needs neither logs nor a proxy that can be asked, and
//! tells what no proxy can: whether bytes arrived at all, and where. What it cannot tell: why a peer was refused, because
//! alerts of TLS 1.3 are encrypted, and anything within HTTP.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::alert;
use crate::outcome::Side;

/// A connection, or an attempt at one, from its beginning to its end.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelConnection {
    /// Where it came from.
    pub client: SocketAddr,
    /// Where it was to go. What rules made of that is in `refused_by`, and in no other place.
    pub server: SocketAddr,
    /// From dialling until the client's end was over, in milliseconds.
    pub millis: f64,
    /// Whether the handshake of TCP was completed.
    pub established: bool,
    /// Who answered the attempt with a reset, because nobody listens there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<SocketAddr>,
    /// The client's end.
    pub client_end: KernelEnd,
    /// The server's end; absent where that is on another host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_end: Option<KernelEnd>,
}

/// One end of a connection.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KernelEnd {
    /// Bytes it sent.
    pub sent: u64,
    /// Bytes it received; a FIN counts as one.
    pub received: u64,
    /// Whether it closed before its peer did.
    pub closed_first: bool,
    /// The reason of the reset it sent (`enum sk_rst_reason`, include/net/rstreason.h of Linux 6.18).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<u32>,
    /// Whether it received a reset.
    pub was_reset: bool,
    /// What it sent that began with a TLS record, as far as it was sent with `send()`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<TlsRecord>,
}

/// Bytes handed to the kernel at once that begin with a TLS record.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TlsRecord {
    /// Its type: 20 change_cipher_spec, 21 alert, 22 handshake, 23 application data (RFC 8446, section 5.1).
    pub kind: u8,
    /// How many bytes, those of records behind it included.
    pub length: u64,
    /// What follows its header: of an alert in the clear its level and its description.
    pub first: [u8; 2],
}

/// Where on the way from caller to application something failed.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    strum::Display,
    Eq,
    strum::IntoStaticStr,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Layer {
    /// Rules led the bytes elsewhere.
    Capture,
    /// Nobody listens, or nobody answers.
    Tcp,
    /// A proxy took the connection and had no use for its bytes, or could not agree on TLS.
    Proxy,
    /// An end refused the other's certificate, or had none to show.
    Certificate,
}

/// A failure, with the layer it belongs to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attribution {
    /// The layer.
    pub layer: Layer,
    /// The end that ended it; absent where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Side>,
    /// What was seen of it.
    pub seen: String,
}

impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer, self.seen)
    }
}

impl KernelConnection {
    /// The layer at which it failed; nothing where the kernel saw no failure.
    #[must_use]
    pub fn attribution(&self) -> Option<Attribution> {
        if !self.established {
            return Some(self.never_established());
        }
        let ends = [
            (Side::Client, Some(&self.client_end)),
            (Side::Server, self.server_end.as_ref()),
        ];
        let ends = ends.into_iter().filter_map(|(side, end)| Some((side, end?)));
        ends.clone()
            .find_map(|(side, end)| end.alert_in_the_clear(side))
            .or_else(|| ends.clone().find_map(|(side, end)| end.encrypted_alert(side)))
            .or_else(|| self.unanswered())
    }

    fn never_established(&self) -> Attribution {
        let (layer, seen) = match self.refused_by {
            Some(by) if by != self.server => (
                Layer::Capture,
                format!(
                    "led to {by} in place of {}, and nobody listens there",
                    self.server
                ),
            ),
            Some(_) => (Layer::Tcp, format!("refused, nobody listens at {}", self.server)),
            None if self.client_end.was_reset => (Layer::Tcp, format!("refused by {}", self.server)),
            None => (
                Layer::Tcp,
                format!("no answer to its SYN in {:.1} s", self.millis / 1000.0),
            ),
        };
        Attribution {
            layer,
            by: None,
            seen,
        }
    }

    /// The client said something, and nobody said anything back.
    fn unanswered(&self) -> Option<Attribution> {
        // A FIN counts as one byte.
        if self.client_end.sent == 0 || self.client_end.received > 1 {
            return None;
        }
        let dropped = self.server_end.as_ref().and_then(|end| end.reset);
        if dropped.is_some() || self.client_end.was_reset {
            return Some(Attribution {
                layer: Layer::Proxy,
                by: Some(Side::Server),
                seen: format!(
                    "the server reset it with {} bytes unanswered{}",
                    self.client_end.sent,
                    dropped.map_or_else(String::new, |reason| format!(" ({})", reset_reason(reason)))
                ),
            });
        }
        Some(match self.client_end.closed_first {
            true => Attribution {
                layer: Layer::Tcp,
                by: None,
                seen: format!(
                    "accepted, and {} bytes never answered in {:.1} s",
                    self.client_end.sent,
                    self.millis / 1000.0
                ),
            },
            false => Attribution {
                layer: Layer::Proxy,
                by: Some(Side::Server),
                seen: format!(
                    "the server closed it with {} bytes unanswered",
                    self.client_end.sent
                ),
            },
        })
    }
}

impl KernelEnd {
    fn alert_in_the_clear(&self, side: Side) -> Option<Attribution> {
        let sent = self
            .records
            .iter()
            .find(|record| record.is_fatal_alert_in_the_clear())?;
        let code = sent.first[1];
        let name = alert::name(code).map_or_else(String::new, |name| format!(" ({name})"));
        Some(Attribution {
            layer: match alert::is_of_certificates(code) {
                true => Layer::Certificate,
                false => Layer::Proxy,
            },
            by: Some(side),
            seen: format!("the {side} sent alert {code}{name}"),
        })
    }

    /// The last it sent is as long as an alert, and it sent no data before. A connection that the server closes unused looks
    /// the same. A client refuses before it has finished its own part of the handshake; what it sends after is its goodbye.
    fn encrypted_alert(&self, side: Side) -> Option<Attribution> {
        let (last, before) = self.records.split_last()?;
        let is_first = before.iter().all(|record| match side {
            Side::Client => {
                record.kind == HANDSHAKE || (record.kind, record.length) == (CHANGE_CIPHER_SPEC, 6)
            }
            Side::Server => record.kind != DATA,
        });
        (last.is_as_long_as_an_alert() && is_first).then(|| Attribution {
            layer: Layer::Certificate,
            by: Some(side),
            seen: format!("the {side} sent an encrypted alert before any data, and ended the connection"),
        })
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

impl TlsRecord {
    /// A header of five bytes, the level 2 for fatal, and the description (RFC 8446, section 6).
    const fn is_fatal_alert_in_the_clear(self) -> bool {
        self.kind == ALERT && self.length == 7 && self.first[0] == 2
    }

    /// Encrypted: in TLS 1.3 a header, two bytes, the true type and a tag of 16, behind six bytes of a change_cipher_spec
    /// where nothing was sent before; in TLS 1.2 a record of its own type.
    const fn is_as_long_as_an_alert(self) -> bool {
        matches!(
            (self.kind, self.length),
            (DATA, 24) | (CHANGE_CIPHER_SPEC, 30) | (ALERT, 8..)
        )
    }
}

fn reset_reason(reason: u32) -> String {
    match reason {
        1 => "no socket".to_owned(),
        8 => "bytes arrived after it had closed".to_owned(),
        11 => "it closed with unread bytes".to_owned(),
        12 => "it closed without lingering".to_owned(),
        other => format!("reason {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn record(kind: u8, length: u64) -> TlsRecord {
        TlsRecord {
            kind,
            length,
            first: [1, 0],
        }
    }

    fn end(sent: u64, received: u64, records: &[TlsRecord]) -> KernelEnd {
        KernelEnd {
            sent,
            received,
            records: records.to_vec(),
            ..KernelEnd::default()
        }
    }

    fn connection(client_end: KernelEnd, server_end: KernelEnd) -> KernelConnection {
        KernelConnection {
            client: ([10, 0, 0, 1], 40_000).into(),
            server: ([10, 0, 0, 2], 8080).into(),
            millis: 2_000.0,
            established: true,
            refused_by: None,
            client_end,
            server_end: Some(server_end),
        }
    }

    /// As recorded of Envoy 1.38.3 on Linux 6.18.
    #[test]
    fn a_failure_belongs_to_the_layer_that_shows_it() {
        let hello = record(22, 517);
        let clear = TlsRecord {
            kind: 21,
            length: 7,
            first: [2, 48],
        };
        let version = TlsRecord {
            first: [2, 70],
            ..clear
        };
        let failed = |refused_by: Option<SocketAddr>| KernelConnection {
            established: false,
            refused_by,
            server_end: None,
            ..connection(KernelEnd::default(), KernelEnd::default())
        };
        let gave_up = KernelEnd {
            closed_first: true,
            ..end(517, 0, &[hello])
        };
        let reset = KernelEnd {
            reset: Some(11),
            ..end(0, 19, &[])
        };
        let cases = [
            (
                failed(Some(([10, 0, 0, 2], 15_099).into())),
                "capture: led to 10.0.0.2:15099 in place of",
            ),
            (
                failed(Some(([10, 0, 0, 2], 8080).into())),
                "tcp: refused, nobody listens at 10.0.0.2:8080",
            ),
            (failed(None), "tcp: no answer to its SYN in 2.0 s"),
            (
                connection(gave_up, end(0, 517, &[])),
                "tcp: accepted, and 517 bytes never answered in 2.0 s",
            ),
            (
                connection(end(19, 0, &[]), reset),
                "proxy: the server reset it with 19 bytes unanswered (it closed with unread bytes)",
            ),
            (
                connection(end(19, 1, &[]), end(0, 19, &[])),
                "proxy: the server closed it with 19 bytes unanswered",
            ),
            (
                connection(
                    end(547, 1758, &[hello, record(20, 30)]),
                    end(1757, 548, &[record(22, 1757)]),
                ),
                "certificate: the client sent an encrypted alert before any data",
            ),
            (
                // The client says goodbye to a server that has refused it.
                connection(
                    end(2000, 1790, &[hello, record(20, 1518), record(23, 24)]),
                    end(1778, 2000, &[record(22, 1754), record(23, 24)]),
                ),
                "certificate: the server sent an encrypted alert before any data",
            ),
            (
                connection(
                    end(1500, 1300, &[hello, record(22, 1000)]),
                    end(1300, 1500, &[record(22, 1290), clear]),
                ),
                "certificate: the server sent alert 48 (unknown_ca)",
            ),
            (
                connection(end(200, 7, &[hello]), end(7, 200, &[version])),
                "proxy: the server sent alert 70 (protocol_version)",
            ),
        ];
        for (connection, expected) in cases {
            let seen = connection.attribution().unwrap().to_string();
            assert!(seen.starts_with(expected), "{seen}, not {expected}");
        }
    }

    #[test]
    fn an_orderly_end_after_data_is_no_failure() {
        let client = [record(22, 517), record(20, 1518), record(23, 208), record(23, 24)];
        let server = [record(22, 1754), record(23, 3694), record(23, 24)];
        let orderly = connection(end(2_269, 5_475, &client), end(5_474, 2_269, &server));
        assert_eq!(orderly.attribution(), None);
        // The close_notify of one end may find the other gone.
        let mut crossing = orderly;
        crossing.client_end.was_reset = true;
        assert_eq!(crossing.attribution(), None);
        let silent = connection(end(0, 1, &[]), end(0, 1, &[]));
        assert_eq!(silent.attribution(), None, "nothing was asked");
    }
}
