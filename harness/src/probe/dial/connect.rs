//! What to dial, and how far TCP comes.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::wire::{End, Witness};
use crate::call::Payload;
use crate::network_namespace::NetworkNamespace;
use crate::probe::evidence::{Caller, Connect, Ended};

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Where its socket is made.
    pub namespace: &'a NetworkNamespace,
    /// What its packets are marked with, so that rules of that namespace can tell them.
    pub mark: Option<u32>,
}

impl Origin<'static> {
    /// The harness's own namespace.
    #[must_use]
    pub fn own() -> Self {
        Self {
            namespace: NetworkNamespace::own(),
            mark: None,
        }
    }
}

/// One call to make.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    /// Where it comes from.
    pub origin: Origin<'a>,
    /// Where to connect.
    pub address: SocketAddr,
    /// The `Host` header of an HTTP request.
    pub authority: &'a str,
    /// What tells this call from every other; part of the path or of the line.
    pub nonce: &'a str,
    /// What is spoken inside.
    pub payload: Payload,
    /// For the whole call, from connecting to the end of the answer.
    pub timeout: Duration,
}

/// Why a call could not even be tried. Says nothing about the peer.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The authority or the nonce cannot stand in an HTTP request.
    #[error("`GET /meshproof/{nonce}` to host {authority:?} is no valid HTTP request: use printable ASCII")]
    Request {
        /// The authority as given.
        authority: String,
        /// The nonce as given.
        nonce: String,
        /// What the HTTP library said.
        source: hyper::http::Error,
    },
    /// The system gave no socket.
    #[error("no socket to call {address} with: check the limit on open files and the local firewall")]
    Socket {
        /// Where the call was to go.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or key of the caller cannot be read.
    #[error("the caller's certificate chain or key is no PEM: issue it again")]
    Pem {
        /// What the parser said.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate and key of the caller cannot be used together.
    #[error("the caller's certificate and key cannot be presented: issue them together")]
    Identity {
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The server name cannot be sent.
    #[error("`{sni}` cannot be sent as SNI: use a DNS name, or none")]
    Sni {
        /// The name as given.
        sni: String,
    },
}

/// A connection, or how the attempt ended.
pub(super) enum Attempt {
    Connected(Witness<TcpStream>),
    Failed(Caller),
}

/// Connects before `deadline`.
pub(super) async fn connect(dial: &Dial<'_>, deadline: Instant) -> Result<Attempt, DialError> {
    let address = dial.address;
    let Origin { namespace, mark } = dial.origin;
    let connected = async {
        let socket = namespace.tcp_socket(mark).await?;
        let socket = TcpSocket::from_std_stream(socket.into());
        socket.connect(address).await
    };
    match timeout_at(deadline, connected).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(Attempt::Connected(Witness::new(stream)))
        }
        Ok(Err(source)) => match seen_of(source.kind()) {
            Some(caller) => Ok(Attempt::Failed(caller)),
            None => Err(DialError::Socket { address, source }),
        },
        Err(_) => Ok(Attempt::Failed(Caller {
            connect: Connect::TimedOut,
            ..Caller::default()
        })),
    }
}

/// What a failure to connect says of the peer or of the way there; absent where it says nothing of them.
fn seen_of(error: ErrorKind) -> Option<Caller> {
    let (connect, ended) = match error {
        ErrorKind::ConnectionRefused => (Connect::Refused, None),
        ErrorKind::TimedOut => (Connect::TimedOut, None),
        // The peer accepted and reset before the system reported the connection.
        ErrorKind::ConnectionReset => (Connect::Connected, Some(Ended::Reset)),
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => (Connect::Unreachable, None),
        _ => return None,
    };
    Some(Caller {
        connect,
        ended,
        ..Caller::default()
    })
}

/// How a connection without a complete answer ended, from what the socket showed.
pub(super) fn ended(wire: Option<End>) -> Ended {
    match wire {
        Some(End::Closed) => Ended::Closed,
        Some(End::Broken(ErrorKind::TimedOut)) | None => Ended::TimedOut,
        Some(End::Broken(_) | End::Tls(_)) => Ended::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_to_connect_is_told_of_the_peer_only_where_it_is_about_the_peer() {
        for (error, expected) in [
            (ErrorKind::ConnectionRefused, Some((Connect::Refused, None))),
            (ErrorKind::TimedOut, Some((Connect::TimedOut, None))),
            (ErrorKind::HostUnreachable, Some((Connect::Unreachable, None))),
            (ErrorKind::NetworkUnreachable, Some((Connect::Unreachable, None))),
            (
                ErrorKind::ConnectionReset,
                Some((Connect::Connected, Some(Ended::Reset))),
            ),
            (ErrorKind::PermissionDenied, None),
            (ErrorKind::Other, None),
        ] {
            let seen = seen_of(error).map(|caller| (caller.connect, caller.ended));
            assert_eq!(seen, expected, "{error:?}");
        }
    }
}
