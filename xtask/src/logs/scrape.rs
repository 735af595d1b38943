//! `GET /metrics`, for Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request's head is no longer, and takes no longer.
const HEAD: usize = 8 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers until dropped; returns only where it cannot listen.
pub(super) async fn serve(
    address: SocketAddr,
    render: impl Fn() -> String + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address} (see --listen)"))?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept a connection")?;
        let render = render.clone();
        tokio::spawn(async move {
            // Whoever went away needs no answer.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, render)).await;
        });
    }
}

#[expect(clippy::print_stderr, reason = "standard output holds findings only")]
fn announce(address: SocketAddr) {
    eprintln!("metrics are at http://{address}/metrics");
}

async fn answer(mut stream: TcpStream, render: impl Fn() -> String) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        if head.len() > HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match head.split(|b| *b == b' ').nth(1) {
        Some(b"/metrics") if head.starts_with(b"GET ") => ("200 OK", render()),
        _ => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
