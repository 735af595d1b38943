//! Running a program in a pod: the WebSocket protocol in which its streams are channels.

use std::sync::{Arc, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::double::Shared;
use crate::request::{Asked, decode};

/// The subprotocol (k8s.io/apimachinery/pkg/util/remotecommand): the first byte of a message says of which channel it is.
pub(crate) const PROTOCOL: &str = "v5.channel.k8s.io";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const CLOSE: u8 = 255;
/// As much as a message carries.
const CHUNK: usize = 32 * 1024;

/// A program to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exec {
    /// Of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The first line of its standard input, where it is given one.
    pub input: String,
    takes_input: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Executed {
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
    /// The exit code.
    pub code: i32,
}

impl Exec {
    pub(crate) fn of(asked: &Asked, query: &str) -> Self {
        let pairs = query.split('&').filter_map(|it| it.split_once('='));
        let commands = pairs.filter(|(key, _)| *key == "command");
        Self {
            namespace: asked.namespace.clone().unwrap_or_default(),
            pod: asked.name.clone().unwrap_or_default(),
            container: asked.query.get("container").cloned().unwrap_or_default(),
            command: commands.map(|(_, value)| decode(value)).collect(),
            input: String::new(),
            takes_input: asked.query.get("stdin").map(String::as_str) == Some("true"),
        }
    }
}

/// Runs it over the connection that was upgraded for it.
pub(crate) async fn run(shared: Arc<Shared>, mut exec: Exec, upgraded: OnUpgrade) {
    let Ok(upgraded) = upgraded.await else {
        return;
    };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    while exec.takes_input && !exec.input.contains('\n') {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => match bytes.split_first() {
                Some((&STDIN, text)) => exec.input.push_str(&String::from_utf8_lossy(text)),
                Some((&CLOSE, _)) => break,
                _ => {}
            },
            Some(Ok(_)) => {}
            _ => return,
        }
    }
    let executed = {
        let mut programs = shared.programs.lock().unwrap_or_else(PoisonError::into_inner);
        programs.as_mut().map(|run| run(&exec))
    };
    shared.tell();
    shared.tell();
    let status = match &executed {
        None => {
            json!({"status": "Failure", "reason": "InternalError", "code": 500, "message": "nothing runs here"})
        }
        Some(Executed { code: 0, .. }) => json!({"status": "Success"}),
        Some(Executed { code, .. }) => json!({
            "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
    };
    let executed = executed.unwrap_or_default();
    let streams = [
        (STDOUT, executed.output.into_bytes()),
        (STDERR, executed.errors.into_bytes()),
        (ERROR, status.to_string().into_bytes()),
    ];
    for (channel, bytes) in streams {
        for chunk in bytes.chunks(CHUNK) {
            let message: Vec<u8> = std::iter::once(channel).chain(chunk.iter().copied()).collect();
            // Whoever has gone wants no more.
            if socket.send(Message::Binary(message.into())).await.is_err() {
                return;
            }
        }
    }
    // What is closed with bytes unread is reset, and the reset could overtake what was sent.
    let _ = socket.close(None).await;
    while let Some(Ok(_)) = socket.next().await {}
}
