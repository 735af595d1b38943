//! Work on a given number of cores.

/// Does `work` on a thread that the system runs on the first `cores` cores of those this process may use; so are the
/// threads and programs that it starts. Where cores cannot be chosen, `work` has them all.
pub(super) fn on_cores<T: Send>(cores: usize, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            choose(cores);
            work()
        });
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(target_os = "linux")]
fn choose(cores: usize) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    let this = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this) else {
        return;
    };
    let mut chosen = CpuSet::new();
    let first = (0..CpuSet::count())
        .filter(|core| allowed.is_set(*core).unwrap_or(false))
        .take(cores);
    for core in first {
        // Fails only beyond the set's size.
        let _ = chosen.set(core);
    }
    if let Err(error) = sched_setaffinity(this, &chosen) {
        tracing::warn!(%error, "cores cannot be chosen; all are used");
    }
}

#[cfg(not(target_os = "linux"))]
fn choose(_: usize) {}
