//! Connections: from bytes to a request, and from an answer to bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_stream::wrappers::ReceiverStream;

use crate::answer::{Answer, Body};
use crate::discovery::discover;
use crate::double::{ADMIN, Cut, Setup, Shared};
use crate::request::{Asked, Verb};
use crate::{exec, rbac, read, watch, write};

/// A server that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Option<String>,
    pub(crate) thread: JoinHandle<()>,
}

type Sent = BoxBody<Bytes, std::io::Error>;

/// Starts serving, on a thread of its own: tests need no runtime.
pub(crate) fn start(shared: Arc<Shared>, setup: Setup, stopped: oneshot::Receiver<()>) -> Running {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    listener
        .set_nonblocking(true)
        .expect("a listener may be non-blocking");
    let address = listener.local_addr().expect("a listener has an address");
    let (acceptor, authority) = setup.tls.then(tls).unzip();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        runtime.block_on(async {
            tokio::select! {
                () = accept(shared, listener, acceptor) => {}
                _ = stopped => {}
            }
        });
    });
    Running {
        address,
        authority,
        thread,
    }
}

fn tls() -> (TlsAcceptor, String) {
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let certificate = parameters
        .and_then(|it| it.self_signed(&key))
        .expect("a certificate can be made");
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key is one");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows the versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .expect("the key is the certificate's");
    (TlsAcceptor::from(Arc::new(config)), certificate.pem())
}

async fn accept(shared: Arc<Shared>, listener: std::net::TcpListener, acceptor: Option<TlsAcceptor>) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor {
                None => answer_on(connection, shared).await,
                Some(acceptor) => {
                    if let Ok(connection) = acceptor.accept(connection).await {
                        answer_on(connection, shared).await;
                    }
                }
            }
        });
    }
}

async fn answer_on(connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| handle(Arc::clone(&shared), request));
    // Whoever closes a connection has what they wanted.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades()
        .await;
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Answered,
    Midway,
    Dropped,
    Silent,
}

async fn handle(
    shared: Arc<Shared>,
    mut request: Request<Incoming>,
) -> Result<Response<Sent>, std::io::Error> {
    let fate = fate(&shared);
    match fate {
        Fate::Dropped => return Err(std::io::Error::other("cut")),
        Fate::Silent => std::future::pending::<()>().await,
        Fate::Answered | Fate::Midway => {}
    }
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|it| it.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let token = header("authorization").trim_start_matches("Bearer ").to_owned();
    let media_type = header("content-type")
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (method, uri) = (request.method().as_str().to_owned(), request.uri().clone());
    let key = header("sec-websocket-key");
    let upgraded = hyper::upgrade::on(&mut request);
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(std::io::Error::other)?
        .to_bytes();
    let path = uri.path_and_query().map_or_else(String::new, ToString::to_string);

    let mut state = shared.state();
    let user = match state.users.get(&token) {
        Some(user) => user.clone(),
        None if state.users.is_empty() => ADMIN.to_owned(),
        None => return Ok(sent(&Answer::unauthorized(), fate)),
    };
    if uri.path() == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
        let mut review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let asked = rbac::review(&review["spec"]["resourceAttributes"], &state.kinds);
        let is_allowed = asked.is_some_and(|it| user == ADMIN || rbac::allows(&state.objects, &user, &it));
        review["status"] = json!({"allowed": is_allowed});
        return Ok(sent(&Answer::json(201, review), fate));
    }
    let Some(asked) = Asked::parse(&method, uri.path(), uri.query(), &state.kinds) else {
        let found = discover(uri.path(), &state.kinds, &state.release);
        return Ok(sent(&found.unwrap_or_else(Answer::no_such_path), fate));
    };
    if user != ADMIN && !rbac::allows(&state.objects, &user, &asked) {
        state.seen.push(asked.seen(&user, &path, 403));
        return Ok(sent(&Answer::forbidden(&user, &asked), fate));
    }
    if asked.verb == Verb::Watch {
        state.seen.push(asked.seen(&user, &path, 200));
        drop(state);
        return Ok(watched(shared, asked));
    }
    if asked.subresource.as_deref() == Some("exec") && !key.is_empty() {
        let found = read::get(&state.objects, &asked.of_object());
        state
            .seen
            .push(asked.seen(&user, &path, if found.code == 200 { 101 } else { found.code }));
        drop(state);
        if found.code != 200 {
            return Ok(sent(&found, fate));
        }
        let exec = exec::Exec::of(&asked, uri.query().unwrap_or_default());
        tokio::spawn(exec::run(shared, exec, upgraded));
        return Ok(switching(&key));
    }
    let answer = match (asked.verb, asked.subresource.as_deref()) {
        (Verb::Get, Some("log")) => log(&state, &asked),
        (Verb::Get, _) => read::get(&state.objects, &asked),
        (Verb::List, _) => read::page(&state.objects, &asked),
        _ => write::write(&mut state, &asked, &media_type, &body),
    };
    state.seen.push(asked.seen(&user, &path, answer.code));
    drop(state);
    shared.tell();
    Ok(sent(&answer, fate))
}

fn fate(shared: &Shared) -> Fate {
    let mut state = shared.state();
    let (fate, next) = match state.cut {
        Cut::Never => (Fate::Answered, Cut::Never),
        Cut::Silent => (Fate::Silent, Cut::Silent),
        Cut::MidwayAfter(0) => (Fate::Midway, Cut::MidwayAfter(0)),
        Cut::After(0) => (Fate::Dropped, Cut::After(0)),
        Cut::MidwayAfter(more) => (Fate::Answered, Cut::MidwayAfter(more - 1)),
        Cut::After(more) => (Fate::Answered, Cut::After(more - 1)),
    };
    state.cut = next;
    fate
}

fn log(state: &crate::double::State, asked: &Asked) -> Answer {
    match state.logs.read(asked) {
        Some(text) => Answer::text(&text),
        None => read::get(&state.objects, &asked.of_object()),
    }
}

/// The answer with which a connection becomes a WebSocket.
fn switching(key: &str) -> Response<Sent> {
    let mut response = response(101, "text/plain", Full::default().map_err(never).boxed());
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-protocol", exec::PROTOCOL),
        ("sec-websocket-accept", &accept),
    ] {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn never(never: Infallible) -> std::io::Error {
    match never {}
}

fn sent(answer: &Answer, fate: Fate) -> Response<Sent> {
    let (media_type, bytes) = match &answer.body {
        Body::Json(value) => ("application/json", Bytes::from(value.to_string())),
        Body::Text(text) => ("text/plain; charset=utf-8", Bytes::from(text.clone())),
    };
    let body: Sent = match fate {
        Fate::Midway => {
            let half = bytes.slice(..bytes.len() / 2);
            let begun = stream::once(std::future::ready(Ok(Frame::data(half))));
            // What is begun is sent before the connection ends.
            let ended = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut midway"))
            });
            BodyExt::boxed(StreamBody::new(begun.chain(ended)))
        }
        _ => Full::new(bytes).map_err(never).boxed(),
    };
    response(answer.code, media_type, body)
}

fn watched(shared: Arc<Shared>, asked: Asked) -> Response<Sent> {
    let (lines, received) = mpsc::channel(16);
    tokio::spawn(watch::watch(shared, asked, lines));
    let frames = StreamExt::map(ReceiverStream::new(received), |line| line.map(Frame::data));
    response(200, "application/json", BodyExt::boxed(StreamBody::new(frames)))
}

fn response(code: u16, media_type: &str, body: Sent) -> Response<Sent> {
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    if let Ok(value) = media_type.parse() {
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    }
    response
}
