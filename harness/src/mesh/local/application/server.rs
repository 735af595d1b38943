//! Listening for, and serving, the connections of one pod port.

use std::io::{self, Cursor, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::answer::{BAD_REQUEST, GREETING, NOT_UNDERSTOOD, Responder, refuse};
use super::first_bytes::FirstBytes;
use super::seen::{Record, Seen};
use crate::call::PodName;
use crate::probe::evidence::Bytes;

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

/// The application behind one pod port: a server on a loopback port that answers with what it saw.
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
    /// No listener on loopback.
    #[error(
        "application of pod `{pod}` port {port} cannot listen on 127.0.0.1: \
         check the limits on open files and on local ports"
    )]
    Listen {
        /// The pod.
        pod: PodName,
        /// The pod port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
}

impl ApplicationServer {
    /// Starts the application of `pod` for the pod port `port` on an ephemeral port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When the system gives no port.
    pub async fn start(pod: &PodName, port: u16, speaks: Speaks) -> Result<Self, ApplicationError> {
        let listen = |source| ApplicationError::Listen {
            pod: pod.clone(),
            port,
            source,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let responder = Arc::new(Responder {
            workload: pod.to_string(),
            port,
            record: Record::default(),
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
        self.responder.record.drain()
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
    connections.shutdown().await;
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
