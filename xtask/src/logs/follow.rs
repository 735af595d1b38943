//! Logs that grow: read on as they do, until interrupted or until standard input ends. Those of a cluster come over its
//! API server.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshproof::logs::{Counts, Input, Patterns, Scanned, Scanner};

use super::{Logs, Report, open, scrape};
use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;

/// How long a finding waits for the line of its other end: Envoy writes its logs every 10 s.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often a file is looked at, and how long an interrupt can take.
const LOOK: Duration = Duration::from_millis(200);

/// What a reader has to say.
enum News {
    Found(Box<meshproof::logs::Finding>),
    /// What was read of a log so far.
    Read(String, Counts),
    Ended(String, Scanned),
}

pub(super) fn run(command: &Logs) -> anyhow::Result<Exit> {
    let interruptible = Interruptible::new()?;
    let stop = Arc::clone(&interruptible.flag);
    let report = Arc::new(Mutex::new(Report::new(command)));
    let (sender, receiver) = sync_channel(1_024);
    let scanner = Scanner::new(Patterns::embedded()?);
    for path in &command.files {
        start(scanner, path.clone(), sender.clone(), Arc::clone(&stop))?;
    }
    let pods = command.cluster.pods();
    let lines = pods.as_ref().map(|pods| {
        let (lines, read) = pods.lines();
        let (name, sender) = (pods.name(), sender.clone());
        std::thread::spawn(move || scan(scanner, &name, read, &sender));
        lines
    });
    drop(sender);
    let exposed = Arc::clone(&report);
    let listen = command.listen;
    let reading = move || -> anyhow::Result<()> {
        let mut so_far = BTreeMap::new();
        loop {
            let news = receiver.recv_timeout(LOOK);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            match news {
                Ok(News::Found(finding)) => report.take(*finding)?,
                Ok(News::Read(name, counts)) => {
                    so_far.insert(name, counts);
                }
                Ok(News::Ended(name, scanned)) => {
                    so_far.insert(name.clone(), scanned.counts);
                    Report::warn_of(&name, scanned.broken);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            report.counts = Counts::default();
            so_far.values().for_each(|counts| report.counts += *counts);
            report.settle(|correlation, settled| correlation.settle_older_than(PATIENCE, settled))?;
        }
    };
    let for_metrics = Arc::clone(&exposed);
    let work = async move {
        let reading = tokio::task::spawn_blocking(reading);
        match listen {
            None => reading.await.map_err(anyhow::Error::from)?,
            Some(address) => {
                let render = move || {
                    for_metrics
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .metrics()
                };
                tokio::select! {
                    done = reading => done.map_err(anyhow::Error::from)?,
                    failed = scrape::serve(address, render) => failed,
                }
            }
        }
    };
    let work = async move {
        match pods.zip(lines) {
            None => work.await,
            Some((pods, lines)) => tokio::select! {
                done = work => done,
                failed = pods.send_on(lines) => failed.map_err(anyhow::Error::from),
            },
        }
    };
    // An interrupt is how following ends.
    let ended = interruptible.run(work)?;
    interruptible.flag.store(true, Ordering::Relaxed);
    let mut report = exposed.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = ended.transpose();
    // What was found before it failed is not lost with it.
    if failed.is_ok() || report.counts.lines > 0 {
        report.finish(command)?;
    }
    failed.map(|_| Exit::Held)
}

/// Reads a log on a thread of its own.
fn start(
    scanner: Scanner,
    path: PathBuf,
    sender: SyncSender<News>,
    stop: Arc<AtomicBool>,
) -> Result<(), BadInput> {
    let input = open(&path)?;
    let name = path.display().to_string();
    std::thread::spawn(move || match input {
        Input::Stream(stream) => scan(scanner, &name, stream, &sender),
        Input::Plain(file) => scan(scanner, &name, Growing { file, path, stop }, &sender),
    });
    Ok(())
}

/// Reads a log to its end, telling what is found and how much was read.
fn scan(scanner: Scanner, name: &str, input: impl Read, sender: &SyncSender<News>) {
    let mut found = |finding| {
        // Nobody listens any more: the next read ends.
        let _ = sender.send(News::Found(Box::new(finding)));
    };
    let mut progress = |counts| {
        let _ = sender.send(News::Read(name.to_owned(), counts));
    };
    let scanned = scanner.scan_observed(name, input, &mut found, &mut progress);
    let _ = sender.send(News::Ended(name.to_owned(), scanned));
}

/// A file whose end is waited for. One that is replaced under its name (rotation) is read on from its new start.
struct Growing {
    file: std::fs::File,
    path: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let read = self.file.read(buffer)?;
            if read > 0 || self.stop.load(Ordering::Relaxed) {
                return Ok(read);
            }
            if let Some(file) = self.replacement()? {
                self.file = file;
            } else {
                // A regular file tells nobody that it has grown.
                std::thread::sleep(LOOK);
            }
        }
    }
}

impl Growing {
    fn replacement(&mut self) -> std::io::Result<Option<std::fs::File>> {
        use std::io::{Seek, SeekFrom};
        use std::os::unix::fs::MetadataExt;
        let old = self.file.metadata()?;
        let Ok(new) = std::fs::metadata(&self.path) else {
            return Ok(None);
        };
        if (old.dev(), old.ino()) != (new.dev(), new.ino()) {
            return std::fs::File::open(&self.path).map(Some);
        }
        if self.file.stream_position()? > new.len() {
            // Emptied in place.
            self.file.seek(SeekFrom::Start(0))?;
        }
        Ok(None)
    }
}
