//! The program while it runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

use super::event::{Event, What};
use super::fold::{Watched, connections};
use crate::child::{Leashed, spawn};
use crate::network_namespace::NetworkNamespace;

/// The program.
const PROGRAM: &str = include_str!("../../../manifests/ebpf/connections.bt");
/// How long it may take until its probes are attached. Measured: 1 to 4 s, most of it for the kernel's types.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How long an event may take from the kernel to here. Measured: milliseconds.
const EVENT_DEADLINE: Duration = Duration::from_secs(20);
/// Where the kernel tells of its tracepoints; either will do.
const TRACING: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// Where it tells of its types.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Why the kernel cannot be watched from here.
#[derive(Debug, thiserror::Error)]
pub enum TracerError {
    /// No bpftrace.
    #[error("bpftrace is not installed: apt-get install bpftrace")]
    Missing,
    /// Only root may.
    #[error("only root may watch the kernel: run it again with sudo -E")]
    NotRoot,
    /// Not Linux, or tracepoints are not to be had.
    #[error(
        "this system tells of no tracepoints: mount -t tracefs tracefs {} (Linux only, and not in every container)",
        TRACING[0]
    )]
    NoTracing,
    /// The kernel is too old.
    #[error(
        "this kernel does not say why it sends a reset, or was built without its types ({TYPES}): 6.10 or later is needed"
    )]
    OldKernel,
    /// The program did not start, or ended.
    #[error("bpftrace ended ({status}): {last_words}")]
    Ended {
        /// How.
        status: String,
        /// What it said.
        last_words: String,
    },
    /// It could not be started, or its pipe broke.
    #[error("bpftrace cannot be run")]
    Run(#[from] std::io::Error),
    /// It says nothing.
    #[error("bpftrace said nothing of {waiting_for} within {} s", within.as_secs())]
    Silent {
        /// What should have come.
        waiting_for: &'static str,
        /// How long was waited.
        within: Duration,
    },
}

impl TracerError {
    /// Whether this machine cannot do it, rather than the program having failed.
    #[must_use]
    pub const fn is_machine(&self) -> bool {
        matches!(
            self,
            Self::Missing | Self::NotRoot | Self::NoTracing | Self::OldKernel
        )
    }
}

/// The program, running. Dropping it ends it.
#[derive(Debug)]
pub struct Tracer {
    child: Mutex<Leashed>,
    seen: Arc<Seen>,
    news: watch::Receiver<()>,
    last_words: Arc<Mutex<String>>,
}

/// A moment. Everything before it is forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Mark(());

#[derive(Debug, Default)]
struct Seen {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_ready: bool,
    events: Vec<Event>,
    /// Connections made here only to be seen.
    own: Vec<SocketAddr>,
    /// Until when connections were reported, in nanoseconds since the host came up.
    reported: u64,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracer {
    /// Whether the program could be started here: it is installed, and this user and this kernel allow it.
    ///
    /// # Errors
    /// What is missing.
    pub fn is_possible() -> Result<(), TracerError> {
        program()?;
        is_possible()
    }

    /// Starts the program, and returns once its probes are attached.
    ///
    /// # Errors
    /// See [`TracerError`].
    pub async fn start() -> Result<Self, TracerError> {
        let program = program()?;
        is_possible()?;
        let mut command = Command::new(program);
        // Without its first line, which is for those who run the file itself.
        let text = PROGRAM.split_once('\n').map_or(PROGRAM, |(_, rest)| rest);
        command
            .args(["-B", "none", "-e", text])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = spawn(NetworkNamespace::own(), command).await?;
        let (sender, news) = watch::channel(());
        let (seen, last_words) = (Arc::<Seen>::default(), Arc::<Mutex<String>>::default());
        if let Some(out) = child.output() {
            tokio::spawn(read(out, Arc::clone(&seen), sender));
        }
        if let Some(err) = child.errors() {
            tokio::spawn(listen(err, Arc::clone(&last_words)));
        }
        let tracer = Self {
            child: Mutex::new(child),
            seen,
            news,
            last_words,
        };
        tracer
            .until("its start", READY_DEADLINE, |state| state.is_ready)
            .await?;
        Ok(tracer)
    }

    /// Forgets everything so far. One user at a time.
    ///
    /// # Errors
    /// When the program has ended.
    pub async fn mark(&self) -> Result<Mark, TracerError> {
        self.settle().await?;
        let mut state = self.seen.lock();
        state.events.clear();
        state.own.clear();
        Ok(Mark(()))
    }

    /// The connections that began and ended since the mark.
    ///
    /// # Errors
    /// When the program has ended.
    pub async fn since(&self, _: Mark) -> Result<Vec<Watched>, TracerError> {
        self.settle().await?;
        let state = self.seen.lock();
        Ok(others(connections(&state.events), &state.own))
    }

    /// The connections that ended between the last two times that this was asked, so that the events of both their ends
    /// are here. One user at a time.
    ///
    /// # Errors
    /// When the program has ended.
    pub async fn news(&self) -> Result<Vec<Watched>, TracerError> {
        let now = now();
        self.settle().await?;
        let mut state = self.seen.lock();
        let from = std::mem::replace(&mut state.reported, now);
        let mut ended = others(connections(&state.events), &state.own);
        // What ended after `now` is for the next time, when its other end is here too.
        ended.retain(|it| (from..now).contains(&it.at));
        forget(&mut state.events, from);
        state.own.clear();
        Ok(ended)
    }

    /// Waits until everything that has happened is here: the end of a connection made now comes after it. Two of them,
    /// because each processor has a buffer of its own, and the second ends in a later round over all of them.
    async fn settle(&self) -> Result<(), TracerError> {
        for _ in 0..2 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let to = listener.local_addr()?;
            let stream = TcpStream::connect(to).await?;
            self.seen.lock().own.push(to);
            drop((stream, listener));
            let is_it = |event: &Event| matches!(event.what, What::Closed { remote, .. } if remote == to);
            self.until("a connection of its own", EVENT_DEADLINE, |state| {
                state.events.iter().rev().any(is_it)
            })
            .await?;
        }
        Ok(())
    }

