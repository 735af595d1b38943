use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::call::WorkloadName;
use crate::pki::{Authority, Credentials, Issued, RootName, Validity, WorkloadCredentials};
use crate::probe::dial::{TlsOffer, tls};
use crate::probe::evidence::RawTls;

const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;
const SERVER: &str = "spiffe://cluster.local/ns/payments/sa/payment";
const CLIENT: &str = "spiffe://cluster.local/ns/payments/sa/checkout";

/// One server, one client, one authority.
struct Pair {
    authority: Authority,
}

impl Pair {
    fn new() -> Self {
        Self {
            authority: Authority::new("cluster.local"),
        }
    }

    fn issue(&mut self, identity: &str, change: impl FnOnce(&mut WorkloadCredentials)) -> Issued {
        let mut state = WorkloadCredentials::healthy(identity);
        change(&mut state);
        let workload = WorkloadName::new("payments", identity);
        let credentials = Credentials {
            workloads: [(workload.clone(), state)].into(),
            ..Credentials::default()
        };
        self.authority.issue(&credentials, &workload).unwrap()
    }

    /// A server of the mesh: demands a client certificate of the mesh's root.
    fn strict(&mut self, version: &'static SupportedProtocolVersion) -> ServerConfig {
        let served = self.issue(SERVER, |_| {});
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&served.trust_bundle));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                certificates(&served.certificate_chain),
                PrivateKeyDer::from_pem_slice(served.private_key.pem().as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

/// What the server saw of a client it accepted: the server name and the certificates.
type Accepted = Arc<Mutex<Option<(Option<String>, usize)>>>;

/// Serves one connection: one line answered by one line.
async fn serve(config: ServerConfig) -> (SocketAddr, Accepted) {
    let accepted = Accepted::default();
    let seen = Arc::clone(&accepted);
    let address = peer(|stream| async move {
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else {
            return;
        };
        let session = stream.get_ref().1;
        *seen.lock().unwrap() = Some((
            session.server_name().map(str::to_owned),
            session.peer_certificates().map_or(0, <[_]>::len),
        ));
        let mut bytes = [0; 1024];
        let length = stream.read(&mut bytes).await.unwrap();
        stream.write_all(&bytes[..length]).await.unwrap();
        let _ = stream.shutdown().await;
    })
    .await;
    (address, accepted)
}

fn presenting(identity: Issued) -> TlsOffer {
    TlsOffer {
        identity: Some(identity),
        alpn: vec![
            "istio-http/1.1".to_owned(),
            "istio".to_owned(),
            "http/1.1".to_owned(),
        ],
        sni: Some("outbound_.8080_._.payment.payments.svc.cluster.local".to_owned()),
    }
}

#[tokio::test]
async fn an_accepted_caller_sees_version_alpn_and_chain_and_sends_its_own() {
    for (version, spelled) in [(TLS12, "TLSv1.2"), (TLS13, "TLSv1.3")] {
        let mut pair = Pair::new();
        let (address, accepted) = serve(pair.strict(version)).await;
        let offer = presenting(pair.issue(CLIENT, |_| {}));
        let caller = tls(&dial(address, Payload::Tcp, PATIENT), &offer).await.unwrap();
        let expected = Caller {
            tcp: Some(format!("meshproof {NONCE}")),
            tls: Some(RawTls {
                handshake_completed: true,
                version: Some(spelled.to_owned()),
                alpn: Some("http/1.1".to_owned()),
                peer_uris: vec![SERVER.to_owned()],
                peer_chain_len: 3,
                ..RawTls::default()
            }),
            ..Caller::default()
        };
        assert_eq!(caller, expected);
        assert_eq!(*accepted.lock().unwrap(), Some((offer.sni, 3)));
    }
}

#[tokio::test]
async fn a_refused_caller_hears_the_alert_even_after_its_handshake_completed() {
    let foreign = RootName("foreign".to_owned());
    for version in [TLS12, TLS13] {
        for payload in [Payload::Http, Payload::Tcp] {
            let mut pair = Pair::new();
            let cases = [
                (TlsOffer::default(), "certificate_required"),
                (
                    presenting(pair.issue(CLIENT, |it| it.leaf = Validity::Expired)),
                    "certificate_expired",
                ),
                (
                    presenting(pair.issue(CLIENT, |it| it.issuer = foreign.clone())),
                    "unknown_ca",
                ),
            ];
            for (offer, alert) in cases {
                let (address, _) = serve(pair.strict(version)).await;
                let caller = tls(&dial(address, payload, PATIENT), &offer).await.unwrap();
                let seen = caller.tls.unwrap();
                assert_eq!(
                    seen.alert_received.as_deref(),
                    Some(alert),
                    "{version:?} {payload:?}"
                );
                assert_eq!(seen.handshake_completed, version == TLS13);
                assert_eq!((seen.error, seen.peer_chain_len), (None, 3));
                assert_eq!(
                    (caller.ended, caller.http, caller.tcp),
                    (Some(Ended::Closed), None, None)
                );
            }
        }
    }
}

#[tokio::test]
async fn a_server_with_no_protocol_in_common_refuses_in_the_handshake() {
    let mut pair = Pair::new();
    let (address, _) = serve(pair.strict(TLS13)).await;
    let offer = TlsOffer {
        alpn: vec!["other".to_owned()],
        ..TlsOffer::default()
    };
    let caller = tls(&dial(address, Payload::Tcp, PATIENT), &offer).await.unwrap();
    let seen = caller.tls.unwrap();
    assert_eq!(seen.alert_received.as_deref(), Some("no_application_protocol"));
    assert!(!seen.handshake_completed);
}

#[tokio::test]
async fn any_server_certificate_is_accepted_and_noted() {
    let mut pair = Pair::new();
    let served = pair.issue("spiffe://elsewhere/ns/a/sa/b", |it| {
        it.leaf = Validity::Expired;
        it.intermediate = Validity::Expired;
        it.issuer = RootName("foreign".to_owned());
    });
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            certificates(&served.certificate_chain),
            PrivateKeyDer::from_pem_slice(served.private_key.pem().as_bytes()).unwrap(),
        )
        .unwrap();
    let (address, accepted) = serve(config).await;
    let caller = tls(&dial(address, Payload::Tcp, PATIENT), &TlsOffer::default())
        .await
        .unwrap();
    assert_eq!(caller.ended, None);
    assert_eq!(caller.tls.unwrap().peer_uris, ["spiffe://elsewhere/ns/a/sa/b"]);
    assert_eq!(
        *accepted.lock().unwrap(),
        Some((None, 0)),
        "neither SNI nor a certificate was offered"
    );
}

