//! Listening for, and serving, the connections of one pod port.

use std::io::{self, Cursor, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::answer::{BAD_REQUEST, GREETING, NOT_UNDERSTOOD, Responder, refuse};
use super::first_bytes::FirstBytes;
use super::seen::Record;
use crate::call::PodName;
use crate::network_namespace::NetworkNamespace;
use crate::probe::agent::Seen;
use crate::probe::evidence::Bytes;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long accepting pauses when the process has no file descriptor left for a connection.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(20);

/// What an application's port speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speaks {
    /// HTTP/1.1: anything else is answered by 400 and a close.
    Http,
    /// One line answered by one line: anything else is answered by an error line and a close.
    Line,
    /// As `Line`, after a line of its own to whoever connects.
    ServerFirst,
    /// HTTP and lines, told apart by the first bytes: anything else is answered by 400 and a close.
    Either,
}

/// The application behind one pod port: a server that answers with what it saw.
///
/// It speaks first where that is what it speaks, else never. HTTP requests are answered by 200 and the JSON object `{"workload", "port", "path",
/// "peer", "forwardedClientCert"}`, a line `meshproof <nonce>` by `meshproof <namespace>/<workload>-<ordinal> <nonce>`.
/// TLS is not spoken: a ClientHello that arrives here is evidence that nobody terminated it.
///
/// Dropping it, or [`stop`](Self::stop), ends the listener and every connection.
#[derive(Debug)]
pub struct ApplicationServer {
    address: SocketAddr,
    speaks: Speaks,
    responder: Arc<Responder>,
    /// Held, never sent on: the server stops when it is dropped.
    running: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

/// Why an application could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// No listener.
    #[error(
        "the application of `{name}` cannot listen on {address}: \
         check that nobody else does, and the limits on open files and on local ports"
    )]
    Listen {
        /// What it calls itself.
        name: String,
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl ApplicationServer {
    /// Starts the application of `pod` for the pod port `port` on `address` of a namespace; port 0 is any.
    ///
    /// # Errors
    ///
    /// When the system does not give the port.
    pub async fn start(
        pod: &PodName,
        port: u16,
        speaks: Speaks,
        namespace: &NetworkNamespace,
        address: SocketAddr,
    ) -> Result<Self, ApplicationError> {
        let name = pod.to_string();
        let listener = listener(namespace, address).await;
        Self::listen(name, port, (address, listener), speaks, Record::default())
    }

    /// Starts an application that calls itself `name` at an address of this machine, and tells `seen` what it sees as it
    /// sees it; [`drain`](Self::drain) then tells nothing.
    ///
    /// # Errors
    ///
    /// When nobody may listen there, or somebody does.
    pub async fn told_to(
        name: String,
        address: SocketAddr,
        speaks: Speaks,
        seen: mpsc::UnboundedSender<Seen>,
    ) -> Result<Self, ApplicationError> {
        let listener = TcpListener::bind(address).await;
        let record = Record::told_to(seen);
        Self::listen(name, address.port(), (address, listener), speaks, record)
    }

    fn listen(
        name: String,
        port: u16,
        (address, listener): (SocketAddr, io::Result<TcpListener>),
        speaks: Speaks,
        record: Record,
    ) -> Result<Self, ApplicationError> {
        let failed = |source| ApplicationError::Listen {
            name: name.clone(),
            address,
            source,
        };
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let responder = Arc::new(Responder {
            workload: name,
            port,
            record,
        });
        let (running, stopped) = oneshot::channel();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&responder), speaks, stopped));
        Ok(Self {
            address,
            speaks,
            responder,
            running,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it speaks.
    #[must_use]
    pub const fn speaks(&self) -> Speaks {
        self.speaks
    }

    /// What it saw since it was last asked, in order of first arrival.
    ///
    /// Every entry is made before its answer is sent: a caller that has its answer finds the entry here.
    #[must_use]
    pub fn drain(&self) -> Vec<Seen> {
        let mut seen = self.responder.record.drain();
        for seen in &mut seen {
            seen.application.port = Some(self.responder.port);
        }
        seen
    }

    /// Stops and waits until the listener and every connection are gone.
    pub async fn stop(self) {
        drop(self.running);
        // Cancelled with the runtime, by an interrupt, it is stopped as well.
        if let Err(error) = self.accepting.await
            && !error.is_cancelled()
        {
            tracing::warn!(workload = self.responder.workload, %error, "application task failed");
        }
    }
}

async fn listener(namespace: &NetworkNamespace, address: SocketAddr) -> io::Result<TcpListener> {
    let socket = namespace.tcp_socket(None).await?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(
    listener: TcpListener,
    responder: Arc<Responder>,
    speaks: Speaks,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let responder = Arc::clone(&responder);
                    connections.spawn(async move {
                        if let Err(error) = serve(stream, peer, &responder, speaks).await {
                            tracing::debug!(workload = responder.workload, %error, "connection broke");
                        }
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(workload = responder.workload, %error, "cannot accept");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
            },
        }
    }
    stop_listening(listener);
    connections.shutdown().await;
}

/// To close it alone is undone by any child of this process that is between fork and exec: it has the listener as well, and
/// the port would be taken for as long as that lasts.
fn stop_listening(listener: TcpListener) {
    // Fails only where nothing listens any more.
    let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
}

async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    responder: &Responder,
    speaks: Speaks,
) -> io::Result<()> {
    if speaks == Speaks::ServerFirst {
        stream.write_all(GREETING.as_bytes()).await?;
    }
    let Some(first) = FirstBytes::of(&mut stream).await? else {
        return Ok(());
    };
    let understood = matches!(
        (first.saw, speaks),
        (Bytes::Http, Speaks::Http | Speaks::Either)
            | (Bytes::Line, Speaks::Line | Speaks::ServerFirst | Speaks::Either)
    );
    if !understood {
        responder.record.not_understood(first.saw, first.nonce());
        let answer = match speaks {
            Speaks::Http | Speaks::Either => BAD_REQUEST,
            Speaks::Line | Speaks::ServerFirst => NOT_UNDERSTOOD,
        };
        let (reader, writer) = stream.into_split();
        return refuse(answer, reader, writer).await;
    }
    let (reader, writer) = stream.into_split();
    let reader = Cursor::new(first.bytes).chain(reader);
    if first.saw == Bytes::Http {
        responder.http(tokio::io::join(reader, writer), peer).await;
        return Ok(());
    }
    responder.lines(reader, writer).await
}

/// Errors of a connection that was gone before it was accepted; the next may be sound.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_port_is_free_again_although_somebody_still_has_the_listener() {
        let namespace = NetworkNamespace::own();
        let first = listener(namespace, (Ipv4Addr::LOCALHOST, 0).into())
            .await
            .unwrap();
        let address = first.local_addr().unwrap();
        let _held = SockRef::from(&first).try_clone().unwrap();
        stop_listening(first);
        listener(namespace, address).await.unwrap();
    }
}
