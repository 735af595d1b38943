//! Peak memory, where the system tells it.

use serde::Serialize;

/// Peak resident memory, in bytes: what Linux calls `VmHWM`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct PeakMemory {
    /// Of the harness, since it started.
    pub harness: u64,
    /// Of the proxies running at the end of the scenario, together. Pages they share are counted in each.
    pub proxies: u64,
    /// Of the largest of them.
    pub largest_proxy: u64,
}

impl PeakMemory {
    /// The greater of each figure.
    pub(super) fn greater(self, other: Self) -> Self {
        Self {
            harness: self.harness.max(other.harness),
            proxies: self.proxies.max(other.proxies),
            largest_proxy: self.largest_proxy.max(other.largest_proxy),
        }
    }
}

/// The peaks so far of the harness and of the processes `proxies`; nothing where there is no `/proc`.
pub(super) fn peak(proxies: &[u32]) -> Option<PeakMemory> {
    let proxies = proxies.iter().map(|pid| peak_of(&pid.to_string()));
    let proxies: Vec<u64> = proxies.collect::<Option<_>>()?;
    Some(PeakMemory {
        harness: peak_of("self")?,
        proxies: proxies.iter().sum(),
        largest_proxy: proxies.into_iter().max().unwrap_or_default(),
    })
}

/// The peak of this process so far, in bytes; nothing where there is no `/proc`.
#[must_use]
pub fn peak_of_this() -> Option<u64> {
    peak_of("self")
}

fn peak_of(process: &str) -> Option<u64> {
    bytes(&status(process)?, "VmHWM:")
}

/// What is resident of a process now, in bytes; nothing where there is no `/proc`.
pub(super) fn resident(process: u32) -> Option<u64> {
    bytes(&status(&process.to_string())?, "VmRSS:")
}

fn status(process: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/status")).ok()
}

/// The line is `VmHWM:      4128 kB`, and a kB is 1024 bytes (proc_pid_status(5)).
fn bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tenvoy\nVmHWM:\t    4128 kB\nVmRSS:\t 12 kB\n";
        assert_eq!(bytes(status, "VmHWM:"), Some(4128 * 1024));
        assert_eq!(bytes(status, "VmRSS:"), Some(12 * 1024));
        assert_eq!(bytes("Name:\tenvoy\n", "VmHWM:"), None);
    }
}
