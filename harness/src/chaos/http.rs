//! What is scraped and where alerts come in: `GET /metrics`, `GET /pods/NAMESPACE/POD`, `POST /alerts`; and asking others.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use super::reader::Reader;
use crate::envoy::admin::Admin;

/// No notification is longer.
const LONGEST: usize = 4 << 20;
/// How long whoever is asked may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A notification of the Alertmanager, as far as it matters (webhook, version 4).
#[derive(Debug, Deserialize)]
struct Notification {
    #[serde(default)]
    alerts: Vec<Notified>,
}

/// An alert in a notification.
#[derive(Debug, Deserialize)]
pub(super) struct Notified {
    pub(super) status: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

/// What is served.
pub(super) struct Served {
    pub(super) reader: Arc<Reader>,
    /// By path.
    pub(super) proxies: BTreeMap<String, Admin>,
    /// Which statistics of theirs.
    pub(super) statistics: String,
    /// Told of alerts that fire.
    pub(super) alerts: UnboundedSender<Notified>,
}

/// A server that ends when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(served: Served) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let served = Arc::new(served);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((stream, _)) = accepted {
                            connections.spawn(connection(stream, Arc::clone(&served)));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            _serving: serving,
        })
    }
}

async fn connection(stream: TcpStream, served: Arc<Served>) {
    let service = service_fn(move |request| {
        let served = Arc::clone(&served);
        async move { Ok::<_, Infallible>(answer(request, &served).await) }
    });
    // Whoever went away needs no answer.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, served.reader.metrics()),
        (&Method::POST, "/alerts") => (take_in(request, &served.alerts).await, String::new()),
        (&Method::GET, path) => match served.proxies.get(path) {
            None => (StatusCode::NOT_FOUND, String::new()),
            Some(proxy) => match proxy.prometheus(&served.statistics).await {
                Ok(text) => (StatusCode::OK, text),
                Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
            },
        },
        _ => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let text = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, text);
    response
}

async fn take_in(request: Request<Incoming>, alerts: &UnboundedSender<Notified>) -> StatusCode {
    let Ok(body) = Limited::new(request.into_body(), LONGEST).collect().await else {
        return StatusCode::BAD_REQUEST;
    };
    let Ok(notification) = serde_json::from_slice::<Notification>(&body.to_bytes()) else {
        return StatusCode::BAD_REQUEST;
    };
    for alert in notification.alerts.into_iter().filter(|it| it.status == "firing") {
        // Fails only once nobody waits for alerts any more.
        let _ = alerts.send(alert);
    }
    StatusCode::OK
}

/// The answer to a GET, where it is one of success.
pub(super) async fn get(address: SocketAddr, path: &str) -> Result<Bytes, String> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.map_err(|it| it.to_string())?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|it| it.to_string())?;
        let request = Request::get(path)
            .header("host", address.to_string())
            .body(Empty::<Bytes>::new())
            .map_err(|it| it.to_string())?;
        let ask = async {
            let response = sender.send_request(request).await.map_err(|it| it.to_string())?;
            let status = response.status();
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(|it| it.to_string())?;
            match status.is_success() {
                true => Ok(body.to_bytes()),
                false => Err(format!("{status}: {}", String::from_utf8_lossy(&body.to_bytes()))),
            }
        };
        tokio::pin!(driver);
        tokio::select! {
            biased;
            answer = ask => answer,
            _ = &mut driver => Err("hung up".to_owned()),
        }
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}
