use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::answer::{BAD_REQUEST, NOT_UNDERSTOOD};
use super::*;
use crate::call::{Payload, WorkloadName};
use crate::network_namespace::NetworkNamespace;
use crate::probe::agent::Seen;
use crate::probe::dial::{Dial, Origin, TlsOffer, plaintext, tls};
use crate::probe::evidence::{Application, Bytes, Ended};

const PATIENT: Duration = Duration::from_secs(20);

async fn start(speaks: Speaks) -> ApplicationServer {
    let pod = WorkloadName::new("payments", "payment").pod(0);
    let any = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let namespace = NetworkNamespace::own();
    ApplicationServer::start(&pod, 8080, speaks, namespace, any)
        .await
        .unwrap()
}

fn dial(application: &ApplicationServer, payload: Payload) -> Dial<'static> {
    Dial {
        origin: Origin::own(),
        address: application.address(),
        authority: "payment.payments.svc.cluster.local:8080",
        nonce: "n1",
        payload,
        timeout: PATIENT,
    }
}

fn saw(saw: Bytes, requests: u32, nonce: Option<&str>) -> Seen {
    Seen {
        application: Application {
            port: Some(8080),
            saw,
            requests,
            forwarded_client_cert: None,
        },
        nonce: nonce.map(str::to_owned),
    }
}

