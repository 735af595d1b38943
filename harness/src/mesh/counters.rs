//! What a sidecar's inbound listener counted, read by its name in istiod's configuration, which every tier gives it.

use std::collections::BTreeMap;

const LISTENER: &str = "listener.0.0.0.0_15006.";

/// One counter of the inbound listener; 0 where it was never touched.
pub(super) fn of_listener(stats: &BTreeMap<String, i64>, counter: &str) -> i64 {
    let found = stats.get(&format!("{LISTENER}{counter}"));
    found.copied().unwrap_or_default()
}

/// Inbound connections that are open.
pub(super) fn open(stats: &BTreeMap<String, i64>) -> i64 {
    of_listener(stats, "downstream_cx_active")
}

/// What moved, by how much.
pub(super) fn difference(
    now: &BTreeMap<String, i64>,
    before: &BTreeMap<String, i64>,
) -> BTreeMap<String, i64> {
    now.iter()
        .filter_map(|(name, value)| {
            let moved = value - before.get(name).copied().unwrap_or_default();
            (moved != 0).then(|| (name.clone(), moved))
        })
        .collect()
}
