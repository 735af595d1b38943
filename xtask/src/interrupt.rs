//! Ctrl-C: what runs is dropped, which ends its proxies and removes its directory, and only then the command ends.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// A command that can be interrupted.
pub(crate) struct Interruptible {
    runtime: tokio::runtime::Runtime,
    /// From the beginning on, so that what comes between two works ends the second.
    signals: Mutex<(Signal, Signal)>,
    /// Set once interrupted; blocking work looks at it.
    pub(crate) flag: Arc<AtomicBool>,
}

impl Interruptible {
    pub(crate) fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let signals = runtime.block_on(async {
            let interrupt = signal(SignalKind::interrupt())?;
            std::io::Result::Ok((interrupt, signal(SignalKind::terminate())?))
        })?;
        Ok(Self {
            runtime,
            signals: Mutex::new(signals),
            flag: Arc::default(),
        })
    }

    /// Runs `work` to its end, or to the first SIGINT or SIGTERM: then `None`, with everything `work` held dropped.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> std::io::Result<Option<T>> {
        self.runtime.block_on(async {
            let mut signals = self.signals.lock().await;
            let (interrupt, terminate) = &mut *signals;
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
