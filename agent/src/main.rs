//! The agent: one binary that makes a call from inside a pod, and is the application there.
//!
//! `call` reads one question and prints one answer; `serve` listens and prints what it sees, one line each. Both are JSON, so
//! that evidence is read from an exec and from a container's log.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use meshproof::mesh::{ApplicationServer, Speaks};
use meshproof::probe::agent::Question;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Makes calls from inside a pod, and is the application there.
#[derive(Debug, Parser)]
#[command(name = "meshproof-agent")]
struct Agent {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a call, and print what the caller saw
    Call {
        /// The call as JSON [default: a line of standard input, where one with a key belongs: arguments are there for all to read]
        question: Option<String>,
    },
    /// Be the application: listen, answer, and print what is seen
    Serve(Serve),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  meshproof-agent serve --name payments/payment 8080=http 9000=either")]
struct Serve {
    /// What answers say they are of
    #[arg(long)]
    name: String,
    /// A port and what it speaks: http, line, either
    #[arg(value_name = "PORT=SPEAKS", value_parser = Port::from_str)]
    ports: Vec<Port>,
}

#[derive(Clone, Copy, Debug)]
struct Port {
    number: u16,
    speaks: Speaks,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = "say PORT=http, PORT=line, or PORT=either";
        let (number, speaks) = text.split_once('=').ok_or(known)?;
        let speaks = match speaks {
            "http" => Speaks::Http,
            "line" => Speaks::Line,
            "either" => Speaks::Either,
            _ => return Err(known.to_owned()),
        };
        let number = number.parse().map_err(|_| known)?;
        Ok(Self { number, speaks })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Agent::parse().command {
        Command::Call { question } => call(question).await,
        Command::Serve(serve) => serve.run().await,
    }
}

/// One line and not the end of the input: over some versions of the exec protocol that end never comes.
async fn call(given: Option<String>) -> anyhow::Result<()> {
    let (place, line) = match given {
        Some(line) => ("as argument", line),
        None => {
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .context("standard input cannot be read")?;
            ("on standard input", line)
        }
    };
    // The parser's own words could show the key.
    let question: Question = serde_json::from_str(&line)
        .map_err(|error| anyhow::anyhow!("no question {place}: wrong at column {}", error.column()))?;
    print(&serde_json::to_string(&question.ask().await)?)?;
    Ok(())
}

impl Serve {
    /// Until it is told to end.
    async fn run(self) -> anyhow::Result<()> {
        let (told, mut seen) = mpsc::unbounded_channel();
        let mut servers = Vec::new();
        for port in &self.ports {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.number));
            let server = ApplicationServer::told_to(self.name.clone(), address, port.speaks, told.clone());
            let server = server.await?;
            tell(&format!("listening on {}", server.address()))?;
            servers.push(server);
        }
        let mut end = signal(SignalKind::terminate())?;
        loop {
            tokio::select! {
                Some(seen) = seen.recv() => print(&serde_json::to_string(&seen)?)?,
                _ = end.recv() => break,
            }
        }
        for server in servers {
            server.stop().await;
        }
        Ok(())
    }
}

/// A whole line, at once: it is read while this runs.
fn print(line: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Beside what is seen, for people and for those who wait until it listens.
fn tell(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr().lock(), "{line}")
}
