//! What is running, on a terminal: `12/64 expired-ca: leaf-reissued`.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use meshproof::scenario::Scenario;

/// A line on standard error, if that is a terminal; else nothing. It is gone when the last copy is.
#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// For so many runs. The line appears with the first phase.
    pub(super) fn of(runs: usize) -> Self {
        let style = ProgressStyle::with_template("{pos}/{len} {wide_msg}");
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(runs as u64), target)
            .with_finish(ProgressFinish::AndClear)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar }
    }

    /// Says which phase of a scenario begins.
    pub(super) fn begins(&self, scenario: &Scenario, phase: usize) {
        if let Some(phase) = scenario.file.spec.phases.get(phase) {
            self.bar
                .set_message(format!("{}: {}", scenario.name(), phase.name));
        }
    }

    /// One run more has ended.
    pub(super) fn ended(&self) {
        self.bar.inc(1);
    }

    /// Prints something else, with the line out of its way.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}
