//! Processor time of other processes, where the system tells it.

use std::path::PathBuf;
use std::time::Duration;

/// Processor time of all threads of a process so far; nothing where there is no `/proc` with `schedstat`, whose first
/// field is nanoseconds on a processor (Documentation/scheduler/sched-stats.rst of Linux).
pub(super) fn time(process: u32) -> Option<Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    // A thread that ends meanwhile tells nothing any more.
    let told = tasks.filter_map(|task| nanoseconds(task.ok()?.path().join("schedstat")));
    told.fold(None, |sum, time| Some(sum.unwrap_or_default() + time))
}

fn nanoseconds(file: PathBuf) -> Option<Duration> {
    let text = std::fs::read_to_string(file).ok()?;
    let first = text.split_whitespace().next()?;
    Some(Duration::from_nanos(first.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_of_this_process_grows_where_it_is_known() {
        let this = std::process::id();
        let Some(before) = time(this) else { return };
        let mut sum = 0_u64;
        // Threads of other tests end, and take their time with them: it is there again in a while.
        while time(this).unwrap() <= before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }
}
