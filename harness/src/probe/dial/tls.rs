//! A raw call over TLS, with or without a client certificate.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connect::{Attempt, connect, ended};
use super::exchange::{Answer, Question, ask};
use super::verifier::RecordingVerifier;
use super::wire::{End, Ending, Witness, tls_error};
use super::{Dial, DialError, alert};
use crate::pki::Issued;
use crate::probe::evidence::{Caller, Ended, RawTls};

/// What a raw TLS caller offers: TLS 1.2 and 1.3, and what is here.
#[derive(Clone, Debug, Default)]
pub struct TlsOffer {
    /// The certificate it presents when asked, whatever its state; absent on `raw-tls`.
    pub identity: Option<Issued>,
    /// ALPN protocols, in order of preference. HTTP/1.1 is spoken whatever is negotiated.
    pub alpn: Vec<String>,
    /// Server name, for example `outbound_.8080_._.payment.payments.svc.cluster.local` as a sidecar sends it.
    pub sni: Option<String>,
}

/// Makes the call over TLS and tells what the caller saw.
///
/// Any server certificate is accepted and noted. An alert counts as the server's orderly close: whether a FIN or a
/// reset follows it depends on what was still unread.
///
/// # Errors
///
/// Only when this end could not try. Whatever the peer does, or does not do, is in the answer.
pub async fn tls(dial: &Dial<'_>, offer: &TlsOffer) -> Result<Caller, DialError> {
    let question = Question::of(dial)?;
    let client = Client::new(dial, offer)?;
    let deadline = Instant::now() + dial.timeout;
    let stream = match connect(dial, deadline).await? {
        Attempt::Connected(stream) => stream,
        Attempt::Failed(caller) => return Ok(caller),
    };
    let mut seen = SeenOfTls {
        wire: stream.ending(),
        ..SeenOfTls::default()
    };
    let mut answer = Answer::default();
    // A timeout shows as a connection that has not ended.
    let _ = timeout_at(deadline, client.call(stream, question, &mut seen, &mut answer)).await;
    let mut caller = Caller {
        ended: seen.ended(&answer),
        ..Caller::default()
    };
    answer.fill(&mut caller, dial);
    caller.tls = Some(seen.evidence(&client.verifier));
    Ok(caller)
}

/// Makes `count` full handshakes one after the other, asks nothing, and tells how long each took: from the first byte until
/// this end was done, connecting not counted.
///
/// Each connection is closed and its end awaited before the next, so the peer has done its part too: in TLS 1.3 it looks at
/// this end's certificate after this end is done. Ends early at the first handshake that the peer refuses or leaves unanswered.
///
/// # Errors
///
/// As [`tls`].
pub async fn handshakes(dial: &Dial<'_>, offer: &TlsOffer, count: usize) -> Result<Vec<Duration>, DialError> {
    let client = Client::new(dial, offer)?;
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let deadline = Instant::now() + dial.timeout;
        let Attempt::Connected(stream) = connect(dial, deadline).await? else {
            break;
        };
        let began = Instant::now();
        let handshake = client.connector.connect(client.server_name.clone(), stream);
        let Ok(Ok(mut stream)) = timeout_at(deadline, handshake).await else {
            break;
        };
        let took = began.elapsed();
        let end = async {
            stream.shutdown().await?;
            stream.read_to_end(&mut Vec::new()).await
        };
        let Ok(Ok(_)) = timeout_at(deadline, end).await else {
            break;
        };
        taken.push(took);
    }
    Ok(taken)
}

struct Client {
    connector: TlsConnector,
    server_name: ServerName<'static>,
    verifier: Arc<RecordingVerifier>,
}

