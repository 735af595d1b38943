//! One round trip over an established stream.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use super::{Dial, DialError};
use crate::call::Payload;
use crate::probe::evidence::{Caller, HttpAnswer};

/// As much of an answer as is kept.
const LONGEST_ANSWER: usize = 2 * 1024;

/// What is sent.
#[derive(Debug)]
pub(super) enum Question {
    Request(Request<Empty<Bytes>>),
    /// A line; said once the peer has greeted, where it speaks first.
    Line {
        line: String,
        greeted: bool,
    },
}

/// What has come back so far; survives a timeout in the midst of the answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    status: Option<u16>,
    bytes: Vec<u8>,
    /// Whether all of it came (or as much as is kept).
    pub(super) complete: bool,
}

/// The `x-request-id` of the call with this nonce: a UUID, so that Envoy keeps it as it is.
///
/// Its version is 4, which Envoy reads as "not traced" (source/extensions/request_id/uuid/config.cc).
#[must_use]
pub fn request_id(nonce: &str) -> String {
    let digest = Sha256::digest(nonce.as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

impl Question {
    pub(super) fn of(dial: &Dial<'_>) -> Result<Self, DialError> {
        if dial.payload != Payload::Http {
            return Ok(Self::Line {
                line: format!("meshproof {}\n", dial.nonce),
                greeted: dial.payload == Payload::ServerFirst,
            });
        }
        Request::get(format!("/meshproof/{}", dial.nonce))
            .header(HOST, dial.authority)
            .header("x-request-id", request_id(dial.nonce))
            .header(CONNECTION, "close")
            .body(Empty::new())
            .map(Self::Request)
            .map_err(|source| DialError::Request {
                authority: dial.authority.to_owned(),
                nonce: dial.nonce.to_owned(),
                source,
            })
    }
}

impl Answer {
    /// Puts the answer where it belongs in the evidence.
    pub(super) fn fill(self, caller: &mut Caller, dial: &Dial<'_>) {
        let body = String::from_utf8_lossy(&self.bytes);
        match self.status {
            Some(status) => {
                let from_application = body.contains(dial.nonce);
                caller.http = Some(HttpAnswer {
                    status,
                    body: body.into_owned(),
                    from_application,
                });
            }
            None if dial.payload != Payload::Http && !body.is_empty() => {
                caller.tcp = Some(body.trim_end_matches(['\r', '\n']).to_owned());
            }
            None => {}
        }
    }
}

/// Asks and reads into `answer`. Gives the stream back where there is more to see of how it ends.
pub(super) async fn ask<S>(stream: S, question: Question, answer: &mut Answer) -> Option<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match question {
        Question::Request(request) => ask_http(stream, request, answer).await,
        Question::Line { line, greeted } => Some(ask_line(stream, &line, greeted, answer).await),
    }
}

async fn ask_line<S>(stream: S, line: &str, greeted: bool, answer: &mut Answer) -> S
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    if greeted && !read_line(&mut stream, &mut Vec::new()).await {
        return stream.into_inner();
    }
    let sent = stream.write_all(line.as_bytes()).await.and(stream.flush().await);
    if sent.is_ok() {
        answer.complete = read_line(&mut stream, &mut answer.bytes).await;
    }
    stream.into_inner()
}

/// Reads a line, or as much of one as is kept; whether it came.
async fn read_line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>, line: &mut Vec<u8>) -> bool {
    let read = stream.take(LONGEST_ANSWER as u64).read_until(b'\n', line).await;
    read.is_ok() && (line.ends_with(b"\n") || line.len() == LONGEST_ANSWER)
}

async fn ask_http<S>(stream: S, request: Request<Empty<Bytes>>, answer: &mut Answer) -> Option<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, mut connection) = match http1::handshake(TokioIo::new(stream)).await {
        Ok(parts) => parts,
        Err(error) => {
            tracing::debug!(%error, "the HTTP library refused the stream");
            return None;
        }
    };
    {
        let mut reply = pin!(async {
            let response = sender.send_request(request).await?;
            answer.status = Some(response.status().as_u16());
            read_body(response.into_body(), &mut answer.bytes).await?;
            answer.complete = true;
            Ok::<_, hyper::Error>(())
        });
        let mut running = true;
        loop {
            tokio::select! {
                biased;
                result = &mut reply => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "no complete HTTP answer");
                    }
                    break;
                }
                _ = poll_fn(|cx| connection.poll_without_shutdown(cx)), if running => running = false,
            }
        }
    }
    Some(connection.into_parts().io.into_inner())
}

async fn read_body(mut body: Incoming, bytes: &mut Vec<u8>) -> Result<(), hyper::Error> {
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            let room = LONGEST_ANSWER - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
        if bytes.len() == LONGEST_ANSWER {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::dial::wire::{End, Witness};

    #[test]
    fn a_request_id_is_a_version_4_uuid_and_follows_the_nonce() {
        let id = request_id("n1");
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!((id.as_bytes()[14], id.as_bytes()[19]), (b'4', b'8'));
        assert_eq!(id, request_id("n1"));
        assert_ne!(id, request_id("n2"));
    }

    #[tokio::test]
    async fn a_failed_write_does_not_hide_what_the_peer_said_before_it_closed() {
        for (payload, said) in [
            (Payload::Tcp, "error: not understood\n"),
            (
                Payload::Http,
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            ),
        ] {
            let dial = Dial {
                address: (std::net::Ipv4Addr::LOCALHOST, 1).into(),
                authority: "payment:8080",
                nonce: "n1",
                payload,
                timeout: std::time::Duration::ZERO,
            };
            let (writer, gone) = tokio::io::duplex(1);
            drop(gone);
            let (reader, mut peer) = tokio::io::duplex(64);
            let stream = Witness::new(tokio::io::join(reader, writer));
            let ending = stream.ending();
            let mut answer = Answer::default();
            // Polled in this order: the write fails, then the peer's words are read.
            let asked = ask(stream, Question::of(&dial).unwrap(), &mut answer);
            let _ = tokio::join!(biased; asked, peer.write_all(said.as_bytes()));
            assert!(answer.complete, "{payload:?}");
            assert!(matches!(ending.get(), Some(End::Closed)));
        }
    }
}