/// All that the application sends in answer to `bytes`, until it closes.
async fn exchange(application: &ApplicationServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(application.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_request_is_answered_with_what_was_seen_of_it() {
    for speaks in [Speaks::Http, Speaks::Either] {
        let application = start(speaks).await;
        let caller = plaintext(&dial(&application, Payload::Http)).await.unwrap();
        assert_eq!(caller.ended, None);
        let answer = caller.http.unwrap();
        assert!(answer.from_application);
        assert_eq!(answer.status, 200);
        let mut echo: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let peer = echo["peer"].take();
        assert!(peer.as_str().unwrap().starts_with("127.0.0.1:"));
        let expected = serde_json::json!({
            "workload": "payments/payment-0", "port": 8080, "path": "/meshproof/n1", "peer": null,
            "forwardedClientCert": null,
        });
        assert_eq!(echo, expected);
        assert_eq!(application.drain(), [saw(Bytes::Http, 1, Some("n1"))]);
        assert_eq!(application.drain(), []);
    }
}

#[tokio::test]
async fn a_line_is_answered_by_workload_and_nonce() {
    for (speaks, payload) in [
        (Speaks::Line, Payload::Tcp),
        (Speaks::Either, Payload::Tcp),
        (Speaks::ServerFirst, Payload::ServerFirst),
    ] {
        let application = start(speaks).await;
        let caller = plaintext(&dial(&application, payload)).await.unwrap();
        assert_eq!(caller.tcp.as_deref(), Some("meshproof payments/payment-0 n1"));
        assert_eq!(caller.ended, None);
        assert_eq!(application.drain(), [saw(Bytes::Line, 1, Some("n1"))]);
    }
}

#[tokio::test]
async fn requests_of_one_connection_are_counted_by_nonce_and_keep_the_forwarded_certificate() {
    let application = start(Speaks::Http).await;
    let again = "GET /meshproof/n1 HTTP/1.1\r\nhost: a\r\nx-forwarded-client-cert: URI=spiffe://a\r\n\r\n";
    let last = "GET /other HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = exchange(&application, [again, again, last].concat().as_bytes()).await;
    assert_eq!(
        answer
            .matches(r#""forwardedClientCert":"URI=spiffe://a""#)
            .count(),
        2
    );
    let mut first = saw(Bytes::Http, 2, Some("n1"));
    first.application.forwarded_client_cert = Some("URI=spiffe://a".to_owned());
    assert_eq!(application.drain(), [first, saw(Bytes::Http, 1, None)]);
}

#[tokio::test]
async fn what_a_port_does_not_speak_is_refused_in_its_own_tongue_and_noted() {
    let request = "GET /meshproof/n1 HTTP/1.1\r\nhost: a\r\n\r\n";
    for (speaks, bytes, answer, seen) in [
        (
            Speaks::Http,
            "meshproof n1\n",
            BAD_REQUEST,
            saw(Bytes::Line, 0, Some("n1")),
        ),
        (
            Speaks::Http,
            "\x16\x03\x01",
            BAD_REQUEST,
            saw(Bytes::ClientHello, 0, None),
        ),
        (Speaks::Http, "\0\0", BAD_REQUEST, saw(Bytes::Other, 0, None)),
        (
            Speaks::Line,
            request,
            NOT_UNDERSTOOD,
            saw(Bytes::Http, 0, Some("n1")),
        ),
        (
            Speaks::Line,
            "\x16\x03\x01",
            NOT_UNDERSTOOD,
            saw(Bytes::ClientHello, 0, None),
        ),
        (Speaks::Line, "hello\n", NOT_UNDERSTOOD, saw(Bytes::Line, 0, None)),
        (
            Speaks::Either,
            "\x16\x03\x01",
            BAD_REQUEST,
            saw(Bytes::ClientHello, 0, None),
        ),
        (
            Speaks::Either,
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            BAD_REQUEST,
            saw(Bytes::Other, 0, None),
        ),
    ] {
        let application = start(speaks).await;
        assert_eq!(
            exchange(&application, bytes.as_bytes()).await,
            answer,
            "{speaks:?} {bytes:?}"
        );
        assert_eq!(application.drain(), [seen], "{speaks:?} {bytes:?}");
    }
}

#[tokio::test]
async fn callers_of_the_wrong_protocol_see_how_they_were_refused() {
    let line = start(Speaks::Line).await;
    let caller = plaintext(&dial(&line, Payload::Http)).await.unwrap();
    assert_eq!((caller.http, caller.ended), (None, Some(Ended::Closed)));

    let http = start(Speaks::Http).await;
    let caller = plaintext(&dial(&http, Payload::Tcp)).await.unwrap();
    assert_eq!(caller.tcp.as_deref(), Some("HTTP/1.1 400 Bad Request"));
}

#[tokio::test]
async fn tls_that_nobody_terminates_shows_at_both_ends() {
    for speaks in [Speaks::Http, Speaks::Line, Speaks::Either] {
        let application = start(speaks).await;
        let caller = tls(&dial(&application, Payload::Http), &TlsOffer::default())
            .await
            .unwrap();
        let error = caller.tls.unwrap().error.unwrap();
        assert_eq!(error, "received corrupt message of type InvalidContentType");
        assert_eq!(caller.ended, Some(Ended::Closed));
        assert_eq!(application.drain(), [saw(Bytes::ClientHello, 0, None)]);
    }
}

#[tokio::test]
async fn a_connection_without_a_byte_is_nothing_seen() {
    let application = start(Speaks::Either).await;
    let mut stream = TcpStream::connect(application.address()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(application.drain(), []);
}

#[tokio::test]
async fn stopping_ends_listener_and_connections() {
    let application = start(Speaks::Either).await;
    let address = application.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut lines = TcpStream::connect(address).await.unwrap();
    lines.write_all(b"meshproof n1\n").await.unwrap();
    let mut answer = [0; 64];
    assert!(lines.read(&mut answer).await.unwrap() > 0);
    application.stop().await;
    for stream in [&mut idle, &mut lines] {
        assert!(matches!(stream.read(&mut answer).await, Ok(0) | Err(_)));
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn dropping_ends_connections_too() {
    let application = start(Speaks::Either).await;
    let mut idle = TcpStream::connect(application.address()).await.unwrap();
    drop(application);
    assert!(matches!(idle.read(&mut [0; 8]).await, Ok(0) | Err(_)));
}
