//! `cargo xtask trace`: what the kernel sees of failing connections, and beside scenarios what is on the wire, too.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use meshproof::kernel::{Tracer, TracerError, Watched};
use meshproof::mesh::{Settings, Tier};
use meshproof::report::{LAYERS_PAGE, Layers};
use meshproof::scenario::verdict::Verdict;
use meshproof::scenario::{Catalogue, Scenario, workspace_root};
use serde_json::json;

use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::scenario::{Witness, find, mistakes, silently};

/// How often what ended is printed.
const TICK: Duration = Duration::from_millis(500);
/// How long a scenario may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Watch this host's TCP connections from the kernel, and say at which layer those that fail do
///
///   capture      rules led the bytes to a port where nobody listens
///   tcp          nobody listens, or nobody answers
///   proxy        a proxy took the connection and dropped its bytes (no filter chain, no secret),
///                or refused TLS itself
///   certificate  an end sent an alert about a certificate: by its number in TLS 1.2, encrypted in
///                TLS 1.3
///
/// It sees the connections of all processes and pods of this host, and of TLS only what is sent
/// with send(), as Envoy does. It does not see why a certificate was refused in TLS 1.3, nor
/// anything within HTTP: a 503 is an answer. A connection of TLS 1.3 that a server closes unused
/// looks like one refused with an alert. What proxies say tells all of that: `cargo xtask logs`.
/// docs/layers.md has what it sees of every scenario.
///
/// Needs root, bpftrace, and Linux 6.10 with its types.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  sudo -E cargo xtask trace                                    until Ctrl-C
  sudo -E cargo xtask trace --for 30s --output json
  sudo -E cargo xtask trace --scenario skew-1.24.0             beside a scenario, and what is on the wire
  sudo -E cargo xtask trace --all --output markdown            the table of docs/layers.md",
    verbatim_doc_comment
)]
pub(crate) struct Trace {
    /// Watch for this long
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with_all = ["scenario", "all"])]
    span: Option<Duration>,

    /// Run this scenario, and say what the kernel saw of its calls
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,

    /// Every scenario of the catalogue
    #[arg(long, conflicts_with = "scenario")]
    all: bool,

    /// Where scenarios are run
    #[arg(long, value_name = "TIER", default_value_t = Tier::Local)]
    on: Tier,

    /// How to print results
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How to print results.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For a terminal
    Text,
    /// One object a line
    Json,
    /// A table
    Markdown,
}

impl Trace {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self.all || !self.scenario.is_empty() {
            true => self.beside_scenarios(),
            false => self.live(),
        }
    }

    fn live(&self) -> anyhow::Result<Exit> {
        if self.output == Output::Markdown {
            return Err(
                BadInput("a table is made of scenarios: add --all, or --scenario NAME".to_owned()).into(),
            );
        }
        let interruptible = Interruptible::new()?;
        let watch = async {
            let tracer = Tracer::start().await?;
            if self.output == Output::Text {
                outln!("watching all connections of this host; Ctrl-C ends it");
            }
            let mut tick = tokio::time::interval(TICK);
            loop {
                tick.tick().await;
                for watched in tracer.news().await? {
                    self.print(&watched);
                }
            }
        };
        let limited = async {
            match self.span {
                Some(span) => tokio::time::timeout(span, watch).await.ok(),
                None => Some(watch.await),
            }
        };
        let ended: Option<Option<Result<std::convert::Infallible, TracerError>>> =
            interruptible.run(limited)?;
        match ended {
            Some(Some(Err(error))) => Err(error.into()),
            Some(Some(Ok(never))) => match never {},
            // The time is up.
            Some(None) => Ok(Exit::Held),
            // Nothing is lost: this is how it is meant to end.
            None if self.span.is_none() => Ok(Exit::Held),
            None => Ok(Exit::Interrupted),
        }
    }

    fn print(&self, watched: &Watched) {
        let Some(attribution) = watched.connection.attribution() else {
            return;
        };
        let connection = &watched.connection;
        match self.output {
            Output::Json => outln!(
                "{}",
                json!({"at": Timestamp::now().to_string(), "process": watched.process, "attribution": attribution, "connection": connection})
            ),
            _ => outln!(
                "{}  {} -> {}  process {}  {attribution}",
                Timestamp::now().strftime("%H:%M:%S"),
                connection.client,
                connection.server,
                watched.process
            ),
        }
    }

    fn beside_scenarios(&self) -> anyhow::Result<Exit> {
        let scenarios = self.chosen()?;
        let witnesses = [Witness::Kernel, Witness::Wire];
        let Some(results) = silently(&scenarios, self.on, Settings::default(), LIMIT, &witnesses)? else {
            return Ok(Exit::Interrupted);
        };
        let layers = Layers::of(&results);
        match self.output {
            Output::Text => outln!("{}", layers.text()),
            Output::Json => outln!("{}", serde_json::to_string(&layers)?),
            Output::Markdown => outln!("{}", layers.markdown()),
        }
        if self.output == Output::Text && !self.all {
            outln!("what it sees of the whole catalogue is in {LAYERS_PAGE}");
        }
        let is_falsified = results.iter().any(|result| result.verdict == Verdict::Falsified);
        Ok(match is_falsified {
            true => Exit::Falsified,
            false => Exit::Held,
        })
    }

    fn chosen(&self) -> anyhow::Result<Vec<Scenario>> {
        let root = workspace_root(&std::env::current_dir()?).map_err(|error| BadInput(error.to_string()))?;
        let catalogue = Catalogue::load(&root)
            .with_context(|| format!("cannot read {}", root.join("scenarios").display()))?;
        if self.all {
            if !catalogue.mistakes.is_empty() {
                return Err(mistakes(&catalogue.mistakes).into());
            }
            return Ok(catalogue.scenarios);
        }
        let names = self.scenario.iter();
        let found: Result<Vec<Scenario>, BadInput> =
            names.map(|name| find(&catalogue, name).cloned()).collect();
        Ok(found?)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse::<SignedDuration>()
        .map_err(|error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| "a time is not negative".to_owned())
}