impl Client {
    fn new(dial: &Dial<'_>, offer: &TlsOffer) -> Result<Self, DialError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(RecordingVerifier::new(provider.signature_verification_algorithms));
        let unusable = |source| DialError::Identity { source };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<RecordingVerifier>::clone(&verifier));
        let mut config = match &offer.identity {
            Some(identity) => {
                let (chain, key) = parse(identity).map_err(|source| DialError::Pem { source })?;
                builder.with_client_auth_cert(chain, key).map_err(unusable)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = offer
            .alpn
            .iter()
            .map(|protocol| protocol.clone().into_bytes())
            .collect();
        config.resumption = Resumption::disabled();
        let server_name = match &offer.sni {
            Some(sni) => {
                ServerName::try_from(sni.clone()).map_err(|_| DialError::Sni { sni: sni.clone() })?
            }
            // An address is never sent as SNI (RFC 6066, section 3).
            None => ServerName::from(dial.address.ip()),
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name,
            verifier,
        })
    }

    async fn call(
        &self,
        stream: Witness<TcpStream>,
        question: Question,
        seen: &mut SeenOfTls,
        answer: &mut Answer,
    ) {
        let handshake = self
            .connector
            .connect(self.server_name.clone(), stream)
            .into_fallible();
        let stream = match handshake.await {
            Ok(stream) => Witness::new(stream),
            Err((error, mut stream)) => {
                seen.handshake = tls_error(&error);
                if !seen.was_alerted() {
                    stream.read_to_end().await;
                }
                return;
            }
        };
        seen.completed(&stream);
        let Some(mut stream) = ask(stream, question, answer).await else {
            return;
        };
        if answer.complete {
            let _ = stream.shutdown().await;
        } else if !seen.is_over() {
            // What is left to learn is how TCP ends.
            stream.into_inner().into_inner().0.read_to_end().await;
        }
    }
}

fn parse(
    identity: &Issued,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rustls::pki_types::pem::Error> {
    let chain =
        CertificateDer::pem_slice_iter(identity.certificate_chain.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(identity.private_key.pem().as_bytes())?;
    Ok((chain, key))
}

/// What the caller saw below and in TLS; survives a timeout.
#[derive(Debug, Default)]
struct SeenOfTls {
    /// How TCP ended.
    wire: Ending,
    /// How the session ended, once established.
    session: Ending,
    /// How the handshake failed, if TLS says so.
    handshake: Option<rustls::Error>,
    tls: RawTls,
}

impl SeenOfTls {
    fn completed(&mut self, stream: &Witness<TlsStream<Witness<TcpStream>>>) {
        self.session = stream.ending();
        let session = stream.get_ref().get_ref().1;
        self.tls.handshake_completed = true;
        self.tls.version = session.protocol_version().map(version);
        self.tls.alpn = session
            .alpn_protocol()
            .map(|alpn| String::from_utf8_lossy(alpn).into_owned());
    }

    fn error(&self) -> Option<rustls::Error> {
        match self.session.get() {
            Some(End::Tls(error)) => Some(error),
            _ => self.handshake.clone(),
        }
    }

    fn was_alerted(&self) -> bool {
        matches!(self.error(), Some(rustls::Error::AlertReceived(_)))
    }

    /// Whether TLS itself says that the peer has ended.
    fn is_over(&self) -> bool {
        self.was_alerted() || matches!(self.session.get(), Some(End::Closed))
    }

    fn ended(&self, answer: &Answer) -> Option<Ended> {
        if answer.complete {
            return None;
        }
        Some(if self.was_alerted() {
            Ended::Closed
        } else {
            ended(self.wire.get().or(self.session.get()))
        })
    }

    fn evidence(self, verifier: &RecordingVerifier) -> RawTls {
        let (alert_received, error) = match self.error() {
            Some(rustls::Error::AlertReceived(received)) => (Some(alert::name(received)), None),
            other => (None, other.map(|error| error.to_string())),
        };
        let presented = verifier.presented();
        RawTls {
            peer_uris: presented.uris,
            peer_chain_len: presented.chain_len,
            alert_received,
            error,
            ..self.tls
        }
    }
}

/// As Envoy spells it.
fn version(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        other => format!("{other:?}"),
    }
}
