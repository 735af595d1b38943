//! Envoy's admin interface over its unix socket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
#[cfg(test)]
use serde::Deserialize;
#[cfg(test)]
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::envoy::{answers, stats};
use crate::probe::evidence::CertificateInUse;

/// How long Envoy may take to answer. It answers in milliseconds; on a stalled machine this still bounds the wait.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Why the admin interface could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The socket does not answer (yet).
    #[error("envoy's admin socket {socket} does not answer: {reason}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        reason: String,
    },
    /// The answer is not what this version of the harness understands.
    #[error("cannot read envoy's answer to {path}: {reason}")]
    Unreadable {
        /// The admin path.
        path: String,
        /// Why.
        reason: String,
    },
}

/// A client of one proxy's admin interface. It asks one thing at a time, over one connection: to connect takes longer
/// than to ask.
#[derive(Debug)]
pub(crate) struct Admin {
    socket: PathBuf,
    connection: Mutex<Option<Connection>>,
}

/// Both halves of hyper's connection, driven by whoever asks: a task of its own would take longer to wake than Envoy
/// takes to answer.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: http1::Connection<TokioIo<UnixStream>, Empty<Bytes>>,
}

/// Whether what was acknowledged is in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Warming {
    pub(crate) clusters: u64,
    pub(crate) listeners: u64,
}

impl Warming {
    pub(crate) const fn is_done(&self) -> bool {
        self.clusters == 0 && self.listeners == 0
    }
}

impl Admin {
    pub(crate) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            connection: Mutex::default(),
        }
    }

    /// Statistics that tell of calls, those that were ever touched.
    pub(crate) async fn stats_of_calls(&self) -> Result<BTreeMap<String, i64>, AdminError> {
        let mut kept = self.statistics().await?;
        kept.retain(|name, _| !stats::OF_WARMING.contains(&name.as_str()));
        Ok(kept)
    }

    /// All that were ever touched. The bootstrap has the proxy keep few; to have it choose among them takes it longer than to
    /// print them.
    async fn statistics(&self) -> Result<BTreeMap<String, i64>, AdminError> {
        Ok(answers::stats(&self.get("/stats?usedonly").await?))
    }

    /// Statistics whose full names match the expression, for Prometheus.
    pub(crate) async fn prometheus(&self, expression: &str) -> Result<String, AdminError> {
        self.get(&format!(
            "/stats/prometheus?filter={}",
            percent_encoded(expression)
        ))
        .await
    }

    /// Whether the proxy is up. One whose socket does not answer yet is not.
    pub(crate) async fn is_live(&self) -> bool {
        self.get("/ready")
            .await
            .is_ok_and(|answer| answer.trim() == "LIVE")
    }

    /// How much is still warming.
    pub(crate) async fn warming(&self) -> Result<Warming, AdminError> {
        let [clusters, listeners] = stats::OF_WARMING;
        let stats = self.statistics().await?;
        let gauge = |name: &str| {
            stats
                .get(name)
                .copied()
                .and_then(|value| u64::try_from(value).ok())
                .unwrap_or_default()
        };
        Ok(Warming {
            clusters: gauge(clusters),
            listeners: gauge(listeners),
        })
    }

    /// The names of secrets that are in use, and of those still waited for.
    pub(crate) async fn secrets(&self) -> Result<Secrets, AdminError> {
        Ok(Secrets {
            warming: self.warming_secrets().await?,
            active: self.secret_versions("dynamic_active_secrets").await?,
        })
    }

    /// The names of secrets that are still waited for.
    pub(crate) async fn warming_secrets(&self) -> Result<Vec<String>, AdminError> {
        let warming = self.secret_versions("dynamic_warming_secrets").await?;
        Ok(warming.into_keys().collect())
    }

    /// What is in force, as Envoy answers: private keys are `[redacted]`.
    pub(crate) async fn configuration(&self) -> Result<String, AdminError> {
        self.get("/config_dump").await
    }

    /// Everything that is in force, endpoints included.
    #[cfg(test)]
    pub(crate) async fn config_dump(&self) -> Result<Value, AdminError> {
        self.json("/config_dump?include_eds").await
    }

    async fn secret_versions(&self, resource: &str) -> Result<BTreeMap<String, String>, AdminError> {
        let path = answers::secrets(resource);
        answers::secret_versions(&self.get(&path).await?).map_err(|error| unreadable(&path, &error))
    }

    /// The certificates in use, as `/certs` shows them.
    pub(crate) async fn certificates(&self) -> Result<Vec<CertificateInUse>, AdminError> {
        answers::certificates(&self.get("/certs").await?).map_err(|error| unreadable("/certs", &error))
    }

    #[cfg(test)]
    async fn json<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, AdminError> {
        let text = self.get(path).await?;
        serde_json::from_str(&text).map_err(|error| unreadable(path, &error))
    }

    async fn get(&self, path: &str) -> Result<String, AdminError> {
        let unreachable = |reason: String| AdminError::Unreachable {
            socket: self.socket.clone(),
            reason,
        };
        match tokio::time::timeout(ANSWER_DEADLINE, self.ask(path)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!(
                "no answer to {path} within {ANSWER_DEADLINE:?}"
            ))),
        }
    }

    async fn ask(&self, path: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut idle = self.connection.lock().await;
        // Taken while it is busy: a question that is given up half-way takes its connection with it.
        let mut connection = match idle.take() {
            Some(connection) => connection,
            None => Connection::open(&self.socket).await?,
        };
        let (status, body) = connection.ask(path).await?;
        *idle = Some(connection);
        let text = String::from_utf8(body.to_vec())?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(format!("{status}: {text}").into())
        }
    }
}

/// Secrets of a proxy by name; active ones with their version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Secrets {
    pub(crate) active: BTreeMap<String, String>,
    pub(crate) warming: Vec<String>,
}

impl Connection {
    async fn open(socket: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let stream = UnixStream::connect(socket).await?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver })
    }

    async fn ask(
        &mut self,
        path: &str,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::get(path)
            .header("host", "admin")
            .body(Empty::<Bytes>::new())?;
        let exchange = async {
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            self.sender.ready().await?;
            Ok((status, body))
        };
        tokio::select! {
            biased;
            answer = exchange => answer,
            ended = &mut self.driver => {
                ended?;
                Err("the proxy hung up".into())
            }
        }
    }
}

fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn unreadable(path: &str, reason: &dyn std::fmt::Display) -> AdminError {
    AdminError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
