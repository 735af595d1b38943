//! What the application answers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes as Body;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use super::first_bytes::LONGEST_LINE;
use super::seen::{Record, nonce_of_line, nonce_of_path};
use crate::probe::evidence::Bytes;

/// As Go's HTTP server answers what it cannot parse (`errorHeaders` in net/http/server.go).
pub(super) const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                                      Connection: close\r\n\r\n400 Bad Request";
/// What a port that speaks lines answers to anything else.
pub(super) const NOT_UNDERSTOOD: &str = "error: not understood\n";

/// What a port that speaks first says to whoever connects.
pub(super) const GREETING: &str = "meshproof is ready\n";

/// Who answers: the parts of an answer that do not depend on the question.
#[derive(Debug)]
pub(super) struct Responder {
    /// `namespace/workload-ordinal`.
    pub(super) workload: String,
    /// The pod port.
    pub(super) port: u16,
    pub(super) record: Record,
}

/// The body of an HTTP answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Echo<'a> {
    workload: &'a str,
    port: u16,
    path: &'a str,
    peer: SocketAddr,
    forwarded_client_cert: Option<&'a str>,
}

impl Responder {
    /// Answers every request of a connection with what the application saw of it.
    pub(super) async fn http(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        let service =
            service_fn(|request| std::future::ready(Ok::<_, Infallible>(self.echo(&request, peer))));
        let served = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(workload = self.workload, port = self.port, %error, "connection ended early");
        }
    }

    /// Answers every line of a connection by one line, until one is not understood.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub(super) async fn lines(
        &self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut lines = BufReader::new(&mut reader);
        loop {
            let mut line = Vec::new();
            (&mut lines)
                .take(LONGEST_LINE as u64)
                .read_until(b'\n', &mut line)
                .await?;
            if line.is_empty() {
                return writer.shutdown().await;
            }
            let line = String::from_utf8_lossy(&line);
            let Some(nonce) = nonce_of_line(line.trim_end()) else {
                self.record.not_understood(Bytes::Line, None);
                return refuse(NOT_UNDERSTOOD, lines, writer).await;
            };
            self.record.understood(Bytes::Line, Some(nonce), None);
            writer
                .write_all(format!("meshproof {} {nonce}\n", self.workload).as_bytes())
                .await?;
        }
    }

    fn echo(&self, request: &Request<hyper::body::Incoming>, peer: SocketAddr) -> Response<Full<Body>> {
        let path = request.uri().path();
        let forwarded_client_cert = request
            .headers()
            .get("x-forwarded-client-cert")
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let body = serde_json::json!(Echo {
            workload: &self.workload,
            port: self.port,
            path,
            peer,
            forwarded_client_cert: forwarded_client_cert.as_deref(),
        });
        self.record
            .understood(Bytes::Http, nonce_of_path(path), forwarded_client_cert);
        let mut response = Response::new(Full::from(body.to_string()));
        response.headers_mut().insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/json"),
        );
        response
    }
}

/// Answers `text` and closes.
///
/// Reads on until the peer closes too: to close with bytes unread would reset the connection, and the reset could
/// overtake the answer.
///
/// # Errors
///
/// When the connection breaks.
pub(super) async fn refuse(
    text: &str,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    writer.write_all(text.as_bytes()).await?;
    writer.shutdown().await?;
    tokio::io::copy(&mut reader, &mut tokio::io::sink())
        .await
        .map(|_| ())
}