#[tokio::test]
async fn a_peer_that_answers_tls_in_plaintext_shows_as_corrupt_bytes() {
    let address = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let caller = tls(&dial(address, Payload::Http, PATIENT), &TlsOffer::default())
        .await
        .unwrap();
    let seen = caller.tls.unwrap();
    assert_eq!(
        seen.error.as_deref(),
        Some("received corrupt message of type InvalidContentType")
    );
    assert_eq!((seen.alert_received, seen.handshake_completed), (None, false));
}

#[tokio::test]
async fn a_handshake_that_is_closed_reset_or_never_answered_is_told_apart() {
    let (_listener, silent) = listen().await;
    let resetting = peer(|stream| async move { stream.readable().await.unwrap() }).await;
    for (address, timeout, ended) in [
        (answering("").await, PATIENT, Ended::Closed),
        (resetting, PATIENT, Ended::Reset),
        (silent, SHORT, Ended::TimedOut),
    ] {
        let caller = tls(&dial(address, Payload::Http, timeout), &TlsOffer::default())
            .await
            .unwrap();
        let expected = Caller {
            ended: Some(ended),
            tls: Some(RawTls::default()),
            ..Caller::default()
        };
        assert_eq!(caller, expected);
    }
}

#[tokio::test]
async fn a_server_that_hangs_after_the_handshake_times_out_with_the_handshake_on_record() {
    let mut pair = Pair::new();
    let config = pair.strict(TLS13);
    let address = peer(|stream| async move {
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        // Reads for as long as the caller stays, and says nothing.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let offer = presenting(pair.issue(CLIENT, |_| {}));
    // The handshake itself must fit.
    let timeout = Duration::from_secs(1);
    let caller = tls(&dial(address, Payload::Http, timeout), &offer).await.unwrap();
    assert_eq!(caller.ended, Some(Ended::TimedOut));
    assert!(caller.tls.unwrap().handshake_completed);
}

#[tokio::test]
async fn what_cannot_be_offered_is_an_error_of_this_end() {
    let (_listener, address) = listen().await;
    let offer = TlsOffer {
        sni: Some("not a name".to_owned()),
        ..TlsOffer::default()
    };
    let refusal = tls(&dial(address, Payload::Http, PATIENT), &offer)
        .await
        .unwrap_err();
    insta::assert_snapshot!(refusal, @"`not a name` cannot be sent as SNI: use a DNS name, or none");
}
