//! The agent as a pod runs it: what one process is asked, another sees.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use meshproof::call::Payload;
use meshproof::probe::agent::Seen;
use meshproof::probe::agent::{Answer, Offer, Question};
use meshproof::probe::evidence::{Bytes, Caller, Connect};

/// A server that ends with the test.
struct Server {
    child: Child,
    addresses: Vec<SocketAddr>,
    seen: BufReader<ChildStdout>,
}

impl Server {
    fn start(ports: &[&str]) -> Self {
        let mut child = agent()
            .args(["serve", "--name", "payments/payment"])
            .args(ports)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let addresses = ports
            .iter()
            .map(|_| {
                let line = told.next().expect("it says where it listens").unwrap();
                let port = line.rsplit(':').next().unwrap().parse().unwrap();
                SocketAddr::from(([127, 0, 0, 1], port))
            })
            .collect();
        let seen = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            addresses,
            seen,
        }
    }

    fn next_seen(&mut self) -> Seen {
        let mut line = String::new();
        self.seen.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> Command {
    Command::new(env!("CARGO_BIN_EXE_meshproof-agent"))
}

fn ask(input: &str) -> std::process::Output {
    let mut child = agent()
        .arg("call")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Left open: over exec the end of the input may never come.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    stdin.flush().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    output
}

fn call(question: &Question) -> Caller {
    let output = ask(&format!("{}\n", serde_json::to_string(question).unwrap()));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    match serde_json::from_slice(&output.stdout).unwrap() {
        Answer::Seen(caller) => *caller,
        Answer::Failed(why) => panic!("{why}"),
    }
}

fn question(address: SocketAddr, nonce: &str) -> Question {
    Question {
        host: address.ip().to_string(),
        port: address.port(),
        authority: "payment.payments.svc.cluster.local:8080".to_owned(),
        nonce: nonce.to_owned(),
        payload: Payload::Http,
        timeout_millis: 10_000,
        tls: None,
    }
}

#[test]
fn a_request_is_answered_by_the_application_and_seen_there_by_its_nonce() {
    let mut server = Server::start(&["0=http"]);
    let caller = call(&question(server.addresses[0], "n1"));
    let http = caller.http.unwrap();
    assert_eq!((http.status, http.from_application), (200, true));
    let seen = server.next_seen();
    assert_eq!(seen.nonce.as_deref(), Some("n1"));
    assert_eq!(
        (seen.application.saw, seen.application.requests),
        (Bytes::Http, 1)
    );
}

#[test]
fn a_line_is_answered_where_the_port_speaks_lines() {
    let mut server = Server::start(&["0=http", "0=either"]);
    let line = Question {
        payload: Payload::Tcp,
        ..question(server.addresses[1], "n2")
    };
    assert!(call(&line).tcp.unwrap().contains("n2"));
    assert_eq!(server.next_seen().application.saw, Bytes::Line);
}

#[test]
fn tls_that_nobody_terminates_is_seen_as_such_at_both_ends() {
    let mut server = Server::start(&["0=http"]);
    let raw = Question {
        tls: Some(Offer::default()),
        ..question(server.addresses[0], "n3")
    };
    let tls = call(&raw).tls.unwrap();
    assert!(!tls.handshake_completed);
    let seen = server.next_seen();
    assert_eq!(
        (seen.application.saw, seen.application.requests),
        (Bytes::ClientHello, 0)
    );
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let gone = {
        let server = Server::start(&["0=http"]);
        server.addresses[0]
    };
    assert_eq!(call(&question(gone, "n4")).connect, Connect::Refused);
}

#[test]
fn what_is_no_question_is_refused_without_being_repeated() {
    let output = ask("{\"host\": \"hunter2\"}\n");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no question on standard input"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
