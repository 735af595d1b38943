//! Programs started from a thread that lives as long as they need it, and ended with the harness.

use std::fmt::Debug;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::runtime::Handle;

use crate::network_namespace::NetworkNamespace;

/// How long a program may take to end after being killed. Measured for Envoy: 16 to 32 ms.
const EXIT_DEADLINE: Duration = Duration::from_secs(2);
/// How often a dying program is looked at where nothing can be awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A program that runs, wherever it does. Dropping it ends it, and waits until it is gone.
#[async_trait]
pub(crate) trait Running: Debug + Send + Sync {
    /// The operating system's id of the process, unless it has ended.
    fn id(&self) -> Option<u32>;

    /// How it ended, if it has.
    fn ended(&mut self) -> Option<String>;

    /// Begins to end it.
    fn kill(&mut self);

    /// Ends it, and waits until it is gone.
    async fn stop(&mut self);
}

/// A program that is killed when it is dropped, and waited for: whoever drops it removes its files next, so it must not be
/// left dying.
#[derive(Debug)]
pub(crate) struct Leashed(Child);

impl Leashed {
    /// The operating system's id of the process, unless it has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// What it prints, where that is piped; once.
    pub(crate) const fn output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// What it complains of, where that is piped; once.
    pub(crate) const fn errors(&mut self) -> Option<ChildStderr> {
        self.0.stderr.take()
    }

    /// Kills the program without waiting for its end.
    pub(crate) fn kill(&mut self) {
        // Fails only when it is gone already.
        let _ = self.0.start_kill();
    }

    /// Kills the program and waits for its end, where nothing can be awaited. How it ended, if it has within two seconds.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        self.kill();
        let deadline = Instant::now() + EXIT_DEADLINE;
        loop {
            match self.ended() {
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                ended => return ended.unwrap_or_default(),
            }
        }
    }

    /// Kills the program and waits for its end.
    pub(crate) async fn stop(&mut self) {
        self.kill();
        // Fails only when it is gone already.
        let _ = tokio::time::timeout(EXIT_DEADLINE, self.0.wait()).await;
    }
}

#[async_trait]
impl Running for Leashed {
    fn id(&self) -> Option<u32> {
        Self::id(self)
    }

    fn ended(&mut self) -> Option<String> {
        match Self::ended(self) {
            Ok(status) => status.map(|status| status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    fn kill(&mut self) {
        Self::kill(self);
    }

    async fn stop(&mut self) {
        Self::stop(self).await;
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.end();
    }
}

/// Spawns on the thread of the namespace, which lives as long as the namespace is used: on Linux a child's parent-death
/// signal follows the *thread* that spawned it, and a worker of a runtime may end long before the harness does.
pub(crate) async fn spawn(namespace: &NetworkNamespace, mut command: Command) -> std::io::Result<Leashed> {
    let runtime = Handle::current();
    let start = move || {
        let _runtime = runtime.enter();
        die_with_parent(&mut command);
        command.spawn().map(Leashed)
    };
    namespace.inside(start).await?
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let harness = nix::unistd::Pid::this();
    let request = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // A harness that died before the request sends no signal any more.
        if nix::unistd::getppid() == harness {
            Ok(())
        } else {
            Err(nix::errno::Errno::ESRCH.into())
        }
    };
    // SAFETY: the closure makes two async-signal-safe system calls (prctl, getppid) and allocates nothing.
    #[expect(
        unsafe_code,
        reason = "the parent-death signal can only be set between fork and exec"
    )]
    unsafe {
        command.pre_exec(request);
    }
}

/// Elsewhere a killed harness leaves its proxies to the next start, or to `clean`.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
