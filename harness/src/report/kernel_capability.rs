//! What of this machine's kernel tiers and witnesses rest on: tried, not guessed.

use serde::{Deserialize, Serialize};

use crate::kernel::Tracer;
use crate::mesh::Tier;
use crate::network_namespace::NetworkNamespace;
use crate::wire;

/// Something that a kernel gives, or does not give to this user.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelCapability {
    /// `user-namespaces`, `network-namespaces`, `interception` (iptables in a network namespace, which `--on netns` takes),
    /// `packet-sockets` (`--witness wire`), or `bpf-tracing` (`--witness kernel`).
    pub name: String,
    /// Why it is not to be had; absent where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl KernelCapability {
    /// All of them, measured as this process may use them.
    pub async fn measure() -> Vec<Self> {
        vec![
            Self::of("user-namespaces", user_namespaces()),
            Self::of("network-namespaces", NetworkNamespace::new().await),
            Self::of("interception", Tier::Netns.measure().await),
            Self::of("packet-sockets", wire::measure().await),
            Self::of("bpf-tracing", Tracer::is_possible()),
        ]
    }

    fn of<T, E: std::fmt::Display>(name: &str, tried: Result<T, E>) -> Self {
        Self {
            name: name.to_owned(),
            // A reason is one line, here and in a table.
            missing: tried.err().map(|error| error.to_string().replace('\n', " ")),
        }
    }
}

/// A process with several threads cannot try it on itself (unshare(2)).
fn user_namespaces() -> Result<(), String> {
    let tried = duct::cmd!("unshare", "--user", "true")
        .stdin_null()
        .stdout_null()
        .stderr_capture()
        .unchecked()
        .run()
        .map_err(|error| format!("cannot run unshare: {error}"))?;
    if tried.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_says_why_and_what_a_tier_measures_is_what_is_told() {
        let measured = KernelCapability::measure().await;
        let names: Vec<&str> = measured.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "user-namespaces",
                "network-namespaces",
                "interception",
                "packet-sockets",
                "bpf-tracing"
            ]
        );
        for it in &measured {
            assert_ne!(it.missing.as_deref(), Some(""), "{}", it.name);
        }
        let told = measured[2].missing.is_none();
        assert_eq!(told, Tier::Netns.measure().await.is_ok());
    }

    #[test]
    fn a_reason_is_one_line() {
        let lacking = KernelCapability::of("interception", Err::<(), _>("no\nrules"));
        assert_eq!(lacking.missing.as_deref(), Some("no rules"));
    }
}
