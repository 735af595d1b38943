//! What runs may leave behind on this machine: processes, network namespaces, interfaces, directories, containers.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::docker;

/// How long the system may take to end what was told to end.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is there, in words.
pub(super) struct Remains(BTreeSet<String>);

impl Remains {
    /// Children of this process, namespaces that its threads or descriptors hold, interfaces of its own namespace, and its
    /// directories; and of Docker what carries the label of a run. Rules and virtual interfaces of other namespaces go with them.
    pub(super) async fn look() -> Self {
        let mut found = docker::left().await;
        let own = std::fs::read_link("/proc/self/ns/net").ok();
        for task in entries("/proc/self/task") {
            let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| format!("process {pid}")));
            let namespace = std::fs::read_link(task.join("ns/net")).ok();
            if let Some(namespace) = namespace.filter(|it| Some(it) != own.as_ref()) {
                found.insert(format!("network namespace {}", namespace.display()));
            }
        }
        for descriptor in entries("/proc/self/fd") {
            let target = std::fs::read_link(descriptor).unwrap_or_default();
            if target.to_string_lossy().starts_with("net:[") {
                found.insert(format!("network namespace {}", target.display()));
            }
        }
        for named in entries("/run/netns") {
            found.insert(format!("network namespace {}", named.display()));
        }
        for interface in entries("/sys/class/net") {
            found.insert(format!("interface {}", interface.display()));
        }
        let this = std::process::id().to_string();
        let temporary = std::env::temp_dir();
        for folder in entries(temporary) {
            if std::fs::read_to_string(folder.join("owner.lock")).is_ok_and(|owner| owner == this) {
                found.insert(format!("directory {}", folder.display()));
            }
        }
        Self(found)
    }

    /// What is there now and was not `before`, once the system has had time to end what was ended.
    pub(super) async fn settled(before: &Self) -> Vec<String> {
        let deadline = Instant::now() + SETTLES_WITHIN;
        loop {
            let left: Vec<String> = Self::look().await.0.difference(&before.0).cloned().collect();
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// What is in a folder; nothing of one that is not there.
fn entries(folder: impl AsRef<Path>) -> Vec<std::path::PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten();
    found.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_child_and_a_namespace_that_are_there_are_found_and_then_they_are_not() {
        let before = Remains::look().await;
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let namespace = crate::network_namespace::NetworkNamespace::new().await.ok();
        let now = Remains::look().await.0;
        let process = format!("process {}", child.id());
        assert!(now.contains(&process));
        let held: Vec<&String> = now
            .difference(&before.0)
            .filter(|it| it.contains("net:["))
            .collect();
        assert_eq!(held.is_empty(), namespace.is_none(), "{held:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!Remains::look().await.0.contains(&process));
    }
}