    async fn until(
        &self,
        waiting_for: &'static str,
        within: Duration,
        condition: impl Fn(&State) -> bool,
    ) -> Result<(), TracerError> {
        let mut news = self.news.clone();
        let wait = async {
            loop {
                news.borrow_and_update();
                if condition(&self.seen.lock()) {
                    return Ok(());
                }
                if news.changed().await.is_err() {
                    return Err(self.ended());
                }
            }
        };
        match timeout(within, wait).await {
            Ok(result) => result,
            Err(_) => Err(TracerError::Silent { waiting_for, within }),
        }
    }

    fn ended(&self) -> TracerError {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let status = match child.end() {
            Some(status) => status.to_string(),
            None => "it closed its output".to_owned(),
        };
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        TracerError::Ended {
            status,
            last_words: words.trim().to_owned(),
        }
    }
}

/// Without those made here only to be seen.
fn others(mut watched: Vec<Watched>, own: &[SocketAddr]) -> Vec<Watched> {
    watched.retain(|it| !own.contains(&it.connection.server));
    watched
}

/// Forgets events before `from`, but not of sockets that may still be open.
fn forget(events: &mut Vec<Event>, from: u64) {
    let mut ends = std::collections::HashMap::new();
    for event in events.iter() {
        if let What::Closed { socket, .. } = event.what {
            ends.insert(socket, event.at);
        }
    }
    events.retain(|event| match event.what {
        What::Dialled { socket, .. } | What::Record { socket, .. } | What::WasReset { socket } => ends
            .get(&socket)
            .is_none_or(|end| *end >= from || *end < event.at),
        What::Closed { .. } | What::Reset { .. } => event.at >= from,
    });
}

/// As `nsecs` of bpftrace counts: CLOCK_MONOTONIC.
fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

async fn read(out: impl AsyncRead + Unpin, seen: Arc<Seen>, news: watch::Sender<()>) {
    let mut lines = BufReader::new(out).lines();
    // An error is the end of it too; then `news` is dropped, and whoever waits is told.
    while let Ok(Some(line)) = lines.next_line().await {
        let mut state = seen.lock();
        match Event::parse(&line) {
            Some(event) => state.events.push(event),
            None if line == "ready" => state.is_ready = true,
            None => tracing::debug!(line, "bpftrace"),
        }
        drop(state);
        news.send_replace(());
    }
}

async fn listen(err: impl AsyncRead + Unpin, last_words: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(err).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // Said by bpftrace 0.17 of every kernel since 5.11, which has no such limit.
        if line.contains("RLIMIT_MEMLOCK") {
            continue;
        }
        let mut words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.push_str(&line);
        words.push('\n');
    }
}

fn program() -> Result<PathBuf, TracerError> {
    find(std::env::var_os("PATH").as_deref()).ok_or(TracerError::Missing)
}

fn is_possible() -> Result<(), TracerError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(TracerError::NotRoot);
    }
    let formats = TRACING.map(|folder| Path::new(folder).join("events/tcp/tcp_send_reset/format"));
    let format = formats
        .into_iter()
        .find_map(|file| std::fs::read_to_string(file).ok());
    let format = format.ok_or(TracerError::NoTracing)?;
    match format.contains("reason;") && Path::new(TYPES).exists() {
        true => Ok(()),
        false => Err(TracerError::OldKernel),
    }
}

fn find(path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .map(|folder| folder.join("bpftrace"))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_be_open_is_not_forgotten() {
        let text = "\
dialled 10 a1 1
closed 20 a1 5 ::ffff:10.0.0.1 1 ::ffff:10.0.0.2 2 1 1
dialled 11 b2 1
dialled 30 a1 1
dialled 31 c3 1
closed 60 c3 5 ::ffff:10.0.0.1 3 ::ffff:10.0.0.2 2 1 1";
        let mut events: Vec<Event> = text.lines().filter_map(Event::parse).collect();
        forget(&mut events, 50);
        let kept: Vec<u64> = events.iter().map(|event| event.at).collect();
        assert_eq!(kept, [11, 30, 31, 60]);
    }
}
