//! Commands that configure a namespace: bounded in time, and named in what goes wrong.

use std::io;
use std::time::Duration;

use crate::network_namespace::NetworkNamespace;

/// How long a command may take. Measured: 2 to 10 ms; the limit is for a stalled machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why network namespaces are not to be had, or not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// No namespace.
    #[error(
        "no network namespace can be made here: {source} (run as root, or allow user namespaces: \
         kernel.unprivileged_userns_clone, user.max_user_namespaces)"
    )]
    Namespace {
        /// What the system said.
        source: io::Error,
    },
    /// A command is missing.
    #[error("cannot run `{command}`: {source} (install the package {package})")]
    Missing {
        /// The command.
        command: &'static str,
        /// What has it on Debian.
        package: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A command failed.
    #[error("`{command}` failed inside of a network namespace: {said}; its input was:\n{input}")]
    Failed {
        /// The command.
        command: &'static str,
        /// What it said.
        said: String,
        /// What it was given.
        input: String,
    },
    /// A command did not end.
    #[error("`{command}` did not end within {within:?}")]
    Stalled {
        /// The command.
        command: &'static str,
        /// The limit.
        within: Duration,
    },
    /// More pods than addresses.
    #[error("a mesh of this tier has room for {most} pods")]
    Full {
        /// The limit.
        most: usize,
    },
}

/// A command that takes what it is to do on its standard input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    command: &'static str,
    arguments: &'static [&'static str],
    package: &'static str,
}

/// Interfaces, addresses and routes.
pub(super) const IP: Tool = Tool {
    command: "ip",
    arguments: &["-batch", "-"],
    package: "iproute2",
};

/// Packet filter and translation: what it is given replaces every table that it names.
pub(super) const IPTABLES: Tool = Tool {
    command: "iptables-restore",
    arguments: &["--wait"],
    package: "iptables",
};

impl Tool {
    /// Runs the command in a namespace.
    pub(super) async fn run(self, namespace: &NetworkNamespace, input: String) -> Result<(), NetnsError> {
        let done = namespace.inside(move || self.run_here(input)).await;
        done.map_err(|source| NetnsError::Namespace { source })?
    }

    /// Runs the command in the namespace of this thread.
    fn run_here(self, input: String) -> Result<(), NetnsError> {
        let Self { command, package, .. } = self;
        let missing = |source| NetnsError::Missing {
            command,
            package,
            source,
        };
        tracing::debug!(command, input, "in a network namespace");
        let handle = duct::cmd(command, self.arguments)
            .env("PATH", search_path())
            // Where only the legacy variant is there, its lock is in a folder that belongs to root.
            .env("XTABLES_LOCKFILE", "/dev/null")
            .stdin_bytes(input.clone())
            .stdout_null()
            .stderr_capture()
            .unchecked()
            .start()
            .map_err(missing)?;
        let Some(output) = handle.wait_timeout(DEADLINE).map_err(missing)? else {
            // Fails only when it is gone already.
            let _ = handle.kill();
            return Err(NetnsError::Stalled {
                command,
                within: DEADLINE,
            });
        };
        if output.status.success() {
            return Ok(());
        }
        Err(NetnsError::Failed {
            command,
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            input,
        })
    }
}

/// The commands of administrators are not on the path of every user.
fn search_path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/sbin:/sbin")
}
