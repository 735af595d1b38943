//! Ctrl-C: what runs is dropped, which ends its proxies and removes its directory, and only then the command ends.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

/// A command that can be interrupted.
pub(crate) struct Interruptible {
    runtime: tokio::runtime::Runtime,
    /// Set once interrupted; blocking work looks at it.
    pub(crate) flag: Arc<AtomicBool>,
}

impl Interruptible {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
            flag: Arc::default(),
        })
    }

    /// Runs `work` to its end, or to the first SIGINT or SIGTERM: then `None`, with everything `work` held dropped.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> std::io::Result<Option<T>> {
        self.runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                done = work => return Ok(Some(done)),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            self.flag.store(true, Ordering::Relaxed);
            Ok(None)
        })
    }
}
