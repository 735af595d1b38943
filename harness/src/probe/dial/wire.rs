//! Noting how a stream ends, below the libraries that read it.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// How a stream ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// In order: by FIN, or by `close_notify` where the stream is TLS.
    Closed,
    /// By an error of the connection.
    Broken(ErrorKind),
    /// By an error of TLS: an alert received, or bytes that are not TLS.
    Tls(rustls::Error),
}

/// The end of a stream, readable while a library holds the stream itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(Arc<OnceLock<End>>);

impl Ending {
    /// The first end seen, if it has come.
    pub(super) fn get(&self) -> Option<End> {
        self.0.get().cloned()
    }

    fn note(&self, end: End) {
        // Only the first counts: what follows a reset looks like an orderly close.
        let _ = self.0.set(end);
    }
}

/// A stream whose end is noted.
///
/// A failed write is noted but reported as done. The peer may have said why (an alert, a 400) before it closed, and
/// a library that sees its write fail would not read it.
#[derive(Debug)]
pub(super) struct Witness<S> {
    stream: S,
    ending: Ending,
}

impl<S> Witness<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ending: Ending::default(),
        }
    }

    pub(super) fn ending(&self) -> Ending {
        self.ending.clone()
    }

    pub(super) const fn get_ref(&self) -> &S {
        &self.stream
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn pass_write<T>(&self, written: Poll<io::Result<T>>, as_if: T) -> Poll<io::Result<T>> {
        written.map(|result| {
            Ok(result.unwrap_or_else(|error| {
                self.ending.note(end_of(&error));
                as_if
            }))
        })
    }
}

impl<S: AsyncRead + Unpin> Witness<S> {
    /// Reads on until the stream ends, so that its end is known.
    pub(super) async fn read_to_end(&mut self) {
        let mut discarded = [0; 1024];
        while self.ending.get().is_none() {
            if !matches!(self.read(&mut discarded).await, Ok(1..)) {
                return;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Witness<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                self.ending.note(End::Closed);
            }
            Poll::Ready(Err(error)) => self.ending.note(end_of(error)),
            _ => {}
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Witness<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.pass_write(written, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.pass_write(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.pass_write(shut, ())
    }
}

fn end_of(error: &io::Error) -> End {
    if let Some(tls) = tls_error(error) {
        return End::Tls(tls);
    }
    match error.kind() {
        // EPIPE: the peer's FIN came before its reset (`tcp_reset` in Linux net/ipv4/tcp_input.c; a reset alone is
        // ECONNRESET). UnexpectedEof: rustls saw a FIN without `close_notify`.
        ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => End::Closed,
        kind => End::Broken(kind),
    }
}

/// The TLS library's error inside an I/O error.
pub(super) fn tls_error(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}
