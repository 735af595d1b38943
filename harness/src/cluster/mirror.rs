//! One registry for all clusters of a machine, which keeps what was pulled through it: every cluster would otherwise pull
//! Istio anew, and Docker Hub counts.
//!
//! Run with the docker that kind needs anyway: a library that starts containers would be a second way to docker, and ends
//! them with its process.

use std::time::Duration;

use super::tools::Docker;
use super::{ClusterError, Limits};

const CONTAINER: &str = "meshproof-registry";
const IMAGE: &str = "docker.io/library/registry:3.0.0";
/// Nodes fall back to the registry itself where the mirror is silent.
const HOSTS: &str = "\
server = \"https://registry-1.docker.io\"

[host.\"http://meshproof-registry:5000\"]
  capabilities = [\"pull\", \"resolve\"]
";

/// Sees that the registry runs in the network of kind, and that the node of a cluster asks it first.
pub(super) async fn provide(docker: &Docker, cluster: &str, limits: &Limits) -> Result<(), ClusterError> {
    let asked = ["inspect", "--format", "{{.State.Running}}", CONTAINER];
    let found = docker.ask(limits.ask, asked).await?;
    if !(found.is_success && found.output.trim() == "true") {
        // The volume outlives the container, and with it what was pulled.
        remove(docker, limits.ask).await?;
        let run = [
            "run",
            "--detach",
            "--restart",
            "unless-stopped",
            "--name",
            CONTAINER,
            "--network",
            "kind",
            "--volume",
            "meshproof-registry:/var/lib/registry",
            "--env",
            "REGISTRY_PROXY_REMOTEURL=https://registry-1.docker.io",
            IMAGE,
        ];
        docker.run(limits.mirror, run, "").await?;
    }
    let node = format!("{cluster}-control-plane");
    let script =
        "mkdir -p /etc/containerd/certs.d/docker.io && cat > /etc/containerd/certs.d/docker.io/hosts.toml";
    let arguments = ["exec", "--interactive", &node, "sh", "-c", script];
    docker.run(limits.ask, arguments, HOSTS).await?;
    Ok(())
}

/// Removes the registry's container, if there is one.
pub(super) async fn remove(docker: &Docker, limit: Duration) -> Result<(), ClusterError> {
    docker.run(limit, ["rm", "--force", CONTAINER], "").await?;
    Ok(())
}
