//! Callers against peers that do one thing each.

mod over_tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Dial, Origin, plaintext};
use crate::call::Payload;
use crate::probe::evidence::{Caller, Connect, Ended, HttpAnswer};

const NONCE: &str = "n-4711";
/// Long enough for a busy machine, for calls that end by themselves.
const PATIENT: Duration = Duration::from_secs(20);
/// For calls that are meant to run into it.
const SHORT: Duration = Duration::from_millis(150);

fn dial(address: SocketAddr, payload: Payload, timeout: Duration) -> Dial<'static> {
    Dial {
        origin: Origin::own(),
        address,
        authority: "payment.payments.svc.cluster.local:8080",
        nonce: NONCE,
        payload,
        timeout,
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A peer that serves one connection.
async fn peer<F: Future<Output = ()> + Send + 'static>(
    behave: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        behave(stream).await;
    });
    address
}

/// A peer that reads what was asked, answers `text` and closes.
async fn answering(text: impl Into<String>) -> SocketAddr {
    let text = text.into();
    peer(|mut stream| async move {
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(text.as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn a_request_carries_host_nonce_and_request_id() {
    let (asked, question) = tokio::sync::oneshot::channel();
    let address = peer(|mut stream| async move {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        asked
            .send(String::from_utf8_lossy(&bytes[..length]).into_owned())
            .unwrap();
    })
    .await;
    plaintext(&dial(address, Payload::Http, PATIENT)).await.unwrap();
    insta::assert_snapshot!(question.await.unwrap().replace('\r', ""));
}

#[tokio::test]
async fn an_answer_is_from_the_application_when_it_carries_the_nonce() {
    for (status, body, from_application) in [
        (200, format!(r#"{{"path":"/meshproof/{NONCE}"}}"#), true),
        (503, "no healthy upstream".to_owned(), false),
    ] {
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let caller = plaintext(&dial(answering(answer).await, Payload::Http, PATIENT))
            .await
            .unwrap();
        let expected = Caller {
            http: Some(HttpAnswer {
                status,
                body,
                from_application,
            }),
            ..Caller::default()
        };
        assert_eq!(caller, expected);
    }
}

#[tokio::test]
async fn a_long_body_is_cut_and_a_short_one_is_incomplete() {
    let (long, short) = ("x".repeat(5000), "x".repeat(10));
    for (body, kept, ended) in [(long, 2048, None), (short, 10, Some(Ended::Closed))] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{body}");
        let caller = plaintext(&dial(answering(answer).await, Payload::Http, PATIENT))
            .await
            .unwrap();
        assert_eq!(caller.http.unwrap().body.len(), kept);
        assert_eq!(caller.ended, ended);
    }
}

#[tokio::test]
async fn a_line_is_answered_by_a_line() {
    for (answer, tcp, ended) in [
        (
            "meshproof payments/payment-0 n-4711\n",
            Some("meshproof payments/payment-0 n-4711"),
            None,
        ),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            Some("HTTP/1.1 400 Bad Request"),
            None,
        ),
        ("half a li", Some("half a li"), Some(Ended::Closed)),
        ("", None, Some(Ended::Closed)),
    ] {
        let caller = plaintext(&dial(answering(answer).await, Payload::Tcp, PATIENT))
            .await
            .unwrap();
        let expected = Caller {
            tcp: tcp.map(str::to_owned),
            ended,
            ..Caller::default()
        };
        assert_eq!(caller, expected);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_no_answer() {
    let address = answering("error: not understood\n").await;
    let caller = plaintext(&dial(address, Payload::Http, PATIENT)).await.unwrap();
    assert_eq!(
        caller,
        Caller {
            ended: Some(Ended::Closed),
            ..Caller::default()
        }
    );
}

#[tokio::test]
async fn a_closed_and_a_reset_connection_are_told_apart() {
    for payload in [Payload::Http, Payload::Tcp] {
        let closing = answering("").await;
        // Closing with bytes unread resets.
        let resetting = peer(|stream| async move { stream.readable().await.unwrap() }).await;
        for (address, ended) in [(closing, Ended::Closed), (resetting, Ended::Reset)] {
            let caller = plaintext(&dial(address, payload, PATIENT)).await.unwrap();
            assert_eq!(
                caller,
                Caller {
                    ended: Some(ended),
                    ..Caller::default()
                }
            );
        }
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_times_out() {
    let (_listener, address) = listen().await;
    for payload in [Payload::Http, Payload::Tcp] {
        let caller = plaintext(&dial(address, payload, SHORT)).await.unwrap();
        assert_eq!(
            caller,
            Caller {
                ended: Some(Ended::TimedOut),
                ..Caller::default()
            }
        );
    }
}

#[tokio::test]
async fn a_port_nobody_listens_on_refuses() {
    let (listener, address) = listen().await;
    drop(listener);
    let caller = plaintext(&dial(address, Payload::Http, PATIENT)).await.unwrap();
    assert_eq!(
        caller,
        Caller {
            connect: Connect::Refused,
            ..Caller::default()
        }
    );
}

/// Linux drops the SYN when the accept queue is full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_port_that_never_answers_tcp_times_out_connecting() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let _listener = socket.listen(1).unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let caller = plaintext(&dial(address, Payload::Http, SHORT)).await.unwrap();
    assert_eq!(
        caller,
        Caller {
            connect: Connect::TimedOut,
            ..Caller::default()
        }
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_written_is_an_error_of_this_end() {
    let (_listener, address) = listen().await;
    let mut broken = dial(address, Payload::Http, PATIENT);
    broken.authority = "payment\u{7f}";
    let refusal = plaintext(&broken).await.unwrap_err();
    insta::assert_snapshot!(refusal);
}
